"""Slater–Condon parameters of atoms with d orbitals: radial one-centre integrals over Slater functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# (k, shells of electron 1, shells of electron 2) of R^k; 0, 1, 2 are s, p, d. Those of s and p come first.
RADIAL_TERMS: tuple[tuple[int, tuple[int, int], tuple[int, int]], ...] = (
    (0, (0, 0), (0, 0)),
    (0, (0, 0), (1, 1)),
    (1, (0, 1), (0, 1)),
    (0, (1, 1), (1, 1)),
    (2, (1, 1), (1, 1)),
    (0, (0, 0), (2, 2)),
    (0, (1, 1), (2, 2)),
    (0, (2, 2), (2, 2)),
    (1, (1, 2), (1, 2)),
    (1, (0, 1), (1, 2)),
    (2, (0, 2), (0, 2)),
    (2, (1, 1), (2, 2)),
    (2, (2, 2), (2, 2)),
    (2, (1, 1), (0, 2)),
    (2, (0, 2), (2, 2)),
    (3, (1, 2), (1, 2)),
    (4, (2, 2), (2, 2)),
)
SP_TERMS = 5
F0_SD, F0_PD, F0_DD, G1_PD, R1_SP_PD, G2_SD, F2_PD, F2_DD, R2_PP_SD, R2_SD_DD, G3_PD, F4_DD = range(5, 17)
_FACTORIALS = torch.tensor([float(math.factorial(k)) for k in range(32)], dtype=torch.float64)


def slater_condon(zeta: Tensor, principal: Tensor, hartree_ev: float) -> Tensor:
    """Radial integrals of Slater functions, in the order of RADIAL_TERMS.

    ``R^k(ab, cd) = ∫∫ R_a R_b(1) r_<^k / r_>^{k+1} R_c R_d(2)``

    Source: Thiel & Voityuk, Theor. Chim. Acta 81, 391 (1992), and Kumar & Mishra, Pramana 29, 385 (1987).

    Args:
        zeta: [atoms, 3] 1/bohr, internal exponents of s, p, d.
        principal: [atoms, 3] int64, principal quantum numbers of s, p, d.
        hartree_ev: the method's hartree in eV.

    Returns:
        [atoms, 17] eV.
    """
    z, n = zeta.to(torch.float64), principal
    terms = []
    for k, (a, b), (c, d) in RADIAL_TERMS:
        exponents, powers = (z[:, a] + z[:, b], z[:, c] + z[:, d]), (n[:, a] + n[:, b], n[:, c] + n[:, d])
        norm = torch.ones_like(z[:, 0])
        for shell in (a, b, c, d):
            norm = norm * (2 * z[:, shell]) ** (n[:, shell] + 0.5) / torch.sqrt(factorial(2 * n[:, shell]))
        outside = _outer_region(k, powers[0], exponents[0], powers[1], exponents[1])
        inside = _outer_region(k, powers[1], exponents[1], powers[0], exponents[0])
        terms.append(hartree_ev * norm * (outside + inside))
    return torch.stack(terms, dim=1).to(zeta.dtype)


def _outer_region(k: int, n_in: Tensor, inner: Tensor, n_out: Tensor, outer: Tensor) -> Tensor:
    """``∫ dr r^{n_in + k} e^{−inner·r} ∫_r^∞ ds s^{n_out − k − 1} e^{−outer·s}``: a sum of positive terms."""
    q = n_out - k - 1
    total = torch.zeros_like(inner)
    for j in range(int(q.max()) + 1):
        left = (q - j).clamp(min=0)
        term = factorial(q) / math.factorial(j) * outer ** -(left + 1)
        term = term * factorial(n_in + k + j) / (inner + outer) ** (n_in + k + j + 1)
        total = total + torch.where(j <= q, term, torch.zeros_like(term))
    return total


def factorial(n: Tensor) -> Tensor:
    """n! of an int64 tensor, n < 32, float64."""
    return _FACTORIALS.to(n.device)[n]
