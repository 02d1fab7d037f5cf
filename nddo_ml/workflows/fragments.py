"""Bonds of a structure, and the parts that it falls into when one of them is cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

BOND_FACTOR = 1.3  # atoms nearer than this times the sum of their covalent radii are bonded

Bond = tuple[int, int]


def bonds(atoms: Atoms) -> list[Bond]:
    """Pairs (i, j), i < j, nearer than 1.3 times the sum of their covalent radii (Cordero et al. 2008, from ASE)."""
    from ase.data import covalent_radii

    radii = covalent_radii[atoms.numbers]
    near = atoms.get_all_distances() < BOND_FACTOR * (radii[:, None] + radii)
    return [(int(i), int(j)) for i, j in np.argwhere(near) if i < j]


def connected(pairs: Iterable[Bond], start: int) -> set[int]:
    """The atoms that the bonds connect with ``start``, itself included."""
    neighbours: dict[int, list[int]] = {}
    for i, j in pairs:
        neighbours.setdefault(i, []).append(j)
        neighbours.setdefault(j, []).append(i)
    found, edge = {start}, [start]
    while edge:
        for there in neighbours.get(edge.pop(), []):
            if there not in found:
                found.add(there)
                edge.append(there)
    return found


def side_of(atoms: Atoms, kept: int, moved: int) -> set[int] | None:
    """The atoms on ``moved``'s side once its bond to ``kept``, if any, is cut; None if they are connected otherwise."""
    cut = (min(kept, moved), max(kept, moved))
    side = connected([bond for bond in bonds(atoms) if bond != cut], moved)
    return None if kept in side else side
