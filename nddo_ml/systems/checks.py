"""What a batch must be, checked once when it is built; every refusal names system, atom and element."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bp_descriptors import neighbor_list, pair_vectors
from nddo_ml.elements import OGANESSON, symbol_of
from nddo_ml.errors import InputError

MIN_DISTANCE = 0.05  # Å; two atoms nearer than this are taken to be on one spot
MAX_COORDINATE = 1e7  # Å; beyond this distances have lost their digits

PerSystem = int | Sequence[int] | Tensor  # a number for all systems, or one for each


def per_system(value: PerSystem, n: int, name: str, device: torch.device) -> Tensor:
    """A number for all systems, or one for each of them, as [systems] int64.

    Raises:
        InputError: numbers that are not whole, or not as many as there are systems.
    """
    t = torch.as_tensor(value, device=device)
    if t.is_floating_point():
        if not torch.equal(t, t.round()):
            raise InputError(f"{name} must be a whole number; got {value}")
        t = t.round()
    t = t.to(torch.int64)
    if t.ndim == 0:
        t = t.expand(n).clone()
    if t.shape != (n,):
        raise InputError(f"{name} must be one number or one a system ({n}); got shape {list(t.shape)}")
    return t


def indices_of(index: Tensor, n: int, device: torch.device) -> Tensor:
    """A choice of ``n`` systems, by indices or a mask [n] bool, as indices [k] int64.

    Raises:
        InputError: an index beyond them, or none; a mask of another length.
    """
    index = torch.as_tensor(index, device=device)
    if index.dtype == torch.bool:
        if index.shape != (n,):
            raise InputError(f"expected a mask of {n} systems; got one of shape {list(index.shape)}")
        index = torch.nonzero(index).squeeze(1)
    index = index.to(torch.int64)
    if index.ndim != 1 or not index.numel():
        raise InputError(f"expected the indices of one or more systems; got shape {list(index.shape)}")
    bad = index[(index < 0) | (index >= n)].tolist()
    if bad:
        raise InputError(f"expected indices of systems from 0 to {n - 1}; got {bad[0]}")
    return index


def check_shapes(numbers: Tensor, positions: Tensor, system_idx: Tensor) -> None:
    """Refuse tensors of atoms that do not fit each other."""
    if positions.shape != (numbers.shape[0], 3):
        raise InputError(
            f"positions must have shape [{numbers.shape[0]}, 3], one row an atom; got {list(positions.shape)}"
        )
    if not positions.is_floating_point():
        raise InputError(f"positions must be floating point; got {positions.dtype}")
    if system_idx.shape != numbers.shape:
        raise InputError(f"system_idx must have shape {list(numbers.shape)}; got {list(system_idx.shape)}")
    if (a := _first(system_idx < 0)) is not None:
        raise InputError(f"system_idx must not be negative; got {int(system_idx[a])}")


def check_atoms(numbers: Tensor, system_idx: Tensor, n_systems: int) -> None:
    """Refuse empty systems and unknown elements."""
    if numbers.shape[0] == 0:
        raise InputError("expected at least one atom; got none")
    empty = torch.nonzero(torch.bincount(system_idx, minlength=n_systems) == 0).squeeze(1).tolist()
    if empty:
        raise InputError(f"every system must have at least one atom; systems {empty} have none")
    if (a := _first((numbers < 1) | (numbers > OGANESSON))) is not None:
        where = address(numbers, system_idx, a)
        raise InputError(f"{where}: atomic number must lie in 1..{OGANESSON}; got {int(numbers[a])}")


def check_coordinates(numbers: Tensor, positions: Tensor, system_idx: Tensor) -> None:
    """Refuse coordinates that are no places."""
    if positions.numel() and float(positions.detach().abs().max()) <= MAX_COORDINATE:  # which NaN is not
        return
    if (a := _first(~torch.isfinite(positions).all(dim=1))) is not None:
        where, found = address(numbers, system_idx, a), positions[a].tolist()
        raise InputError(f"{where}: coordinates must be finite numbers in Å; got {found}")
    if (a := _first((positions.abs() > MAX_COORDINATE).any(dim=1))) is not None:
        where, found = address(numbers, system_idx, a), positions[a].tolist()
        raise InputError(f"{where}: coordinates must lie within {MAX_COORDINATE:.0e} Å; got {found}")


def check_multiplicity(multiplicity: Tensor) -> None:
    """Refuse spins that no system has."""
    if (k := _first(multiplicity < 1)) is not None:
        raise InputError(f"system {k}: multiplicity must be at least 1; got {int(multiplicity[k])}")


def check_cells(cell: Tensor, pbc: Tensor, n_systems: int) -> None:
    """Refuse cells without a lattice vector where they are periodic."""
    if cell.shape != (n_systems, 3, 3) or pbc.shape != (n_systems, 3):
        raise InputError(
            f"cell and pbc must have shapes [{n_systems}, 3, 3] and [{n_systems}, 3]; "
            f"got {list(cell.shape)} and {list(pbc.shape)}"
        )
    length = cell.norm(dim=-1)
    if (k := _first((pbc & ~(length > 1e-6)).any(dim=1) | ~torch.isfinite(cell).all(dim=(1, 2)))) is not None:
        raise InputError(
            f"system {k}: every periodic direction needs a finite lattice vector longer than zero; "
            f"got cell {cell[k].tolist()} with pbc {pbc[k].tolist()}"
        )


def check_distances(numbers: Tensor, positions: Tensor, system_idx: Tensor) -> None:
    """Refuse two atoms of a system on one spot: neighbours in order of a coordinate, which is cheap and exact."""
    points, systems = positions.detach().cpu().numpy(), system_idx.cpu().numpy()
    along = points[:, (points.max(axis=0) - points.min(axis=0)).argmax()]
    key = np.lexsort((along, systems))
    line, x, idx = along[key], points[key], systems[key]
    step = 1
    while step < len(key):
        near = np.flatnonzero((line[step:] - line[:-step] < MIN_DISTANCE) & (idx[step:] == idx[:-step]))
        if not len(near):
            return
        distance = np.linalg.norm(x[near + step] - x[near], axis=1)
        if (distance < MIN_DISTANCE).any():
            k = near[distance < MIN_DISTANCE][0]
            where = address_of_two(numbers, system_idx, int(key[k]), int(key[k + step]))
            raise InputError(
                f"{where} are on one spot: their distance is {distance[near == k][0]:.4f} Å, "
                f"expected at least {MIN_DISTANCE} Å"
            )
        step += 1


def check_images(numbers: Tensor, positions: Tensor, system_idx: Tensor, cell: Tensor, pbc: Tensor) -> None:
    """Refuse an atom of a cell on the spot of an image of its own or of another, through the cell's boundary."""
    periodic = pbc.any(dim=1)
    systems, atoms = torch.nonzero(periodic).squeeze(1), torch.nonzero(periodic[system_idx]).squeeze(1)
    if not systems.numel():
        return
    idx, x = torch.searchsorted(systems, system_idx[atoms]), positions[atoms]
    try:
        pairs = neighbor_list(x, MIN_DISTANCE, idx, cell[systems], pbc[systems], half=True)
    except ValueError as error:
        message = re.sub(r"^system (\d+)", lambda match: f"system {int(systems[int(match[1])])}", str(error))
        raise InputError(message) from None
    if (k := _first(pairs.shift.any(dim=1))) is None:
        return
    distance = float(pair_vectors(x, pairs, idx, cell[systems])[k].norm())
    where = address_of_two(numbers, system_idx, int(atoms[pairs.i[k]]), int(atoms[pairs.j[k]]))
    raise InputError(
        f"{where} are on one spot through the boundary of the cell: "
        f"their distance is {distance:.4f} Å, expected at least {MIN_DISTANCE} Å"
    )


def address(numbers: Tensor, system_idx: Tensor, atom: int) -> str:
    """Of a flat atom index: system, index within it, element."""
    k = int(system_idx[atom])
    place = int((system_idx[:atom] == k).sum())
    return f"system {k}, atom {place} ({symbol_of(int(numbers[atom]))})"


def _first(mask: Tensor) -> int | None:
    """Index of the first True."""
    found = torch.nonzero(mask)
    return int(found[0, 0]) if found.numel() else None


def address_of_two(numbers: Tensor, system_idx: Tensor, a: int, b: int) -> str:
    """Address of two atoms of a system, by flat indices; of an atom and its image where they are the same."""
    if a == b:
        return f"{address(numbers, system_idx, a)} and an image of it"
    first, second = (address(numbers, system_idx, atom) for atom in sorted((a, b)))
    return f"{first.replace(', atom ', ', atoms ')} and {second.split(', atom ')[1]}"
