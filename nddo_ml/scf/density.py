"""Density matrices: the starting guess, those of orbitals, and those of rotated orbitals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from nddo_ml.integrals.layout import OrbitalLayout

LARGE = 300  # orbitals of a system, above which time is spent on products of matrices, and diagonalising even more
_ROWS = 8  # strips of rows of a large symmetric matrix
_SEPARATION = 1e3  # eV, lowers the occupied orbitals so that they come first whatever their energies
_PADDING_LEVEL = 1e4  # eV, far above every orbital, so that padded rows are empty and never degenerate with real ones


@dataclass(frozen=True)
class SplitOrbitals:
    """Orthonormal orbitals that rotations start from, occupied ones and empty ones in separate matrices.

    Columns beyond a system's own number of orbitals are zero, so that systems of one batch may differ.
    """

    occupied: Tensor  # [systems, spin, M, O]
    empty: Tensor  # [systems, spin, M, V]
    gap: Tensor  # [systems, spin, V, O] eV, differences of orbital energies; infinite where a column is absent

    def select(self, index: Tensor) -> SplitOrbitals:
        """Those of some systems."""
        return SplitOrbitals(self.occupied[index], self.empty[index], self.gap[index])

    def single(self) -> SplitOrbitals:
        """These in single precision, without their gaps."""
        return SplitOrbitals(self.occupied.float(), self.empty.float(), self.gap.new_empty(0))

    def replace_at(self, index: Tensor, other: SplitOrbitals) -> SplitOrbitals:
        """This with the systems ``index`` taken from ``other``."""
        return SplitOrbitals(
            self.occupied.index_copy(0, index, other.occupied),
            self.empty.index_copy(0, index, other.empty),
            self.gap.index_copy(0, index, other.gap),
        )


_SHELL_OF_ORBITAL = (0, 1, 1, 1, 2, 2, 2, 2, 2)
_SHELL_SIZES = (1.0, 3.0, 5.0)


def initial_density(layout: OrbitalLayout, shells: Tensor, n_occupied: Tensor) -> Tensor:
    """Every atom neutral, its electrons spread evenly over its orbitals, scaled to the electrons of each spin.

    Args:
        layout: of the batch.
        shells: [atoms, 3] electrons in s, p, d of each atom.
        n_occupied: [systems, spin] orbitals to occupy.

    Returns:
        [systems, spin, M, M].
    """
    per_orbital = shells.new_zeros(layout.n_systems, layout.size)
    shell_of = torch.tensor(_SHELL_OF_ORBITAL, device=shells.device)
    for group in layout.atom_groups:
        orbital = torch.arange(group.width, device=shells.device)
        rows = layout.first_row[group.atoms, None] + orbital
        share = (shells / shells.new_tensor(_SHELL_SIZES))[group.atoms][:, shell_of[: group.width]]
        per_orbital[layout.system_idx[group.atoms, None], rows] = share
    total = per_orbital.sum(dim=1).clamp(min=1.0)
    scaled = n_occupied[:, :, None] / total[:, None, None] * per_orbital[:, None, :]
    return torch.diag_embed(scaled.to(shells.dtype))


def diagonalize(fock: Tensor, real_rows: Tensor) -> tuple[Tensor, Tensor]:
    """Orbital energies [systems, spin, M] and orbitals [systems, spin, M, M]; those of padded rows come last."""
    padding = torch.where(real_rows, 0.0, _PADDING_LEVEL).to(fock.dtype)
    energies, orbitals = torch.linalg.eigh(fock + torch.diag_embed(padding)[:, None])
    return energies, orbitals


def split_orbitals(
    energies: Tensor, orbitals: Tensor, n_occupied: Tensor, like: SplitOrbitals | None = None
) -> SplitOrbitals:
    """Split orbitals, lowest first, into occupied and empty ones.

    Args:
        energies: [systems, spin, M] eV.
        orbitals: [systems, spin, M, M].
        n_occupied: [systems, spin].
        like: orbitals whose numbers of columns are kept.
    """
    size = energies.shape[2]
    if like is None:
        most, least = int(n_occupied.max()), int(n_occupied.min())
    else:
        most, least = like.occupied.shape[3], size - like.empty.shape[3]
    column = torch.arange(size, device=energies.device)
    filled = column < n_occupied[:, :, None]
    occupied = orbitals[..., :most] * filled[:, :, None, :most]
    empty = orbitals[..., least:] * ~filled[:, :, None, least:]
    gap = energies[:, :, least:, None] - energies[:, :, None, :most]
    real = energies[:, :, least:, None] < 0.5 * _PADDING_LEVEL
    present = real & ~filled[:, :, least:, None] & filled[:, :, None, :most]
    return SplitOrbitals(occupied, empty, torch.where(present, gap, torch.inf))


def canonical_orbitals(
    fock: Tensor, density: Tensor, real_rows: Tensor, n_occupied: Tensor, like: SplitOrbitals | None = None
) -> SplitOrbitals:
    """Canonical orbitals of a Fock matrix that does not couple occupied and empty ones, as the density has them."""
    # aufbau order may be another one than the density's, so its orbitals are moved down first
    energies, orbitals = diagonalize(fock - _SEPARATION * density, real_rows)
    origin = split_orbitals(energies, orbitals, n_occupied, like)
    return SplitOrbitals(origin.occupied, origin.empty, origin.gap - _SEPARATION)


def diagonal_gap(origin: SplitOrbitals, fock: Tensor) -> Tensor:
    """Smallest empty minus largest occupied diagonal element of ``fock`` in the split orbitals, [systems] eV.

    A cheap upper bound of the HOMO–LUMO gap; infinite where there is none.
    """
    levels = [
        (c * (fock @ c)).sum(dim=2).masked_fill((c == 0).all(dim=2), absent)
        for c, absent in ((origin.occupied, -torch.inf), (origin.empty, torch.inf))
    ]
    padding = levels[1] == 0  # rows without an orbital
    if not levels[0].shape[2] or not levels[1].shape[2]:
        return fock.new_full(fock.shape[:1], torch.inf)
    gap = levels[1].masked_fill(padding, torch.inf).amin(dim=2) - levels[0].amax(dim=2)
    return gap.amin(dim=1)


def frontier(energies: Tensor, n_occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Highest occupied and lowest empty orbital energy of each spin, [systems, spin]; −∞ and ∞ where there is none.

    Args:
        energies: [systems, spin, M] ascending, infinite where there is no orbital.
        n_occupied: [systems, spin].
    """
    levels = torch.nn.functional.pad(energies, (1, 1), value=torch.inf)
    levels[..., 0] = -torch.inf
    highest = n_occupied[..., None]
    return levels.gather(2, highest).squeeze(2), levels.gather(2, highest + 1).squeeze(2)


