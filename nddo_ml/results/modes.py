"""Normal modes as files that viewers read: Molden's format, or frames that swing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.results.frames import check_format, write_frames
from nddo_ml.results.molden import modes_text
from nddo_ml.results.targets import whole

if TYPE_CHECKING:
    from ase import Atoms

FRAMES = 20  # of one swing
_SWING = 0.4  # Å, the largest displacement of an atom
MOLDEN = ".molden"


@dataclass(frozen=True)
class Modes:
    """A molecule and its normal modes."""

    atoms: Atoms
    frequencies: Sequence[float]  # [modes] cm⁻¹
    modes: np.ndarray  # [modes, atoms, 3]
    intensities: Sequence[float] | None  # [modes] km/mol


def check_modes(path: Path | None) -> None:
    """Refuse a suffix that modes cannot be written to.

    Raises:
        InputError: neither ``.molden`` nor one of frames.
    """
    if path is not None and path.suffix != MOLDEN:
        check_format(path, "modes")


def write_modes(molecules: Iterable[Modes], path: Path) -> None:
    """Write modes: a Molden file of one molecule, or twenty frames a mode of any number.

    Raises:
        InputError: several molecules in a Molden file; the file cannot be written.
    """
    if path.suffix != MOLDEN:
        write_frames((a for m in molecules for a in swinging(m)), path)
        return
    first, *more = molecules
    if more:
        raise InputError(f"{path}: expected one molecule, which is all that this format holds; got {1 + len(more)}")
    with whole(path) as made:
        made.write_text("\n".join(modes_text(first.atoms, first.frequencies, first.modes, first.intensities)) + "\n")


def swinging(molecule: Modes) -> Iterator[Atoms]:
    """Frames of one period of each mode."""
    for k, (frequency, mode) in enumerate(zip(molecule.frequencies, molecule.modes, strict=True)):
        scaled = mode * (_SWING / np.linalg.norm(mode, axis=1).max())
        for phase in range(FRAMES):
            atoms = molecule.atoms.copy()
            atoms.set_constraint()
            atoms.positions += np.sin(2 * np.pi * phase / FRAMES) * scaled
            atoms.info = {"mode": k, "frequency_cm": round(float(frequency), 2)}
            yield atoms
