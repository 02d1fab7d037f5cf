"""The rotational symmetry number of a molecule: how many proper rotations leave it as it is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from ase import Atoms

TOLERANCE = 0.08  # Å, by which atoms may miss their images
_STRAIGHT = 1e-3  # of the largest moment of inertia: a smaller one is that of a line


def is_linear(atoms: Atoms) -> bool:
    """Whether all atoms are on a line; an atom alone is not."""
    moments = np.sort(atoms.get_moments_of_inertia())
    return len(atoms) > 1 and bool(moments[0] < _STRAIGHT * moments[-1])


def symmetry_number(atoms: Atoms, tolerance: float = TOLERANCE) -> int:
    """The order of the group of rotations that take every atom to one of its kind and mass.

    A rotation about the centre of mass is determined by the images of two atoms that are on no line with it, so it is
    enough to try those that have the same distances: no axes are searched for, and groups of any order are found,
    five-fold and icosahedral ones too. A linear molecule has 2 where it has a centre of inversion, else 1.

    Args:
        atoms: a molecule; isotopes are told apart by their masses.
        tolerance: Å, the largest distance between an atom and the image of another.
    """
    points = atoms.positions - atoms.get_center_of_mass()
    kinds = np.unique(np.column_stack([atoms.numbers, atoms.get_masses().round(3)]), axis=0, return_inverse=True)[1]
    kinds = kinds.reshape(-1)
    if len(atoms) == 1:
        return 1
    if is_linear(atoms):
        return 2 if _maps(-points, points, kinds, tolerance) else 1
    first, second = _references(points, kinds, tolerance)
    frame = _frame(points[first], points[second])
    count = 0
    for image in _alike(first, points, kinds, tolerance):
        for other in _alike(second, points, kinds, tolerance):
            apart = np.linalg.norm(points[image] - points[other]) - np.linalg.norm(points[first] - points[second])
            if other != image and abs(apart) < 2 * tolerance:
                rotation = _frame(points[image], points[other]).T @ frame
                count += _maps(points @ rotation.T, points, kinds, tolerance)
    return count


def _references(points: np.ndarray, kinds: np.ndarray, tolerance: float) -> tuple[int, int]:
    """Two atoms off one line with the centre, of which there are few alike."""
    sizes = [len(_alike(k, points, kinds, tolerance)) for k in range(len(points))]
    areas = {
        pair: float(np.linalg.norm(np.cross(points[pair[0]], points[pair[1]])))
        for pair in combinations(range(len(points)), 2)
    }
    wide = 0.3 * max(areas.values())
    return min((p for p in areas if areas[p] >= wide), key=lambda p: (sizes[p[0]] * sizes[p[1]], -areas[p]))


def _alike(k: int, points: np.ndarray, kinds: np.ndarray, tolerance: float) -> list[int]:
    """Atoms of the kind of atom ``k`` at its distance from the centre."""
    radius = np.linalg.norm(points, axis=1)
    return np.flatnonzero((kinds == kinds[k]) & (np.abs(radius - radius[k]) < tolerance)).tolist()


def _frame(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Orthonormal rows: along the bisector of the directions of a and b, in their plane, and across it."""
    u, v = a / np.linalg.norm(a), b / np.linalg.norm(b)
    x = (u + v) / np.linalg.norm(u + v)
    z = np.cross(u, v)
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])


def _maps(moved: np.ndarray, points: np.ndarray, kinds: np.ndarray, tolerance: float) -> bool:
    """Whether every moved atom is on one of its kind."""
    distance = np.linalg.norm(moved[:, None] - points[None], axis=2)
    distance[kinds[:, None] != kinds[None]] = np.inf
    nearest = distance.argmin(axis=1)
    return bool((distance.min(axis=1) < tolerance).all()) and len(set(nearest.tolist())) == len(points)
