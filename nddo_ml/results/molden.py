"""Molden files, which most viewers of molecules read, of normal modes and of orbitals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import units

if TYPE_CHECKING:
    from ase import Atoms


def modes_text(
    atoms: Atoms, frequencies: Sequence[float], modes: np.ndarray, intensities: Sequence[float] | None
) -> Iterator[str]:
    """Lines of the sections FREQ, FR-COORD, FR-NORM-COORD and INT (Schaftenaar & Noordik, the format's description).

    Args:
        atoms: the molecule.
        frequencies: [modes] cm⁻¹, imaginary ones negative.
        modes: [modes, atoms, 3] displacements.
        intensities: [modes] km/mol, or None.
    """
    yield "[Molden Format]"
    yield "[Atoms] Angs"
    for k, atom in enumerate(atoms, 1):
        yield f"{atom.symbol:2s} {k:5d} {atom.number:3d} " + _three(atom.position)
    yield "[FREQ]"
    yield from (f"{f:12.4f}" for f in frequencies)
    if intensities is not None:
        yield "[INT]"
        yield from (f"{i:12.4f}" for i in intensities)
    yield "[FR-COORD]"
    for atom in atoms:
        yield f"{atom.symbol:2s} " + _three(atom.position / units.Bohr)
    yield "[FR-NORM-COORD]"
    for k, mode in enumerate(modes, 1):
        yield f"vibration {k}"
        yield from (_three(d) for d in mode)


def _three(values: np.ndarray) -> str:
    return " ".join(f"{v:14.8f}" for v in values)


_MOLDEN_D = (6, 5, 7, 4, 8)  # our x²−y², xz, z², yz, xy as z², xz, yz, x²−y², xy


@dataclass(frozen=True)
class Basis:
    """Orbitals of one atom: shells of angular momentum 0, 1, 2, each Gaussians' exponents and coefficients."""

    shells: tuple[tuple[np.ndarray, np.ndarray], ...]


def orbitals_text(
    atoms: Atoms,
    bases: Sequence[Basis],
    orbitals: Sequence[np.ndarray],
    energies: Sequence[np.ndarray],
    occupations: Sequence[np.ndarray],
) -> Iterator[str]:
    """Lines of a Molden file of orbitals.

    Args:
        atoms: the molecule.
        bases: of each atom.
        orbitals: [rows, orbitals] of each spin, rows atom by atom: s, px, py, pz, d.
        energies: [orbitals] eV of each spin.
        occupations: [orbitals] of each spin.
    """
    yield "[Molden Format]"
    yield "[Atoms] Angs"
    for k, atom in enumerate(atoms, 1):
        yield f"{atom.symbol:2s} {k:5d} {atom.number:3d} " + _three(atom.position)
    yield "[GTO]"
    for k, basis in enumerate(bases, 1):
        yield f"{k} 0"
        for name, (exponents, coefficients) in zip("spd", basis.shells, strict=False):
            yield f"{name} {len(exponents)} 1.00"
            yield from (f"{a:20.10e} {c:20.10e}" for a, c in zip(exponents, coefficients, strict=True))
        yield ""
    yield "[5D]"
    yield "[MO]"
    order = _order(bases)
    for spin, (vectors, levels, filled) in enumerate(zip(orbitals, energies, occupations, strict=True)):
        for k in range(vectors.shape[1]):
            yield f" Sym= {k + 1}a"
            yield f" Ene= {levels[k] / units.Hartree:.10f}"
            yield f" Spin= {'Beta' if spin else 'Alpha'}"
            yield f" Occup= {filled[k]:.6f}"
            yield from (f"{row:5d} {value:18.10f}" for row, value in enumerate(vectors[order, k], 1))


def _order(bases: Sequence[Basis]) -> list[int]:
    """Our row of each of Molden's."""
    rows: list[int] = []
    first = 0
    for basis in bases:
        width = (1, 4, 9)[len(basis.shells) - 1]
        here = [*range(min(width, 4)), *(_MOLDEN_D if width == 9 else ())]
        rows += [first + k for k in here]
        first += width
    return rows
