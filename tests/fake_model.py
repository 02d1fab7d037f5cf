"""A cheap model for fast tests of what surrounds a model: Morse pairs, with the calls of NDDO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.derivatives import forces_from_positions
from nddo_ml.errors import SCFConvergenceError
from nddo_ml.models.base import AbstractModel, Capabilities, Prediction, Request
from nddo_ml.systems import Systems

RADII = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66}  # Å


@dataclass(frozen=True)
class FakeSCF:
    """What a self-consistent field leaves behind, without one."""

    density: Tensor  # [systems, 1, M, M]
    converged: Tensor  # [systems]
    iterations: Tensor  # [systems]; 1 where a start was given, else 10
    homo: Tensor  # [systems] eV
    lumo: Tensor  # [systems] eV


Failing = Callable[[int, Systems], list[int]]  # number of the call and batch -> systems that do not converge


def _never(call: int, systems: Systems) -> list[int]:
    return []


class MorseModel(AbstractModel):
    """E = Σ_pairs D[(1 − exp(−a(r − r0)))² − 1], r0 the sum of covalent radii; H, C, N, O; molecules only."""

    def __init__(self, depth: float = 4.0, width: float = 1.5, failing: Failing = _never) -> None:
        super().__init__()
        self.name = "Morse"
        self.elements = frozenset(RADII)
        self.periodic = False
        self.depth = depth
        self.width = width
        self.failing = failing
        self.calls: list[int] = []  # systems of each call
        self.starts: list[bool] = []  # whether a start was given

    @property
    def capabilities(self) -> Capabilities:
        properties = frozenset({"energy", "forces", "charges", "dipole"})
        return Capabilities(self.elements, periodic=False, charge=True, spin=True, properties=properties, density=True)

    def forward(self, systems: Systems, request: Request) -> Prediction:
        """Energies and forces; a density-like tensor in ``scf``."""
        self.calls.append(systems.n_systems)
        self.starts.append(request.start is not None)
        if failed := self.failing(len(self.calls), systems):
            raise SCFConvergenceError("the SCF did not converge", failed)
        positions = systems.positions.detach().requires_grad_(request.forces)
        i, j = torch.triu_indices(systems.n_atoms, systems.n_atoms, 1)
        same = systems.system_idx[i] == systems.system_idx[j]
        i, j = i[same], j[same]
        r = (positions[i] - positions[j]).norm(dim=1)
        radii = torch.tensor([RADII.get(z, 0.0) for z in range(9)], dtype=positions.dtype)[systems.numbers]
        pair = self.depth * ((1 - torch.exp(-self.width * (r - radii[i] - radii[j]))) ** 2 - 1)
        energy = pair.new_zeros(systems.n_systems).index_add(0, systems.system_idx[i], pair)
        n, size = systems.n_systems, int(systems.atoms_per_system.max())
        scf = FakeSCF(
            torch.zeros(n, 1, size, size, dtype=positions.dtype),
            torch.ones(n, dtype=torch.bool),
            torch.full((n,), 10 if request.start is None else 1),
            torch.full((n,), -10.0),
            torch.full((n,), torch.nan),
        )
        return Prediction(
            energy=energy.detach(),
            forces=forces_from_positions(energy, positions) if request.forces else None,
            charges=torch.zeros_like(positions[:, 0]).detach(),
            dipole=torch.zeros(n, 3, dtype=positions.dtype),
            scf=scf,
        )
