"""AtomicEnergyCorrection: an energy of every atom beside the field (delta learning)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self, final

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.hybrid.correction import Correction, Spread, copied
from nddo_ml.hybrid.features import AtomFeatures, Features
from nddo_ml.hybrid.networks import silent_networks
from nddo_ml.networks import ElementNetworks


@final
class AtomicEnergyCorrection(Correction):
    """``E → E + Σ_i s_i c N_Z(G_i)``, with s the presence of an atom and N an element network that starts at zero.

    A committee's networks have an output for each member, which is an estimate by itself; N is their mean, and σ their
    standard deviation. Where trust t in the atoms is below one, nothing is added, so that the error is that of the
    parent: the uncertainty of a structure is ``√((a σ)² + Σ_i (b (1 − t_i))²)``, of an atom the same for itself.

    Source: delta learning, Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087 (2015).

    Args:
        features: symmetry functions and their scaling.
        scale: c, eV; what one unit of the networks' output is worth.
        hidden: widths of the networks' hidden layers.
        seed: of the networks' weights.
        members: of the committee.
        uncertainty: a, and b in eV, calibrated on structures that the members were not fitted to.
    """

    of_field = False

    def __init__(
        self,
        features: AtomFeatures,
        scale: float = 1.0,
        hidden: Sequence[int] = (32, 32),
        seed: int | None = None,
        members: int = 1,
        uncertainty: tuple[float, float] = (1.0, 0.0),
    ) -> None:
        super().__init__()
        if members < 1 or min(uncertainty) < 0:
            raise InputError(f"expected members and no negative uncertainty; got {members} and {uncertainty}")
        self.features = features
        self.scale = scale
        self.hidden = tuple(hidden)
        self.members = members
        self.uncertainty = (uncertainty[0], uncertainty[1])
        self.networks = silent_networks(features, self.hidden, members, seed)

    def atomic_energies(self, features: Features) -> Tensor:
        """See the class, [atoms] eV."""
        return self.member_energies(features).mean(1)

    def member_energies(self, features: Features) -> Tensor:
        """What each member adds, [atoms, members] eV."""
        outputs = self.networks(features.values.double(), features.numbers)
        return self.scale * features.presence[:, None] * outputs.to(features.presence.dtype)

    def spread(self, features: Features, system_idx: Tensor, n_systems: int) -> Spread | None:
        """See the class; None for a single member."""
        if self.members == 1:
            return None
        trust = None if features.trust is None else features.trust.detach()
        return self.spread_of(self.member_energies(features).detach(), trust, system_idx, n_systems)

    def spread_of(self, energies: Tensor, trust: Tensor | None, system_idx: Tensor, n_systems: int) -> Spread:
        """See the class; of the members' energies [atoms, members] eV and trust in the atoms."""
        a, b = self.uncertainty
        outside = torch.zeros_like(energies[:, 0]) if trust is None else b * (1 - trust)

        def summed(x: Tensor) -> Tensor:
            return x.new_zeros(n_systems, *x.shape[1:]).index_add(0, system_idx, x)

        return Spread(
            torch.hypot(a * summed(energies).std(1), summed(outside.square()).sqrt()),
            torch.hypot(a * energies.std(1), outside),
        )

    @classmethod
    def committee(cls, members: Sequence[AtomicEnergyCorrection]) -> AtomicEnergyCorrection:
        """One correction of several with the same features and shape, whose networks stand side by side in one.

        Raises:
            InputError: other features, scales or widths, or a member that is a committee itself.
        """
        first = members[0]
        if any(m.to_config() != first.to_config() or m.members > 1 for m in members):
            raise InputError("members of a committee must be alike in scale and widths, and single")
        n = len(members)
        made = cls(first.features, first.scale, [n * width for width in first.hidden], members=n)
        for z, network in made.networks.by_number.items():
            for k, layer in enumerate(network.linears):
                parts = [m.networks.of(z).linears[k] for m in members]
                weights = [p.weight.detach() for p in parts]
                with torch.no_grad():
                    layer.weight.copy_(torch.cat(weights) if k == 0 else torch.block_diag(*weights))
                    layer.bias.copy_(torch.cat([p.bias.detach() for p in parts]))
        return made

    def apart(self) -> list[ElementNetworks]:
        """The members' own networks where :meth:`committee` has set them side by side; else all in one."""
        n, together = self.members, [self.networks]
        if n == 1 or any(width % n for width in self.hidden):
            return together
        shapes = {
            z: replace(shape, hidden=tuple(width // n for width in shape.hidden), n_outputs=1)
            for z, shape in self.networks.shapes.items()
        }
        members = [ElementNetworks(shapes, seed=0) for _ in range(n)]
        for z, network in self.networks.by_number.items():
            for depth, layer in enumerate(network.linears):
                rows = layer.weight.detach().chunk(n)
                blocks = [w.chunk(n, dim=1)[k] if depth else w for k, w in enumerate(rows)]
                if sum(int(w.count_nonzero()) for w in blocks) < int(layer.weight.count_nonzero()):
                    return together
                for member, weight, bias in zip(members, blocks, layer.bias.detach().chunk(n), strict=True):
                    own = member.of(z).linears[depth]
                    with torch.no_grad():
                        own.weight.copy_(weight)
                        own.bias.copy_(bias)
        return members

    def scaled(self, factor: float) -> AtomicEnergyCorrection:
        """See the base class."""
        return copied(self, {**self.to_config(), "scale": factor * self.scale})

    def to_config(self) -> dict[str, Any]:
        """See the base class."""
        return {
            "scale": self.scale,
            "hidden": list(self.hidden),
            "members": self.members,
            "uncertainty": list(self.uncertainty),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], features: AtomFeatures) -> Self:
        """See the base class."""
        return cls(features, **config)
