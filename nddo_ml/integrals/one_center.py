"""One-centre two-electron integrals."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nddo_ml.integrals.angular import SHELL, coulomb_coupling
from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.methods.slater_condon import RADIAL_TERMS, SP_TERMS

if TYPE_CHECKING:
    from nddo_ml.methods.parameters import Parameters


def one_center_integrals(p: Parameters, atoms: Tensor, width: int) -> Tensor:
    """Integrals (μν|λσ) on one atom, [n, products, products] eV in packed order, for width 1, 4 or 9.

    ``(μν|λσ) = Σ_k R^k Σ_m ⟨μν|C_km⟩⟨C_km|λσ⟩`` with the Slater–Condon parameters R^k; those of s and p are
    given as (ss|ss) = g_ss, (ss|pp) = g_sp, (sp|sp) = h_sp, (pp|pp) = g_pp, (pp|p'p') = g_p2, and
    (pp'|pp') = (g_pp − g_p2)/2.

    Args:
        p: parameters, [atoms] each.
        atoms: [n] the atoms wanted, all of block width ``width``.
        width: orbitals of each.
    """
    g_ss, g_sp, g_pp, g_p2, h_sp = (t[atoms] for t in (p.g_ss, p.g_sp, p.g_pp, p.g_p2, p.h_sp))
    radial = sp_radial(g_ss, g_sp, g_pp, g_p2, h_sp)
    if width == 9:
        radial = torch.cat((radial, p.slater_condon[atoms]), dim=1)
    return from_radial(radial, width)


def sp_radial(g_ss: Tensor, g_sp: Tensor, g_pp: Tensor, g_p2: Tensor, h_sp: Tensor) -> Tensor:
    """Slater–Condon parameters F0ss, F0sp, G1sp, F0pp, F2pp of the integrals of s and p, [n, 5] eV."""
    return torch.stack((g_ss, g_sp, 3 * h_sp, (g_pp + 2 * g_p2) / 3, (g_pp - g_p2) * (25 / 6)), dim=1)


def from_radial(radial: Tensor, width: int) -> Tensor:
    """Integrals [n, products, products] eV from Slater–Condon parameters [n, terms] as in RADIAL_TERMS.

    A block of width 1 needs the first, one of width 4 the first five of them.
    """
    table = _table(width).to(radial)
    products = width * (width + 1) // 2
    return (radial[:, : table.shape[0]] @ table).view(-1, products, products)


@cache
def _table(width: int) -> Tensor:
    """[terms, products * products]: how much of each Slater–Condon parameter an integral holds."""
    shells = torch.tensor([sorted((SHELL[i], SHELL[k])) for i, k in packed_pairs(width)])
    rows = []
    for rank, one, two in RADIAL_TERMS[: {1: 1, 4: SP_TERMS, 9: len(RADIAL_TERMS)}[width]]:
        of_one, of_two = ((shells == torch.tensor(pair)).all(dim=1) for pair in (one, two))
        block = of_one[:, None] & of_two[None, :]
        rows.append(torch.where(block | block.T, coulomb_coupling(rank, width), 0.0).flatten())
    return torch.stack(rows)
