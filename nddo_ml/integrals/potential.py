"""The electrostatic potential of one-centre products of orbitals outside of their atom."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from nddo_ml.integrals.angular import SHELL, harmonics, product_multipoles
from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.integrals.point_charges import radial_moments

_POWERS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 0, 1), (0, 1, 1), (1, 1, 0))


def multipole_potential(vector: Tensor, separation: Tensor, width: int) -> Tensor:
    """``V_μν(r) = Σ_lm ⟨r^l⟩ ⟨μν|C_lm⟩ C_lm(r)/r^(l+1)`` up to the quadrupole, [n, points, products] 1/length.

    These are the moments that the method's point-charge models have. The models themselves, charges at finite
    distances that are turned to every point, obey Laplace's equation nowhere: a closed shell would not look round.

    Args:
        vector: from each atom to its points, [n, points, 3].
        separation: charge separations of the atoms, [n, 5] in the same unit of length.
        width: orbitals of the atoms: 1, 4 or 9.
    """
    r = vector.norm(dim=2, keepdim=True)
    if width == 1:
        return 1 / r
    ranks, columns, scales, harmonic, moments = _table(width)
    like = vector
    radial = scales.to(like) * separation[:, columns.to(like.device)] ** ranks.to(like)
    angular = _harmonics_at(vector / r)[..., harmonic.to(like.device)] * r ** -(ranks.to(like) + 1)
    return (angular * radial[:, None]) @ moments.to(like)


def _harmonics_at(direction: Tensor) -> Tensor:
    """C_lm of unit vectors, [..., 9]."""
    x, y, z = direction.unbind(dim=-1)
    monomials = torch.stack((torch.ones_like(x), x, y, z, x * x, y * y, z * z, x * z, y * z, x * y), dim=-1)
    return monomials @ _coefficients().to(direction)


@cache
def _coefficients() -> Tensor:
    """[monomials, 9]"""
    rows = [[f.get(power, 0.0) / (2 * SHELL[lm] + 1) ** 0.5 for lm, f in enumerate(harmonics())] for power in _POWERS]
    return torch.tensor(rows, dtype=torch.float64)


@cache
def _table(width: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of each multipole of each pair of shells: l, column and scale of its moment, lm, and ⟨μν|C_lm⟩ [products]."""
    moments = product_multipoles(width)
    shells = [tuple(sorted((SHELL[i], SHELL[k]))) for i, k in packed_pairs(width)]
    rows = []
    for one, two in sorted(set(shells)):
        members = torch.tensor([s == (one, two) for s in shells])
        for rank, column, scale in radial_moments((one, two)):
            rows += [(rank, column, scale, lm, moments[lm] * members) for lm in range(9) if SHELL[lm] == rank]
    ranks, columns, scales, harmonic, back = zip(*rows, strict=True)
    return torch.tensor(ranks), torch.tensor(columns), torch.tensor(scales), torch.tensor(harmonic), torch.stack(back)
