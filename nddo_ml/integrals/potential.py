"""The electrostatic potential of one-centre products of orbitals at points in space."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from nddo_ml.integrals.angular import SHELL, harmonics, product_multipoles
from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.integrals.two_center import local_integrals

_AXIAL = (0, 3, 6)  # of the harmonics of l = 0, 1, 2 the one that is symmetric about z
_POWERS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 0, 1), (0, 1, 1), (1, 1, 0))


def product_potential(
    vector_bohr: Tensor, separation: Tensor, radius: Tensor, own_radius: Tensor, width: int
) -> Tensor:
    """``(μν|r)``, what a unit charge at r feels of each product of orbitals of an atom, [points, products] hartree.

    The charge is symmetric about every axis, so that along z the integral has ``(μν|r) = Σ_l c_l ⟨μν|C_l0⟩`` with one
    c_l a pair of shells, and along any direction u ``Σ_lm c_l ⟨μν|C_lm⟩ C_lm(u)``: nothing is rotated.

    Args:
        vector_bohr: from the atom to the point, [points, 3].
        separation: charge separations of the atom, [points, SEPARATIONS[width]] bohr.
        radius: its additive radii, [points, RADII[width]] bohr; zeros give the bare multipoles.
        own_radius: additive radius of the charge, [points] bohr.
        width: orbitals of the atom: 1, 4 or 9.
    """
    r = vector_bohr.norm(dim=1)
    nothing = separation.new_zeros(r.shape[0], 0)
    local = local_integrals(r, (separation, nothing), (radius, own_radius[:, None]), (width, 1)).squeeze(2)
    if width == 1:
        return local
    radial, columns, harmonic, back = (t.to(local) if t.is_floating_point() else t.to(r.device) for t in _table(width))
    return ((local @ radial)[:, columns] * _harmonics_at(vector_bohr / r[:, None])[:, harmonic]) @ back


def _harmonics_at(direction: Tensor) -> Tensor:
    """C_lm of unit vectors, [points, 9]."""
    x, y, z = direction.unbind(dim=1)
    monomials = torch.stack((torch.ones_like(x), x, y, z, x * x, y * y, z * z, x * z, y * z, x * y), dim=1)
    return monomials @ _coefficients().to(direction)


@cache
def _coefficients() -> Tensor:
    """[monomials, 9]"""
    rows = [[f.get(power, 0.0) / (2 * SHELL[lm] + 1) ** 0.5 for lm, f in enumerate(harmonics())] for power in _POWERS]
    return torch.tensor(rows, dtype=torch.float64)


@cache
def _table(width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """From integrals along z to c_l, [products, c]; then of each lm of each c_l its c and its lm, and ⟨μν|C_lm⟩."""
    moments = product_multipoles(width)
    shells = [tuple(sorted((SHELL[i], SHELL[k]))) for i, k in packed_pairs(width)]
    radial: list[Tensor] = []
    columns, harmonic, back = [], [], []
    for pair in sorted(set(shells)):
        members = torch.tensor([s == pair for s in shells])
        ranks = [rank for rank in range(pair[1] - pair[0], min(sum(pair), 2) + 1, 2)]
        along = torch.stack([moments[_AXIAL[rank]] * members for rank in ranks])
        for rank, row in zip(ranks, torch.linalg.pinv(along).T, strict=True):
            of_rank = [lm for lm in range(9) if SHELL[lm] == rank]
            columns += [len(radial)] * len(of_rank)
            harmonic += of_rank
            back += [moments[lm] * members for lm in of_rank]
            radial.append(row)
    return torch.stack(radial, dim=1), torch.tensor(columns), torch.tensor(harmonic), torch.stack(back)
