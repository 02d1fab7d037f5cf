"""Reading structure files, with every error addressed by file and frame."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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

    @property
    def address(self) -> str:
        """Where the structure comes from, for people."""
        return f"{self.source}, frame {self.frame}"


def read_structures(path: str | Path) -> list[Structure]:
    """All frames of a file in any format that ASE reads; the format follows from the file's name and content.

    Raises:
        InputError: no such file, an empty file, or one that ASE cannot read.
    """
    from ase.io import iread

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected a structure file; there is {'a folder' if path.is_dir() else 'none'}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: expected at least one structure; the file is empty")
    structures: list[Structure] = []
    try:
        for frame, atoms in enumerate(iread(str(path), index=":")):
            structures.append(Structure(str(path), frame, atoms))
    except Exception as error:  # ASE's readers raise whatever their parsing runs into
        raise InputError(
            f"{path}, frame {len(structures)}: expected a structure in a format that ASE reads (xyz, extxyz, "
            f"mol, sdf, pdb, gen, …); {_reason(error)}"
        ) from error
    if not structures:
        raise InputError(f"{path}: expected at least one structure; the file holds none")
    return structures


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
