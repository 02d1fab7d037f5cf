"""What corrections know of an atom: scaled symmetry functions, and how far it is from being alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bp_descriptors import Scaler, SymmetryFunctions, neighbor_list, pair_vectors
from bp_descriptors.cutoffs import Cutoff
from bp_descriptors.geometry import norm
from nddo_ml.elements import number_of
from nddo_ml.systems import Systems

_HALF_CROWDED = 0.5  # neighbours, counted by the cut-off function, at which presence is 1 − 1/e


@dataclass(frozen=True)
class Features:
    """Of the atoms of a batch, with their graph to the positions."""

    numbers: Tensor  # [atoms]
    values: Tensor  # [atoms, F] scaled symmetry functions
    presence: Tensor  # [atoms] 0 for an atom without neighbours, near 1 for a bonded one, smooth


class AtomFeatures(nn.Module):
    """Scaled symmetry functions, and the presence ``1 − exp(−(n/n_0)²)`` with ``n_i = Σ_j f_c(r_ij)``.

    Presence is exactly zero, with its slope, for an atom without neighbours; corrections are multiplied with it.

    Args:
        functions: the symmetry functions.
        scaler: their centring and scaling.
    """

    def __init__(self, functions: SymmetryFunctions, scaler: Scaler) -> None:
        super().__init__()
        self.functions = functions
        self.scaler = scaler
        self.envelope = Cutoff(functions.cutoff, "poly2")

    @classmethod
    def default(
        cls,
        elements: Sequence[str],
        cutoff: float = 5.0,
        *,
        size: str = "small",
        data: Iterable[Systems] = (),
        **options: Any,
    ) -> AtomFeatures:
        """An automatic set for ``elements``, scaled to the structures of ``data``, if any.

        Options are those of :func:`bp_descriptors.presets.default_functions`.

        Raises:
            ValueError: an unknown element or size, a cut-off below 1.5 Å.
        """
        options = {"cutoff_kind": "poly2", **options}
        functions = SymmetryFunctions.default(elements, cutoff, size=size, **options)
        batches = [(_describe(functions, s), s.numbers) for s in data]
        if batches:
            return cls(functions, Scaler.fit(functions, batches, mode="sigma"))
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        return cls(functions, Scaler(functions, statistics, "none"))

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that there are symmetry functions for."""
        return frozenset(number_of(s) for s in self.functions.elements)

    def forward(self, systems: Systems) -> Features:
        """The features of a batch of molecules."""
        x = systems.positions
        pairs = neighbor_list(x, self.functions.cutoff, systems.system_idx)
        vectors = pair_vectors(x, pairs)
        values = self.scaler(self.functions(systems.numbers, vectors, pairs), systems.numbers)
        crowd = x.new_zeros(systems.n_atoms).index_add(0, pairs.i, self.envelope(norm(vectors)))
        return Features(systems.numbers, values, -torch.expm1(-((crowd / _HALF_CROWDED) ** 2)))

    def to_config(self) -> dict[str, Any]:
        """Plain data; :meth:`from_config` reads it."""
        return {"functions": self.functions.to_dict(), "scaler": self.scaler.to_dict()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AtomFeatures:
        """Features of the configuration, their statistics yet to be loaded."""
        functions = SymmetryFunctions.from_dict(config["functions"])
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        return cls(functions, Scaler(functions, statistics, **config["scaler"]))


@torch.no_grad()
def _describe(functions: SymmetryFunctions, systems: Systems) -> Tensor:
    pairs = neighbor_list(systems.positions, functions.cutoff, systems.system_idx)
    return functions(systems.numbers, pair_vectors(systems.positions, pairs), pairs)
