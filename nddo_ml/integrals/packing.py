"""Packed triangles of one-centre products."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def exchange_index(width_a: int, width_b: int) -> Tensor:
    """Where (μν|λσ) of the matrix (μλ) by (νσ) stands in a packed, flattened block."""
    ia, ib = packed_index(width_a), packed_index(width_b)
    columns = width_b * (width_b + 1) // 2
    index = ia[:, None, :, None] * columns + ib[None, :, None, :]
    return index.reshape(width_a * width_b, width_a * width_b)


def pack_charges(block: Tensor) -> Tensor:
    """Diagonal blocks [n, w, w] of a density to packed charges [n, products]; off-diagonal products count twice."""
    pairs = packed_pairs(block.shape[1])
    m = torch.tensor([p[0] for p in pairs], device=block.device)
    n = torch.tensor([p[1] for p in pairs], device=block.device)
    return block[:, m, n] + torch.where(m == n, torch.zeros_like(block[:, n, m]), block[:, n, m])


@cache
def packed_pairs(width: int) -> tuple[tuple[int, int], ...]:
    """Products μν of a block in packed order: (0,0), (1,0), (1,1), (2,0) …; a narrower block's order is a prefix."""
    return tuple((m, n) for m in range(width) for n in range(m + 1))


@cache
def packed_index(width: int) -> Tensor:
    """[width, width] position of the product μν in packed order."""
    index = torch.empty(width, width, dtype=torch.int64)
    for k, (m, n) in enumerate(packed_pairs(width)):
        index[m, n] = index[n, m] = k
    return index
