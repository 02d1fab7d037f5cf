"""Charges of atoms: equilibrated, of networks, by element, of a published model; all add up to the total exactly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor, nn

from nddo_ml.electrostatics.eeq import eeq_charges
from nddo_ml.electrostatics.rows import AtomRows
from nddo_ml.networks import ElementNetworks, NetworkShape
from nddo_ml.systems import Systems


@dataclass(frozen=True)
class Surroundings:
    """What charges may depend on."""

    systems: Systems
    scaled: Tensor  # [atoms, F] scaled symmetry functions
    rows: AtomRows
    coulomb: Tensor  # [systems, rows, rows] eV/e², of Gaussian charges


class ChargeModel(nn.Module, ABC):
    """Charges [atoms] e of a batch, differentiable by positions, cells and weights."""

    @property
    def shapes(self) -> Mapping[int, NetworkShape]:
        """Of its networks, by atomic number; none where it has no networks."""
        return {}

    @abstractmethod
    def forward(self, around: Surroundings) -> Tensor: ...

    @classmethod
    @abstractmethod
    def blank(cls, shapes: Mapping[int, NetworkShape]) -> Self:
        """One whose weights are yet to be loaded, with networks of these shapes where it has any."""


@final
class EquilibratedCharges(ChargeModel):
    """Minimise ``Σ_i (χ_i q_i + ½ J_i q_i²) + ½ qᵀ A q`` at ``Σ_i q_i = Q``: ``(A + J) q = μ − χ``.

    The electronegativity χ_i = s N_Z(G_i) is a network's, the hardness J > 0 an element's. The derivative of the
    charges is one more solution with the same matrix, torch's of a linear solve, and so are second derivatives.

    Source: Ko, Finkler, Goedecker & Behler, Nat. Commun. 12, 398 (2021), eqs. 1 to 6.
    """

    log_hardness: Tensor  # [120] of J in eV/e², by atomic number
    scale: Tensor  # s, eV/e

    def __init__(self, networks: ElementNetworks, hardness: Mapping[int, float], scale: float = 1.0) -> None:
        super().__init__()
        self.networks = networks
        table = torch.zeros(120, dtype=torch.float64)
        for number, value in hardness.items():
            table[number] = value
        self.log_hardness = nn.Parameter(table.clamp(min=1e-12).log())
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    @property
    def hardness(self) -> Tensor:
        """J in eV/e² by atomic number, [120]."""
        return self.log_hardness.exp()

    @property
    def shapes(self) -> Mapping[int, NetworkShape]:
        """See the base class."""
        return self.networks.shapes

    @classmethod
    def blank(cls, shapes: Mapping[int, NetworkShape]) -> Self:
        """See the base class."""
        return cls(ElementNetworks(shapes, seed=0), {})

    def forward(self, around: Surroundings) -> Tensor:
        numbers, rows = around.systems.numbers, around.rows
        chi = rows.padded(self.scale * self.networks(around.scaled, numbers).squeeze(1))
        hardness = rows.padded(self.hardness[numbers])
        mask = rows.mask.to(chi)
        right = torch.stack([-chi, mask], 2)
        free, unit = torch.linalg.solve(around.coulomb + torch.diag_embed(hardness + 1 - mask), right).unbind(2)
        missing = around.systems.charge.to(chi) - free.sum(1)
        return rows.flat(free + (missing / unit.sum(1))[:, None] * unit)


@final
class NetworkCharges(ChargeModel):
    """``q_i = N_Z(G_i)``, shifted alike for all atoms of a system to its total charge: local charges.

    Source: Morawietz, Sharma & Behler, J. Chem. Phys. 136, 064103 (2012).
    """

    def __init__(self, networks: ElementNetworks) -> None:
        super().__init__()
        self.networks = networks

    @property
    def shapes(self) -> Mapping[int, NetworkShape]:
        """See the base class."""
        return self.networks.shapes

    @classmethod
    def blank(cls, shapes: Mapping[int, NetworkShape]) -> Self:
        """See the base class."""
        return cls(ElementNetworks(shapes, seed=0))

    def forward(self, around: Surroundings) -> Tensor:
        found = self.networks(around.scaled, around.systems.numbers).squeeze(1)
        return _shifted(found, around)


@final
class FixedCharges(ChargeModel):
    """A charge an element, shifted alike for all atoms of a system to its total charge."""

    charges: Tensor  # [120] e, by atomic number

    def __init__(self, charges: Mapping[int, float]) -> None:
        super().__init__()
        table = torch.zeros(120, dtype=torch.float64)
        for number, value in charges.items():
            table[number] = value
        self.charges = nn.Parameter(table)

    @classmethod
    def blank(cls, shapes: Mapping[int, NetworkShape]) -> Self:
        """See the base class."""
        return cls({})

    def forward(self, around: Surroundings) -> Tensor:
        return _shifted(self.charges[around.systems.numbers], around)


@final
class PublishedCharges(ChargeModel):
    """Charges of the EEQ model (:func:`~nddo_ml.electrostatics.eeq.eeq_charges`), which nothing here changes."""

    @classmethod
    def blank(cls, shapes: Mapping[int, NetworkShape]) -> Self:
        """See the base class."""
        return cls()

    def forward(self, around: Surroundings) -> Tensor:
        return around.rows.flat(eeq_charges(around.systems, around.rows))


def _shifted(charges: Tensor, around: Surroundings) -> Tensor:
    systems, counts = around.systems, around.rows.counts
    total = charges.new_zeros(systems.n_systems).index_add(0, systems.system_idx, charges)
    return charges + ((systems.charge - total) / counts)[systems.system_idx]
