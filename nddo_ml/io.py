"""Reading structure files, with every error addressed by file and frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Structure:
    """One frame of one file."""

    source: str  # the file's name as it was given
    frame: int  # counted from 0, as ASE does
    atoms: Atoms
    name: str = ""
    charge: int = 0
    multiplicity: int = 1
    remarks: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Where the structure comes from, for people."""
        return f"{self.source}, frame {self.frame}"


def read_structures(path: str | Path) -> list[Structure]:
    """As :func:`_frames`, all at once."""
    return list(_frames(Path(path)))


def _frames(path: Path) -> Iterator[Structure]:
    """All frames of a file in any format that ASE reads; the format follows from the file's name and content.

    Raises:
        InputError: no such file, an empty file, or one that ASE cannot read.
    """
    from ase.io import iread

    if not path.is_file():
        raise InputError(f"{path}: expected a structure file; there is {'a folder' if path.is_dir() else 'none'}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected at least one structure; the file is empty")
    frame = -1
    frames = iread(str(path), index=":")
    while True:
        try:
            atoms = next(frames, None)
        except Exception as error:  # ASE's readers raise whatever their parsing runs into
            raise InputError(
                f"{path}, frame {frame + 1}: expected a structure in a format that ASE reads (xyz, extxyz, "
                f"mol, sdf, pdb, gen, …); {_reason(error)}"
            ) from error
        if atoms is None:
            break
        frame += 1
        yield Structure(str(path), frame, atoms)
    if frame < 0:
        raise InputError(f"{path}: expected at least one structure; the file holds none")


def read_files(paths: Iterable[str | Path]) -> tuple[list[Structure], list[InputError]]:
    """The structures of all files that can be read, and one error for each that cannot."""
    structures: list[Structure] = []
    errors: list[InputError] = []
    for path in paths:
        try:
            structures += read_structures(path)
        except InputError as error:
            errors.append(error)
    return structures, errors


def addressed(message: str, structures: Sequence[Structure]) -> str:
    """The message of an error with every ``system k`` replaced by the file and frame of ``structures[k]``."""
    return re.sub(r"\bsystem (\d+)", lambda match: structures[int(match[1])].address, message)


def _reason(error: Exception) -> str:
    """One short clause on why a reader stopped."""
    if isinstance(error, KeyError):
        return f"there is no element {error.args[0]!r}"
    lines = str(error).strip().splitlines()
    return f"reading stopped at: {lines[0]}" if lines else f"reading stopped ({type(error).__name__})"


@dataclass(frozen=True)
class Refused:
    """A frame or a file that could not be read."""

    source: str
    frame: int | None
    reason: str

    def __str__(self) -> str:
        return self.reason


def stream(
    paths: Iterable[str | Path], charge: int | None = None, multiplicity: int | None = None
) -> Iterator[Structure | Refused]:
    """Structures with charge and multiplicity, as they are read."""
    from nddo_ml.systems import Systems

    for path in paths:
        k = 0
        try:
            for s in _frames(Path(path)):
                k = s.frame
                try:
                    one = Systems.from_ase(s.atoms, charge, multiplicity)
                except InputError as error:
                    yield Refused(str(path), s.frame, addressed(str(error), [s]))
                    continue
                yield replace(s, charge=int(one.charge[0]), multiplicity=int(one.multiplicity[0]))
        except InputError as error:
            yield Refused(str(path), k, str(error))
