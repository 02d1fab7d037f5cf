"""Pair vectors and norms with gradients that are always finite."""

from __future__ import annotations

import torch
from torch import Tensor

from bp_descriptors.neighbors import Pairs


def pair_vectors(
    positions: Tensor, pairs: Pairs, system_idx: Tensor | None = None, cell: Tensor | None = None
) -> Tensor:
    """r_ij = positions[j] + shift @ cell − positions[i], [pairs, 3] Å, differentiable in positions and cell.

    ``system_idx`` [atoms] says whose ``cell`` [systems, 3, 3] (rows are lattice vectors) an atom uses.
    """
    vectors = positions[pairs.j] - positions[pairs.i]
    if cell is None or not bool(pairs.shift.any()):
        return vectors
    cell = cell.to(positions.dtype)
    shift = pairs.shift.to(positions.dtype)
    if cell.shape[0] == 1:
        return vectors + shift @ cell[0]
    if system_idx is None:
        raise ValueError(f"system_idx is needed to choose among {cell.shape[0]} cells; got None")
    return vectors + torch.einsum("pk,pkl->pl", shift, cell[system_idx[pairs.i]])


def norm(vectors: Tensor) -> Tensor:
    """|v| along the last axis; a zero vector has norm 0 and derivatives 0 of every order instead of NaN."""
    square = vectors.square().sum(-1)
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())
