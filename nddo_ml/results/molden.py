"""Molden files, which most viewers of molecules read, of normal modes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
