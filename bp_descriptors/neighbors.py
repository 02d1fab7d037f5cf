"""Neighbour lists of batches of molecules and periodic cells: integers only, no gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from vesin import NeighborList

from bp_descriptors.runs import ranks, starts

_ALL_PAIRS_ATOMS = 192  # molecules up to this size are searched by all pairs, larger ones by a cell list
_CHUNK = 4_000_000  # candidate pairs held at once by the all-pairs search
_SLACK = 1e-9  # relative widening of the library's search, so that this module alone decides what is inside


@dataclass(frozen=True)
class Pairs:
    """Neighbour pairs, sorted by ``i``: r_ij = positions[j] + shift @ cell[system of i] − positions[i]."""

    i: Tensor  # [pairs] int64, the centre
    j: Tensor  # [pairs] int64, the neighbour
    shift: Tensor  # [pairs, 3] int64, lattice vectors between the neighbour and its image
    half: bool  # True: every pair once; False: both (i, j, shift) and (j, i, −shift)

    @property
    def n_pairs(self) -> int:
        return self.i.shape[0]


@torch.no_grad()
def neighbor_list(
    positions: Tensor,
    cutoff: float,
    system_idx: Tensor | None = None,
    cell: Tensor | None = None,
    pbc: Tensor | None = None,
    half: bool = False,
) -> Pairs:
    """All pairs of atoms of the same system, images included, with |r_ij| < cutoff; linear in atoms.

    A pair at exactly the cut-off is left out: every function and its slope are zero there. Atoms need not
    lie inside their cell, the cell may be smaller than the cut-off, and an atom may neighbour its own images.

    Args:
        positions: [atoms, 3] Å, any device and floating type; distances are compared in float64.
        cutoff: Å.
        system_idx: [atoms] int64, which system an atom belongs to, in any order; None is one system.
        cell: [systems, 3, 3] Å, rows are lattice vectors; None means no system is periodic.
        pbc: [systems, 3] bool; None means all three directions of every non-zero cell.
        half: every pair once instead of both directions.

    Raises:
        ValueError: shapes that do not fit, a cut-off that is not positive, coordinates that are not finite,
            a periodic direction whose cell vectors are dependent.
    """
    system_idx, cell, pbc = _checked(positions, cutoff, system_idx, cell, pbc)
    x = positions.detach().double()
    if cell.shape[0] == 1 and x.shape[0] <= _ALL_PAIRS_ATOMS and not bool(pbc.any()):
        return _of_one_molecule(x, cutoff, half)
    cell = cell.detach().double()
    counts = torch.bincount(system_idx, minlength=cell.shape[0])
    by_cell_list = pbc.any(1) | (counts > _ALL_PAIRS_ATOMS)
    parts = [_all_pairs(x, cutoff, system_idx, ~by_cell_list, counts)]
    if bool(by_cell_list.any()):
        parts.append(_cell_lists(x, cutoff, system_idx, cell, pbc, torch.nonzero(by_cell_list).flatten().tolist()))
    i, j, shift = (torch.cat(p) for p in zip(*parts, strict=True))
    vectors = x[j] - x[i]
    if bool(pbc.any()):
        vectors = vectors + torch.einsum("pk,pkl->pl", shift.double(), cell[system_idx[i]])
    keep = vectors.square().sum(1) < cutoff**2
    if half:
        keep &= _first_of_both(i, j, shift)
    i, j, shift = i[keep], j[keep], shift[keep]
    order = torch.argsort(i, stable=True)
    return Pairs(i[order], j[order], shift[order], half)


def _checked(
    positions: Tensor, cutoff: float, system_idx: Tensor | None, cell: Tensor | None, pbc: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise ValueError(f"positions must have shape [atoms, 3]; got {list(positions.shape)}")
    if not cutoff > 0 or not np.isfinite(cutoff):
        raise ValueError(f"the cut-off must be a positive number of Å; got {cutoff}")
    if not bool(torch.isfinite(positions).all()):
        atom = int(torch.nonzero(~torch.isfinite(positions).all(1))[0])
        raise ValueError(f"coordinates must be finite; got {positions[atom].tolist()} for atom {atom}")
    device, n_atoms = positions.device, positions.shape[0]
    if system_idx is None:
        system_idx = torch.zeros(n_atoms, dtype=torch.int64, device=device)
    if system_idx.shape != (n_atoms,):
        raise ValueError(f"system_idx must have shape [{n_atoms}]; got {list(system_idx.shape)}")
    n = int(system_idx.max()) + 1 if n_atoms else 0
    if cell is None:
        cell = positions.new_zeros(n, 3, 3)
        pbc = torch.zeros(n, 3, dtype=torch.bool, device=device)
    if cell.ndim != 3 or cell.shape[1:] != (3, 3) or cell.shape[0] < n:
        raise ValueError(f"cell must have shape [{n}, 3, 3], one a system; got {list(cell.shape)}")
    if pbc is None:
        pbc = (cell != 0).any(2)
    if pbc.shape != cell.shape[:2]:
        raise ValueError(f"pbc must have shape {list(cell.shape[:2])}; got {list(pbc.shape)}")
    return system_idx, cell, pbc


def _all_pairs(
    x: Tensor, cutoff: float, system_idx: Tensor, chosen: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """All ordered pairs of different atoms within ``cutoff`` in the non-periodic systems ``chosen``."""
    order = torch.argsort(system_idx, stable=True)
    order = order[chosen[system_idx[order]]]
    n_of_atom = counts[system_idx[order]]
    first_of_system = starts(counts * chosen)
    first = first_of_system[system_idx[order]]
    ends = torch.cumsum(n_of_atom, 0)
    found_i, found_j = [order[:0]], [order[:0]]
    start = 0
    while start < order.shape[0]:
        done = ends[start] - n_of_atom[start]
        stop = max(start + 1, int(torch.searchsorted(ends, done + _CHUNK, right=True)))
        n = n_of_atom[start:stop]
        row = torch.repeat_interleave(torch.arange(start, stop, device=x.device), n)
        i, j = order[row], order[first[row] + ranks(n)]
        keep = ((x[j] - x[i]).square().sum(1) < cutoff**2) & (i != j)
        found_i.append(i[keep])
        found_j.append(j[keep])
        start = stop
    i, j = torch.cat(found_i), torch.cat(found_j)
    return i, j, torch.zeros(i.shape[0], 3, dtype=torch.int64, device=x.device)


def _of_one_molecule(x: Tensor, cutoff: float, half: bool) -> Pairs:
    """The same of a small molecule alone, in few steps."""
    near = (x - x[:, None]).square().sum(2) < cutoff**2
    near = near.triu(1) if half else near.fill_diagonal_(fill_value=False)
    i, j = torch.nonzero(near).unbind(1)
    return Pairs(i, j, i.new_zeros(i.shape[0], 3), half)


def _cell_lists(
    x: Tensor, cutoff: float, system_idx: Tensor, cell: Tensor, pbc: Tensor, chosen: list[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Ordered pairs of the systems ``chosen``, found on the CPU by vesin's cell list (a little too many)."""
    device = x.device
    order = torch.argsort(system_idx, stable=True).cpu().numpy()
    bounds = np.concatenate([[0], np.cumsum(torch.bincount(system_idx, minlength=cell.shape[0]).cpu().numpy())])
    points, cells, periodic = x.cpu().numpy(), cell.cpu().numpy(), pbc.cpu().numpy()
    search = NeighborList(cutoff=cutoff * (1 + _SLACK), full_list=True)
    found = []
    for k in chosen:
        atoms = order[bounds[k] : bounds[k + 1]]
        _check_cell(cells[k], periodic[k], k)
        i, j, shift = search.compute(
            points=np.ascontiguousarray(points[atoms]), box=cells[k], periodic=periodic[k], quantities="ijS"
        )
        found.append((atoms[i.astype(np.int64)], atoms[j.astype(np.int64)], shift.astype(np.int64)))
    i, j, shift = (torch.from_numpy(np.concatenate(part)).to(device) for part in zip(*found, strict=True))
    return i, j, shift


def _check_cell(cell: np.ndarray, pbc: np.ndarray, system: int) -> None:
    vectors = cell[pbc]
    if len(vectors) == 0:
        return
    lengths = np.linalg.norm(vectors, axis=1)
    volume = np.sqrt(max(np.linalg.det(vectors @ vectors.T), 0.0))
    if not np.isfinite(cell).all() or not volume > 1e-8 * max(np.prod(lengths), 1e-12):
        raise ValueError(f"system {system}: expected independent cell vectors where periodic; got {vectors.tolist()}")


def _first_of_both(i: Tensor, j: Tensor, shift: Tensor) -> Tensor:
    """True for one of each two directions: i < j, or an image whose first shift not zero is positive."""
    code = torch.sign(shift[:, 0]) * 4 + torch.sign(shift[:, 1]) * 2 + torch.sign(shift[:, 2])
    return (i < j) | ((i == j) & (code > 0))
