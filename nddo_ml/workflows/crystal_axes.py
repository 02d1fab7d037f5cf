"""Conventional axes of a crystal and its point group, by spglib; tensors turned to them and symmetrised."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from nddo_ml.errors import InputError

TOLERANCE = 0.01  # Å, by which atoms of a relaxed cell may miss their symmetry
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class CrystalAxes:
    """How a crystal lies in its file, and its symmetry.

    In the conventional frame a is along x and b in the plane of x and y, with a and b those of the conventional cell
    of the International Tables.
    """

    space_group: str  # international symbol and number
    rotation: np.ndarray  # [3, 3], takes vectors of the file's frame to the conventional one
    operations: np.ndarray  # [n, 3, 3] point group, in the conventional frame
    lattice: np.ndarray  # [3, 3] Å, rows: the conventional cell in its frame

    def laid(self, atoms: Atoms) -> Atoms:
        """The crystal turned, as a whole, into the conventional frame."""
        copy = atoms.copy()
        copy.set_cell(np.asarray(atoms.cell) @ self.rotation.T)
        copy.set_positions(atoms.positions @ self.rotation.T, apply_constraint=False)
        return copy


def crystal_axes(atoms: Atoms, tolerance: float = TOLERANCE) -> CrystalAxes:
    """The axes and the point group of a periodic structure (spglib: Togo, Shinohara & Tanaka, STAM-M 4, 2384822).

    Raises:
        InputError: spglib finds no symmetry, since atoms are too close or the cell is degenerate.
    """
    import spglib

    lattice = np.asarray(atoms.cell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            cell = (lattice.tolist(), atoms.get_scaled_positions().tolist(), atoms.numbers.tolist())
            found = spglib.get_symmetry_dataset(cell, tolerance)
        except Exception as error:  # newer versions raise an error of their own where older ones return None
            raise InputError(f"{atoms.get_chemical_formula()}: the symmetry was not found ({error})") from None
    if found is None:
        raise InputError(f"{atoms.get_chemical_formula()}: the symmetry was not found")
    rotation = _proper(np.asarray(found.std_rotation_matrix))
    columns = lattice.T
    operations = np.array([rotation @ columns @ w @ np.linalg.inv(columns) @ rotation.T for w in found.rotations])
    unique = np.unique(np.round(operations, 4), axis=0)
    group = np.array([_proper(o) for o in unique])
    return CrystalAxes(f"{found.international} ({found.number})", rotation, group, np.asarray(found.std_lattice))


def turned(constants: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Elastic constants [6, 6] in a frame to which ``rotation`` takes vectors: C'_ijkl = R_ia R_jb R_kc R_ld C_abcd."""
    full = np.einsum("ia,jb,kc,ld,abcd->ijkl", *[rotation] * 4, full_constants(constants), optimize=True)
    return np.array([[full[i, j, k, l] for k, l in VOIGT] for i, j in VOIGT])


def symmetrised(constants: np.ndarray, axes: CrystalAxes) -> np.ndarray:
    """Elastic constants [6, 6] of the conventional frame, averaged over the point group."""
    return np.mean([turned(constants, operation) for operation in axes.operations], axis=0)


def full_constants(constants: np.ndarray) -> np.ndarray:
    """[3, 3, 3, 3] of [6, 6]; both index pairs are symmetric."""
    index = np.zeros((3, 3), dtype=int)
    for n, (i, j) in enumerate(VOIGT):
        index[i, j] = index[j, i] = n
    return np.asarray(constants[index[:, :, None, None], index[None, None]])


def _proper(matrix: np.ndarray) -> np.ndarray:
    """The nearest orthogonal matrix, of a cell that relaxed to its symmetry only nearly."""
    u, _, v = np.linalg.svd(matrix)
    return np.asarray(u @ v)
