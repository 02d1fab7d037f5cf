"""Rotation of blocks: its derivatives of first and second order against finite differences."""

from __future__ import annotations

from math import cos, pi, sin

import pytest
import torch
from torch import Tensor

from nddo_ml.integrals.rotate import orbital_rotation, product_rotation, rotate_blocks

_ANGLES = 17  # more than twice the largest angular momentum about the axis, so that a mean over them is exact


def axial_blocks(widths: tuple[int, int], n: int, *, products: bool) -> Tensor:
    """Random blocks [n, rows, columns] that a turn about the local third axis leaves as they are."""
    turns = [2 * pi * k / _ANGLES for k in range(_ANGLES)]
    frames = torch.tensor([[[cos(t), sin(t), 0.0], [-sin(t), cos(t), 0.0], [0.0, 0.0, 1.0]] for t in turns])
    a, b = (orbital_rotation(frames.double(), width) for width in widths)
    if products:
        a, b = product_rotation(a), product_rotation(b)
    drawn = torch.randn(n, 1, a.shape[1], b.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (a @ drawn @ b.transpose(1, 2)).mean(dim=1)


@pytest.mark.parametrize(
    ("widths", "products"), [((4, 1), False), ((4, 4), False), ((9, 4), False), ((4, 4), True), ((9, 1), True)]
)
def test_derivatives_of_first_and_second_order(widths: tuple[int, int], products: bool) -> None:
    """By the sizes of axially symmetric blocks and by the pair's vector, along the axes too."""
    basis = axial_blocks(widths, 3, products=products)
    sizes = torch.tensor([[0.7, -0.4, 1.1], [0.2, 0.9, -0.6]], dtype=torch.float64, requires_grad=True)
    vectors = torch.tensor([[0.3, -1.2, 0.8], [0.0, 0.0, 2.0]], dtype=torch.float64, requires_grad=True)

    def turned(sizes: Tensor, vectors: Tensor) -> Tensor:
        blocks = torch.einsum("pk,kab->pab", sizes, basis)
        direction = vectors / vectors.norm(dim=1, keepdim=True)
        # fewer numbers, so that all of them can be checked
        return rotate_blocks(blocks, direction, widths, products=products).flatten(1)[:, :60:3]

    assert torch.autograd.gradcheck(turned, (sizes, vectors))
    assert torch.autograd.gradgradcheck(turned, (sizes, vectors), fast_mode=True)
