"""Lattice sums of Gaussian charges, by Ewald's splitting; crystals and slabs of any shape.

Every Gaussian of width σ is replaced by one of width s = max(σ, s_0), whose sum converges quickly over reciprocal
vectors and whose factors are each atom's own; what a narrower charge lacks is a short-ranged sum over pairs. The result
does not depend on s_0. Sums are cut where terms are below 1e-14 of the first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bp_descriptors import neighbor_list, norm, pair_vectors
from nddo_ml.errors import InputError

_EXPONENT = 34.0  # sums end where exp(−_EXPONENT) = 2e-15
_SPLIT = 0.15  # s_0 over (V²/atoms)^(1/6)


def lattice_matrix(
    positions: Tensor, cell: Tensor, pbc: Tensor, widths: Tensor, system: int = 0, *, splitting: float | None = None
) -> Tensor:
    """Interactions of unit Gaussian charges and all their images, [n, n] 1/Å, without the average of the potential.

    ``A_ij = (4π/V) Σ_k≠0 exp(−(s_i² + s_j²) k²/2) cos(k·r_ij)/k² + Σ_n [g(r_ij + n; γ) − g(r_ij + n; γ_s)] +
    δ_ij (1/σ_i − 1/s_i)/√π − 2π (γ_s² − γ²)/V``, ``g(r; γ) = erf(r/(√2 γ))/r``, ``γ² = σ_i² + σ_j²``, ``γ_s`` of s.

    Leaving out k = 0 is a uniform background that makes the cell neutral. A slab is a crystal whose third vector is
    normal and leaves a vacuum, with ``−(2π/V) (z_ij² + γ² + L²/6)`` added, which leaves the exact sum in two
    dimensions, ``−2π⟨|z_ij|⟩`` over the area and exponentially short-ranged terms, and no interaction with images of
    the slab.

    Args:
        positions: [n, 3] Å.
        cell: [3, 3] Å, rows are lattice vectors.
        pbc: [3] bool, two or three of them true.
        widths: σ, [n] Å.
        system: number of the system, for messages.
        splitting: s_0 in Å; left out, what is fast.

    Raises:
        InputError: a system that is periodic in one direction.

    Source: Ewald, Ann. Phys. 369, 253 (1921); slabs: Yeh & Berkowitz, J. Chem. Phys. 111, 3155 (1999), and
    Ballenegger, Arnold & Cerdà, J. Chem. Phys. 131, 094107 (2009).
    """
    slab = int(pbc.sum()) == 2
    if int(pbc.sum()) == 1:
        raise InputError(
            f"system {system}: electrostatics are for molecules, slabs and crystals; got one periodic direction"
        )
    box, height = _slab_box(positions, cell, pbc, widths) if slab else (cell, cell[2])
    volume = torch.linalg.det(box).abs()
    if splitting is None:
        splitting = _SPLIT * float(volume.detach() ** 2 / len(positions)) ** (1 / 6)
    broad = widths.clamp(min=splitting)
    matrix = _reciprocal(positions, box, volume, broad)
    matrix = matrix + _nearby(positions, cell, pbc, widths, broad)
    matrix = matrix + torch.diag((1 / widths - 1 / broad) / math.sqrt(math.pi))
    lost = broad.square() - widths.square()
    matrix = matrix - 2 * math.pi * (lost[:, None] + lost) / volume
    if slab:
        z = positions @ (box[2] / height)
        square = widths.square()
        smeared = (z[:, None] - z).square() + square[:, None] + square + height.square() / 6
        matrix = matrix - 2 * math.pi / volume * smeared
    return matrix


def _slab_box(positions: Tensor, cell: Tensor, pbc: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
    """The periodic vectors and a normal one with a vacuum; the latter's length, a constant."""
    a, b = cell[pbc]
    normal = torch.linalg.cross(a, b)
    area = normal.norm()
    normal = normal / area
    smallest = 2 * math.pi / float(torch.linalg.svdvals(cell[pbc].detach())[0])  # no reciprocal vector is shorter
    z = (positions @ normal).detach()
    gap = _EXPONENT / smallest + 2 * math.sqrt(2 * _EXPONENT) * float(widths.max())
    height = float(z.max() - z.min()) + gap
    return torch.stack([a, b, normal * height]), normal.new_tensor(height)


def _reciprocal(positions: Tensor, box: Tensor, volume: Tensor, broad: Tensor) -> Tensor:
    """``(4π/V) Σ_k≠0 exp(−(s_i² + s_j²) k²/2) cos(k·r_ij)/k²``, [n, n] 1/Å."""
    limit = math.sqrt(_EXPONENT) / float(broad.min())
    integers = _integers(box.detach(), limit).to(box)
    k = 2 * math.pi * integers @ torch.linalg.inv(box).T
    square = k.square().sum(1)
    phase = positions @ k.T
    factor = (8 * math.pi / volume / square).sqrt() * torch.exp(-0.5 * broad.square()[:, None] * square)
    even, odd = factor * phase.cos(), factor * phase.sin()
    return even @ even.T + odd @ odd.T


def _integers(box: Tensor, limit: float) -> Tensor:
    """One of k and −k of all reciprocal vectors shorter than ``limit``, as integers [vectors, 3]."""
    reciprocal = 2 * math.pi * torch.linalg.inv(box).T
    most = [int(limit * length / (2 * math.pi)) + 1 for length in box.norm(dim=1).tolist()]
    ranges = [torch.arange(-m, m + 1, device=box.device) for m in most]
    ranges[0] = ranges[0][most[0] :]
    n = torch.cartesian_prod(*ranges)
    first = (n[:, 0] > 0) | ((n[:, 0] == 0) & ((n[:, 1] > 0) | ((n[:, 1] == 0) & (n[:, 2] > 0))))
    n = n[first]
    return n[(n.to(box) @ reciprocal).square().sum(1) < limit**2]


def _nearby(positions: Tensor, cell: Tensor, pbc: Tensor, widths: Tensor, broad: Tensor) -> Tensor:
    """``Σ_n [g(r_ij + n; γ) − g(r_ij + n; γ_s)]`` of pairs with a charge that was broadened, [n, n] 1/Å."""
    changed = broad > widths
    matrix = positions.new_zeros(len(positions), len(positions))
    if not bool(changed.any()):
        return matrix
    widest = float((broad[changed].max().square() + broad.max().square()).sqrt())
    pairs = neighbor_list(positions, math.sqrt(2 * _EXPONENT) * widest, None, cell[None], pbc[None])
    i, j = pairs.i, pairs.j
    kept = changed[i] | changed[j]
    r = norm(pair_vectors(positions, pairs, torch.zeros_like(i[: len(positions)]), cell[None]))[kept]
    i, j = i[kept], j[kept]
    narrow = (2 * (widths[i].square() + widths[j].square())).sqrt()
    wide = (2 * (broad[i].square() + broad[j].square())).sqrt()
    return matrix.index_put((i, j), (torch.erf(r / narrow) - torch.erf(r / wide)) / r, accumulate=True)
