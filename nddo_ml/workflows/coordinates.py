"""Internal coordinates of a structure: measured, set with rigid parts, held in a relaxation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.workflows.fragments import bonds, side_of

if TYPE_CHECKING:
    from ase import Atoms
    from ase.constraints import FixInternals

SIZES = {"bond": 2, "angle": 3, "torsion": 4}  # kind -> number of atoms
UNITS = {"bond": "Å", "angle": "°", "torsion": "°"}


@dataclass(frozen=True)
class Coordinate:
    """An internal coordinate of atoms counted from 0, as ASE does.

    ``bond`` i j is a distance, in Å, between bonded atoms or between atoms of two fragments; ``angle`` i j k and
    ``torsion`` i j k l are in degrees, a torsion with the sign of ASE (−180° to 180° in and 0° to 360° out).
    The last atom moves with everything on its side.

    Raises:
        InputError: an unknown kind, the wrong number of atoms, or one atom twice.
    """

    kind: str
    atoms: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in SIZES:
            raise InputError(f"a coordinate is {', '.join(SIZES)}; got {self.kind!r}")
        if len(set(self.atoms)) != SIZES[self.kind] or len(self.atoms) != SIZES[self.kind]:
            raise InputError(f"a {self.kind} needs {SIZES[self.kind]} different atoms; got {list(self.atoms)}")

    @property
    def unit(self) -> str:
        """Å or °."""
        return UNITS[self.kind]

    def __str__(self) -> str:
        return f"{self.kind} {'–'.join(str(i) for i in self.atoms)}"

    def value(self, atoms: Atoms) -> float:
        """The coordinate's value in a structure."""
        if self.kind == "bond":
            return float(atoms.get_distance(*self.atoms))
        return float(atoms.get_angle(*self.atoms) if self.kind == "angle" else atoms.get_dihedral(*self.atoms))

    def moving(self, atoms: Atoms) -> list[int]:
        """The atoms that move: those on the last atom's side of the bond that is stretched, bent or turned about.

        Raises:
            InputError: an index that the structure lacks; a bond in a ring; atoms of one molecule without a bond.
        """
        beyond = [i for i in self.atoms if not 0 <= i < len(atoms)]
        if beyond:
            raise InputError(f"{self}: there is no atom {beyond[0]}; expected indices from 0 to {len(atoms) - 1}")
        kept, moved = self.atoms[1:3] if self.kind == "torsion" else self.atoms[-2:]
        bonded = (min(kept, moved), max(kept, moved)) in bonds(atoms)
        side = side_of(atoms, kept, moved)
        if side is None:
            why = "their bond is part of a ring" if bonded else "they are of one molecule and have no bond"
            raise InputError(f"{self}: no part can move between atoms {kept} and {moved}, because {why}")
        if self.kind == "torsion" and not bonded:
            raise InputError(f"{self}: expected a bond to turn about; atoms {kept} and {moved} have none")
        wrong = [i for i in self.atoms[: self.atoms.index(moved)] if i in side]
        if wrong or self.atoms[-1] not in side:
            raise InputError(f"{self}: expected the first and the last atom on different sides of {kept}–{moved}")
        return sorted(side)

    def moved(self, atoms: Atoms, value: float, moving: Sequence[int]) -> Atoms:
        """A copy with the coordinate at ``value``, the atoms ``moving`` displaced as a rigid body.

        Raises:
            InputError: a distance that is not positive; a torsion about atoms on a line.
        """
        made = atoms.copy()
        made.set_constraint()
        points = atoms.positions[list(self.atoms)]
        part = list(moving)
        if self.kind == "bond":
            if value <= 0:
                raise InputError(f"{self}: a distance must be positive; got {value} Å")
            direction = points[1] - points[0]
            made.positions[part] += direction * (value / np.linalg.norm(direction) - 1)
            return made
        if self.kind == "angle":
            first, second = points[0] - points[1], points[2] - points[1]
            origin, axis, turn = points[1], _perpendicular(first, second), value - self.value(atoms)
        else:
            first, axis, last = np.diff(points, axis=0)
            if min(np.linalg.norm(np.cross(axis, v)) for v in (first, last)) < 1e-4:
                raise InputError(f"{self}: the torsion is not defined, because three of the atoms are on a line")
            origin, turn = points[2], value - self.value(atoms)
        made.positions[part] = _rotated(made.positions[part], origin, axis, np.deg2rad(turn))
        return made

    def held(self, value: float) -> FixInternals:
        """ASE's constraint that keeps the coordinate at ``value``."""
        from ase.constraints import FixInternals

        entry = [[value, list(self.atoms)]]
        if self.kind == "bond":
            return FixInternals(bonds=entry)
        return FixInternals(angles_deg=entry) if self.kind == "angle" else FixInternals(dihedrals_deg=entry)


def scan_of(frames: Sequence[Atoms]) -> tuple[str, list[float]] | None:
    """The coordinate, with its unit, and its values, where all frames are of one scan; else None."""
    infos = [(a.info.get("scan_coordinate"), a.info.get("scan_value")) for a in frames]
    if len(frames) < 2 or len({name for name, _ in infos}) > 1 or any(v is None or n is None for n, v in infos):
        return None
    name = str(infos[0][0])
    return f"{name}, {UNITS.get(name.split(' ')[0], '')}", [float(value) for _, value in infos]


def _perpendicular(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A vector perpendicular to both, any one where they are parallel."""
    axis = np.cross(a, b)
    if np.linalg.norm(axis) < 1e-6 * np.linalg.norm(a) * np.linalg.norm(b):
        axis = np.cross(a, np.eye(3)[np.abs(a).argmin()])
    return axis


def _rotated(positions: np.ndarray, origin: np.ndarray, axis: np.ndarray, angle: float) -> np.ndarray:
    """Positions turned about an axis through ``origin``, by Rodrigues' formula."""
    unit = axis / np.linalg.norm(axis)
    v = positions - origin
    along = (v @ unit)[:, None] * unit
    return origin + along + np.cos(angle) * (v - along) + np.sin(angle) * np.cross(unit, v)