def spins_a_matrix(matrices: Tensor) -> float:
    """How many spins each of the matrices [systems, spin, M, M] stands for: a closed shell's only one for both."""
    return 2.0 if matrices.shape[1] == 1 else 1.0


def total_density(density: Tensor) -> Tensor:
    """``P_α + P_β``, [systems, M, M], of spin densities [systems, spin, M, M]."""
    return spins_a_matrix(density) * density.sum(dim=1)


def density_of(occupied: Tensor) -> Tensor:
    """``P = C_occ C_occᵀ``, of large systems one triangle, which is half the work."""
    size = occupied.shape[-2]
    if size <= LARGE:
        return occupied @ occupied.transpose(-1, -2)
    density = occupied.new_empty(*occupied.shape[:-1], size)
    ends = [size * k // _ROWS for k in range(_ROWS + 1)]
    for begin, end in pairwise(ends):
        density[..., begin:end, :end] = occupied[..., begin:end, :] @ occupied[..., :end, :].transpose(-1, -2)
        density[..., :begin, begin:end] = density[..., begin:end, :begin].transpose(-1, -2)
    return density


def rotated_orbitals(origin: SplitOrbitals, x: Tensor) -> Tensor:
    """Orthonormal occupied orbitals ``(C_occ + C_empty x)(1 + xᵀx)^(−1/2)`` up to a rotation among themselves.

    Args:
        origin: orbitals without rotation.
        x: [systems, spin, V, O] mixing coefficients.
    """
    return _orthonormal(origin.occupied + origin.empty @ x, _root(x))


def rotated_and_mixed(origin: SplitOrbitals, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same orbitals C, and ``C_emptyᵀ C`` [systems, spin, V, O] at little cost."""
    root = _root(x)
    return _orthonormal(origin.occupied + origin.empty @ x, root), _orthonormal(x, root)


def _root(x: Tensor) -> Tensor:
    # a triangular root of the overlap does as well as the symmetric one, which needs its eigenvalues: the density is
    # that of the space, whatever orbitals span it
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    return torch.linalg.cholesky(eye + x.transpose(-1, -2) @ x)


def _orthonormal(columns: Tensor, root: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(root, columns.transpose(-1, -2), upper=False).transpose(-1, -2)


def rotation_residual(origin: SplitOrbitals, occupied: Tensor, fock: Tensor, mixed: Tensor | None = None) -> Tensor:
    """``C_emptyᵀ (1 − P) F C``, zero when the occupied space is invariant under ``fock``, [systems, spin, V, O] eV.

    Args:
        origin: orbitals without rotation, whose empty ones it is expressed in.
        occupied: [systems, spin, M, O] orthonormal occupied orbitals C, with P = C Cᵀ.
        fock: [systems, spin, M, M] eV.
        mixed: C_emptyᵀ C, where it is known.
    """
    left = origin.empty.transpose(-1, -2)
    if left.shape[-2] < occupied.shape[-1]:  # the cheaper order of the products
        mixed = left @ occupied if mixed is None else mixed
        return (left - mixed @ occupied.transpose(-1, -2)) @ fock @ occupied
    force = fock @ occupied
    return left @ (force - occupied @ (occupied.transpose(-1, -2) @ force))


def to_rotation(origin: SplitOrbitals, matrix: Tensor) -> Tensor:
    """``C_emptyᵀ X C_occ``, [systems, spin, V, O]."""
    return origin.empty.transpose(2, 3) @ (matrix @ origin.occupied)


def from_rotation(origin: SplitOrbitals, x: Tensor) -> Tensor:
    """The density's first-order change ``C_empty x C_occᵀ`` plus its transpose, [systems, spin, M, M]."""
    half = origin.empty @ x @ origin.occupied.transpose(2, 3)
    return half + half.transpose(2, 3)


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Scalar products of the systems' tensors, [systems]."""
    return (x * y).flatten(1).sum(dim=1)


def norm(x: Tensor) -> Tensor:
    """Lengths of the systems' tensors, [systems]."""
    return x.flatten(1).norm(dim=1)


def shuffle_frontier(orbitals: Tensor, n_occupied: Tensor, n_orbitals: Tensor, window: int, seed: int) -> Tensor:
    """Mix the orbitals next to the gap by an orthogonal matrix drawn at random, of every spin its own.

    Args:
        orbitals: [systems, spin, M, M], lowest first.
        n_occupied: [systems, spin].
        n_orbitals: [systems].
        window: how many occupied and how many empty orbitals take part, where there are so many.
        seed: of the drawing; one seed gives all systems the same angles.
    """
    spins, size = orbitals.shape[1:3]
    drawn = torch.randn(spins, 2 * window, 2 * window, generator=torch.Generator().manual_seed(seed)).to(orbitals)
    angle = drawn - drawn.transpose(1, 2)
    column = torch.arange(size, device=orbitals.device)
    place = column - n_occupied[:, :, None] + window
    inside = (place >= 0) & (place < 2 * window) & (column < n_orbitals[:, None, None])
    place = place.clamp(0, 2 * window - 1)
    spin = torch.arange(spins, device=orbitals.device)[:, None, None]
    generator = angle[spin, place[..., :, None], place[..., None, :]] * (inside[..., :, None] & inside[..., None, :])
    return orbitals @ torch.matrix_exp(generator)


def spin_squared(density: Tensor, n_occupied: Tensor) -> Tensor:
    """``⟨S²⟩ = ((n_α − n_β)/2)² + (n_α + n_β)/2 − tr P_α P_β``, [systems]; zero for a closed shell.

    Args:
        density: [systems, spin, M, M].
        n_occupied: [systems, spin].
    """
    if density.shape[1] == 1:
        return density.new_zeros(density.shape[0])
    alpha, beta = n_occupied[:, 0].to(density.dtype), n_occupied[:, 1].to(density.dtype)
    overlap = (density[:, 0] * density[:, 1]).sum(dim=(1, 2))
    return (0.5 * (alpha - beta)) ** 2 + 0.5 * (alpha + beta) - overlap
