"""A committee of potentials in the compiled core: atomic energies and their derivatives by pairs, without a graph."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bp_descriptors import Pairs, Scaler, SymmetryFunctions
from bp_descriptors.fast import Neighborhood
from bp_descriptors.fast import library as functions_library
from nddo_ml.core.library import library
from nddo_ml.core.networks import Networks, versions
from nddo_ml.networks import ElementNetworks, FeedForward
from nddo_ml.systems import Systems

_MOST_ATOMS = 2000  # beyond, matrix products of torch's threads are worth their graph


class ClosedCommittee:
    """Symmetry functions, scaling and networks of the members; weights that change are read again."""

    def __init__(self, functions: SymmetryFunctions, scaler: Scaler, members: Sequence[ElementNetworks]) -> None:
        self.functions, self.scaler, self.members = functions, scaler, members
        self._core: tuple[object, Networks] | None = None  # of which weights

    def __reduce__(self) -> tuple[type[ClosedCommittee], tuple[SymmetryFunctions, Scaler, Sequence[ElementNetworks]]]:
        return ClosedCommittee, (self.functions, self.scaler, self.members)

    def serves(self, positions: Tensor) -> bool:
        """Whether the core has what atoms at these positions need."""
        here = positions.device.type == "cpu" and positions.dtype == torch.float64 and len(positions) <= _MOST_ATOMS
        return here and self._known and self.scaler.low.device.type == "cpu"

    @cached_property
    def _known(self) -> bool:
        return None not in (library(), functions_library()) and Networks.serve(self._networks)

    def features(self, systems: Systems, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Neighborhood]:
        """Symmetry functions [atoms, F], and what their derivatives need."""
        around = Neighborhood(self.functions.compiled, self.functions.element_index(systems.numbers), pairs.i, pairs.j)
        return around.forward(vectors), around

    def outputs(
        self, systems: Systems, features: Tensor, vectors: Tensor, around: Neighborhood, *, slopes: str | None
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs [members, atoms] and their derivatives by the vectors, [members or one, pairs, 3].

        Args:
            systems: the batch.
            features: [atoms, F], of :meth:`features`.
            vectors: [pairs, 3] Å.
            around: of :meth:`features`.
            slopes: "members" for those of each, "mean" for those of the mean, None for none.
        """
        core, n = self._refreshed(), systems.n_atoms
        key = (ClosedCommittee, id(self.scaler), self.scaler.versions)
        _, gain, offset = systems.kept(key, lambda: (self.scaler, *self.scaler.linear(systems.numbers)))
        scaled = torch.addcmul(offset, features, gain)
        kind = around.element.numpy()
        count = len(self.members)
        kinds = np.concatenate([kind + k * len(self.functions.elements) for k in range(count)])
        passed = core.forward(np.tile(scaled.numpy(), (count, 1)), kinds)
        outputs = torch.from_numpy(passed.outputs.reshape(count, n))
        if slopes is None:
            return outputs, None
        by_values = np.zeros((count * n, features.shape[1]))
        core.backward(passed, np.ones(passed.outputs.shape), by_values)
        each = torch.from_numpy(by_values).view(count, n, -1) * gain
        wanted = each if slopes == "members" else each.mean(0, keepdim=True)
        return outputs, torch.stack([around.pull(vectors, g) for g in wanted])

    @property
    def _networks(self) -> list[FeedForward]:
        return [network for member in self.members for _, network in sorted(member.by_number.items())]

    def _refreshed(self) -> Networks:
        networks = self._networks
        now, kept = versions(networks), self._core
        if kept is None or kept[0] != now:
            kept = self._core = now, Networks(networks)
        return kept[1]
