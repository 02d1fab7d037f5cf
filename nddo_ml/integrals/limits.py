"""Changes of two-centre integrals that some methods have: point charges at a distance, shifted d orbitals."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.integrals.packing import packed_index
from nddo_ml.methods.published import PointChargeLimit

_S, _P, _D = slice(0, 1), slice(1, 4), slice(4, 9)


def integral_weight(r: Tensor, limit: PointChargeLimit) -> Tensor:
    """``w(R) = 1 − exp(−steepness (R − distance)²)`` below the distance, 0 beyond, with value and slope continuous."""
    return -torch.expm1(-limit.steepness * (r - limit.distance).clamp(max=0) ** 2)


def toward_point_charges(
    blocks: Tensor, r: Tensor, point: Tensor, limit: PointChargeLimit, widths: tuple[int, int]
) -> Tensor:
    """``w (μν|λσ) + (1 − w) δ_μν δ_λσ e²/R``, cores counting as a product μμ.

    Args:
        blocks: [pairs, products_a, products_b] eV in the local frame, with or without a last row and column for cores.
        r: [pairs] Å.
        point: [pairs] eV, e²/R.
        limit: of :func:`integral_weight`.
        widths: of A and of B.
    """
    w = integral_weight(r, limit)
    one, two = (_diagonal(width, rows, blocks) for width, rows in zip(widths, blocks.shape[1:], strict=True))
    return w[:, None, None] * blocks + ((1 - w) * point)[:, None, None] * (one[:, None] * two)


def averaged_d(blocks: Tensor, widths: tuple[int, int], on_a: Tensor, on_b: Tensor) -> Tensor:
    """The mean of (dd|ss), of (dd|pp), of (dd|dd) and of d's attraction by the other core made that of (ss|ss).

    All members of such a group are shifted by one constant, so that the sum over a shell stays invariant to rotation.
    Attraction of the p orbitals of an atom with d electrons by a core that has p orbitals is shifted likewise.

    Args:
        blocks: as in :func:`toward_point_charges`, with a row and a column for cores.
        widths: of A and of B.
        on_a, on_b: [pairs] bool, whether the atom has d electrons.
    """
    turned = _d_of_first(blocks.transpose(1, 2), widths[::-1], on_b, on_a, both=False).transpose(1, 2)
    return blocks + _d_of_first(blocks, widths, on_a, on_b, both=True) + turned


def _d_of_first(blocks: Tensor, widths: tuple[int, int], on: Tensor, other: Tensor, *, both: bool) -> Tensor:
    """Shifts of the groups with d orbitals of the first atom; those of (dd|dd) if ``both``."""
    total = torch.zeros_like(blocks)
    if widths[0] < 9:
        return total
    first, second = (packed_index(width).diagonal().to(blocks.device) for width in widths)
    core = torch.tensor([blocks.shape[2] - 1], device=blocks.device)
    groups = [(first[_D], second[_S], 0, on), (first[_D], core, -1, on)]
    if widths[1] > 1:
        groups += [(first[_D], second[_P], 0, on), (first[_P], core, -1, on)]
    if widths[1] == 9 and both:
        groups.append((first[_D], second[_D], 0, on & other))
    for rows, columns, target, chosen in groups:
        members = blocks[:, rows[:, None], columns]
        shift = torch.where(chosen, blocks[:, 0, target] - members.mean(dim=(1, 2)), 0.0)
        mask = torch.zeros_like(blocks[0])
        mask[rows[:, None], columns] = 1
        total = total + shift[:, None, None] * mask
    return total


def _diagonal(width: int, rows: int, like: Tensor) -> Tensor:
    """1 for products of an orbital with itself and for a core, else 0, [rows]."""
    diagonal = like.new_zeros(rows)
    diagonal[packed_index(width).diagonal().to(like.device)] = 1
    diagonal[width * (width + 1) // 2 :] = 1
    return diagonal
