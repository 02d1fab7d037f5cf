"""One-centre two-electron integrals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nddo_ml.integrals.rotate import packed_index

if TYPE_CHECKING:
    from nddo_ml.parameters import Parameters


def one_center_integrals(p: Parameters, atoms: Tensor, width: int) -> Tensor:
    """Integrals (μν|λσ) on one atom, [n, products, products] eV in packed order, for width 1 or 4.

    (ss|ss) = g_ss, (ss|pp) = g_sp, (sp|sp) = h_sp, (pp|pp) = g_pp, (pp|p'p') = g_p2, (pp'|pp') = (g_pp − g_p2)/2.

    Args:
        p: parameters, [atoms] each.
        atoms: [n] the atoms wanted, all of block width ``width``.
        width: orbitals of each.
    """
    n = width * (width + 1) // 2
    w = torch.zeros(atoms.shape[0], n, n, dtype=p.g_ss.dtype, device=atoms.device)
    w[:, 0, 0] = p.g_ss[atoms]
    if width == 1:
        return w
    k = packed_index(4).tolist()
    for a in range(1, 4):
        w[:, 0, k[a][a]] = w[:, k[a][a], 0] = p.g_sp[atoms]
        w[:, k[0][a], k[0][a]] = p.h_sp[atoms]
        w[:, k[a][a], k[a][a]] = p.g_pp[atoms]
        for b in range(1, a):
            w[:, k[a][a], k[b][b]] = w[:, k[b][b], k[a][a]] = p.g_p2[atoms]
            w[:, k[a][b], k[a][b]] = 0.5 * (p.g_pp[atoms] - p.g_p2[atoms])
    return w
