"""Local frames of pairs and the rotation of orbitals and of products of orbitals.

Integrals turn with their pair, so what a rotation of the pair does to them is a constant, sparse generator, and the
derivative by the direction of the pair is a torque: no rotation matrix needs to be differentiated.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from nddo_ml.integrals.packing import packed_index, packed_pairs

# x²−y², xz, z², yz, xy as (row, column, value) of a symmetric matrix, not normalised
_D_FORMS = (
    ((0, 0, 1.0), (1, 1, -1.0)),
    ((0, 2, 1.0),),
    ((0, 0, -1.0), (1, 1, -1.0), (2, 2, 2.0)),
    ((1, 2, 1.0),),
    ((0, 1, 1.0),),
)


def local_frames(direction: Tensor) -> Tensor:
    """Right-handed frames whose third axis is ``direction``.

    The other two axes are chosen by the Cartesian axis least aligned with the pair, so that the frame and all its
    derivatives are finite for every direction, along ±x, ±y, ±z as well. The integrals are axially symmetric about
    the pair, so nothing depends on this choice.

    Args:
        direction: [pairs, 3] unit vectors.

    Returns:
        [pairs, 3, 3]; row k is the k-th local axis in Cartesian components.
    """
    with torch.no_grad():
        helper = torch.nn.functional.one_hot(direction.abs().argmin(dim=1), 3).to(direction.dtype)
    x = torch.linalg.cross(helper, direction)
    x = x / x.norm(dim=1, keepdim=True)
    y = torch.linalg.cross(direction, x)
    return torch.stack((x, y, direction), dim=1)


def orbital_rotation(frames: Tensor, width: int) -> Tensor:
    """Matrix from local to Cartesian orbitals (s, px, py, pz, d as in ``angular``), [pairs, width, width]."""
    n = frames.shape[0]
    if width == 1:
        return frames.new_ones(n, 1, 1)
    rotation = frames.new_zeros(n, width, width)
    rotation[:, 0, 0] = 1
    rotation[:, 1:4, 1:4] = frames.transpose(1, 2)
    if width == 9:
        d = _quadratic_forms().to(frames)
        turned = frames.transpose(1, 2)[:, None] @ d @ frames[:, None]  # local functions in Cartesian components
        rotation[:, 4:, 4:] = d.flatten(1) @ turned.flatten(2).transpose(1, 2)
    return rotation


@cache
def _quadratic_forms() -> Tensor:
    """The d functions as symmetric matrices Q of xᵀQx with tr Q² = 1, [5, 3, 3]."""
    forms = torch.zeros(5, 3, 3, dtype=torch.float64)
    for k, entries in enumerate(_D_FORMS):
        for i, j, value in entries:
            forms[k, i, j] = forms[k, j, i] = value
    return forms / forms.flatten(1).norm(dim=1)[:, None, None]


_SHELLS = (slice(0, 1), slice(1, 4), slice(4, 9))  # s, p, d among the orbitals of an atom


def product_rotation(rotation: Tensor) -> Tensor:
    """Matrix from local to Cartesian products of orbitals in packed order, [pairs, w(w+1)/2, w(w+1)/2].

    ``|μν) = Σ_{m≥n} R_μm R_νn + R_μn R_νm (once for m = n) |mn)``; products of two shells mix only with each other.
    """
    width = rotation.shape[1]
    index = packed_index(width)
    products = len(packed_pairs(width))
    result = rotation.new_zeros(rotation.shape[0], products, products)
    shells = [s for s in _SHELLS if s.start < width]
    for i, one in enumerate(shells):
        for two in shells[: i + 1]:
            r_one, r_two = rotation[:, one, one], rotation[:, two, two]
            outer = (r_one[:, :, None, :, None] * r_two[:, None, :, None, :]).flatten(3).flatten(1, 2)
            block = _symmetrized(outer, r_one.shape[1]) if one == two else outer
            at = index[one, two].flatten() if one != two else index[one, one][_lower(r_one.shape[1])]
            at = at.to(rotation.device)
            result[:, at[:, None], at] = block
    return result


def _lower(size: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.tril_indices(size, size)
    return rows, columns


@cache
def _symmetrizer(size: int) -> Tensor:
    """[size², size(size+1)/2]: sums the products mn and nm."""
    table = torch.zeros(size * size, size * (size + 1) // 2, dtype=torch.float64)
    for k, (m, n) in enumerate(packed_pairs(size)):
        table[m * size + n, k] = table[n * size + m, k] = 1
    return table


def _symmetrized(outer: Tensor, size: int) -> Tensor:
    """Of R_μm R_νn [pairs, μν, mn] the rows μ ≥ ν, with columns mn and nm summed."""
    rows = torch.tensor([m * size + n for m, n in packed_pairs(size)], device=outer.device)
    return outer[:, rows] @ _symmetrizer(size).to(outer)


def rotate_blocks(blocks: Tensor, direction: Tensor, widths: tuple[int, int], *, products: bool) -> Tensor:
    """Blocks of pairs from the local to the Cartesian frame, ``D_A B D_Bᵀ``, differentiable by blocks and direction.

    Args:
        blocks: [pairs, n_a, n_b], over the orbitals or the packed products of A and of B; a further last row or column
            (a core) does not turn.
        direction: [pairs, 3] unit vectors from A to B.
        widths: of A and of B.
        products: whether rows and columns are products of orbitals.
    """
    rotations = _rotations(direction.detach(), widths, products, blocks.shape)
    transposed = False
    return _RotateBlocks.apply(blocks, direction, rotations, _generators(blocks, widths, products), transposed)


def _rotations(direction: Tensor, widths: tuple[int, int], products: bool, shape: torch.Size) -> list[Tensor]:
    frames = local_frames(direction)
    rotations: list[Tensor] = []
    for width, rows in zip(widths, shape[1:], strict=True):
        if rotations and width == widths[0] and rows == shape[1]:
            return [*rotations, rotations[0]]
        matrix = orbital_rotation(frames, width)
        matrix = product_rotation(matrix) if products else matrix
        if matrix.shape[1] < rows:
            core = torch.eye(rows, dtype=matrix.dtype, device=matrix.device).repeat(matrix.shape[0], 1, 1)
            core[:, :-1, :-1] = matrix
            matrix = core
        rotations.append(matrix)
    return rotations


def _turned(blocks: Tensor, rotation_a: Tensor, rotation_b: Tensor) -> Tensor:
    blocks = blocks if rotation_a.shape[1] == 1 else rotation_a @ blocks
    return blocks if rotation_b.shape[1] == 1 else blocks @ rotation_b.transpose(1, 2)


@cache
def _generator(width: int, products: bool, rows: int) -> Tensor:
    """Derivative of the rotation matrix by the angles about x, y, z, [rows * rows, 3], at no rotation."""

    step = 1e-30j  # a rotation matrix is a polynomial of the angles, so this derivative is exact
    axes = torch.eye(3, dtype=torch.float64)
    turns = torch.stack([torch.linalg.cross(axis.expand(3, 3), axes) for axis in axes])  # rows: axis × e_k
    rotation = orbital_rotation(axes + step * turns, width)
    rotation = product_rotation(rotation) if products else rotation
    derivative = (rotation.imag / step.imag).permute(1, 2, 0)
    n = derivative.shape[0]
    padded = torch.zeros(rows, rows, 3, dtype=torch.float64)
    padded[:n, :n] = derivative
    return padded.view(-1, 3)


def _generators(blocks: Tensor, widths: tuple[int, int], products: bool) -> tuple[Tensor | None, Tensor | None]:
    """Those of A and of B; None where nothing turns."""
    a, b = (
        _generator(width, products, rows).to(blocks) if width > 1 else None
        for width, rows in zip(widths, blocks.shape[1:], strict=True)
    )
    return a, b


class _RotateBlocks(torch.autograd.Function):
    """``D_A B D_Bᵀ`` or, transposed, ``D_Aᵀ B D_B``, with the torque as derivative by the direction.

    Each is the other's derivative by the blocks, so that derivatives of every order are of this kind.
    """

    @staticmethod
    def forward(
        ctx: Any,
        blocks: Tensor,
        direction: Tensor,
        rotations: list[Tensor],
        generators: tuple[Tensor | None, Tensor | None],
        transposed: bool,
    ) -> Tensor:
        turned = _turned(blocks, *(r.transpose(1, 2) if transposed else r for r in rotations))
        ctx.save_for_backward(blocks, direction, turned)
        ctx.rotations, ctx.generators, ctx.transposed = rotations, generators, transposed
        return turned

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        blocks, direction, turned = ctx.saved_tensors
        back = _RotateBlocks.apply(grad, direction, ctx.rotations, ctx.generators, not ctx.transposed)
        if not ctx.needs_input_grad[1]:
            return back, None, None, None, None
        value, weight = (back, blocks) if ctx.transposed else (turned, grad)
        torque = torch.zeros_like(direction)
        ends = ((value, weight), (value.transpose(1, 2), weight.transpose(1, 2)))
        for generator, (v, w) in zip(ctx.generators, ends, strict=True):
            if generator is not None:
                torque = torque + (w @ v.transpose(1, 2)).flatten(1) @ generator
        return back, torch.linalg.cross(torque, direction), None, None, None
