"""Springs that hold distances during an optimisation, a few of each system of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.workflows.fragments import Bond

STIFFNESS = 20.0  # eV/Å², about that of a single bond


@dataclass(frozen=True)
class Restraints:
    """``E = ½ k Σ (r − r_0)²`` of each system; systems with fewer distances than others are filled up with k = 0."""

    pairs: Tensor  # [systems, held, 2] int64, places of the atoms within their system
    lengths: Tensor  # [systems, held] r_0, Å
    stiffness: Tensor  # [systems, held] k, eV/Å²

    @classmethod
    def of(cls, pairs: Sequence[Sequence[Bond]], lengths: Sequence[Sequence[float]]) -> Restraints:
        """Springs of one stiffness at the given lengths, Å, of each system's pairs."""
        held = max(map(len, pairs))
        filled = [[*p, *[(0, 1)] * (held - len(p))] for p in pairs]
        padded = [[*r, *[0.0] * (held - len(r))] for r in lengths]
        strength = [[STIFFNESS] * len(p) + [0.0] * (held - len(p)) for p in pairs]
        return cls(
            torch.tensor(filled), torch.tensor(padded, dtype=torch.float64), torch.tensor(strength, dtype=torch.float64)
        )

    def select(self, index: Tensor) -> Restraints:
        """Those of the systems ``index`` alone."""
        return Restraints(self.pairs[index], self.lengths[index], self.stiffness[index])

    def energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Energies [systems] eV and gradients eV/Å like ``x``, coordinates [systems, 3 size] Å."""
        rows, (i, j), r = self._rows(x)
        stretched = r - self.lengths
        gradient = torch.zeros_like(x).reshape(len(x), -1, 3)
        pull = (self.stiffness * stretched)[:, :, None] * rows
        gradient.scatter_add_(1, i[:, :, None].expand_as(pull), -pull)
        gradient.scatter_add_(1, j[:, :, None].expand_as(pull), pull)
        return 0.5 * (self.stiffness * stretched.square()).sum(1), gradient.reshape(x.shape)

    def hessian(self, x: Tensor) -> Tensor:
        """``k Σ u uᵀ`` [systems, 3 size, 3 size] eV/Å², the part that is never negative."""
        rows, (i, j), _ = self._rows(x)
        along = x.new_zeros(len(x), rows.shape[1], x.shape[1] // 3, 3)
        system, held = torch.meshgrid(torch.arange(len(x)), torch.arange(rows.shape[1]), indexing="ij")
        along[system, held, i] = -rows
        along[system, held, j] = rows
        u = along.flatten(2)
        return torch.einsum("sh,shi,shj->sij", self.stiffness, u, u)

    def _rows(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """Unit vectors [systems, held, 3] of the pairs, the places of their atoms, and their distances."""
        points = x.reshape(len(x), -1, 3)
        i, j = self.pairs.unbind(2)
        system = torch.arange(len(x))[:, None]
        vectors = points[system, j] - points[system, i]
        r = vectors.norm(dim=2)
        return vectors / r[:, :, None], (i, j), r
