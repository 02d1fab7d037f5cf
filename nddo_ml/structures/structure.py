"""What reading gives: a structure with its charge and spin, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Structure:
    """One frame of one source."""

    source: str  # as the user named it: a file, "-" for standard input, a SMILES string
    frame: int  # counted from 0 in the source, also where frames were selected
    atoms: Atoms  # isotopes as masses, fixed atoms as constraints; charge and multiplicity in info, too
    name: str = ""  # the record's title, where it has one
    charge: int = 0  # e
    multiplicity: int = 1  # 2S + 1
    remarks: tuple[str, ...] = ()  # sentences for standard error

    @property
    def address(self) -> str:
        """Where the structure comes from, for people."""
        return f"{self.source}, frame {self.frame}"


@dataclass(frozen=True)
class Refused:
    """A frame, or a source (frame None), that could not be read, and why."""

    source: str
    frame: int | None
    reason: str

    def __str__(self) -> str:
        address = self.source if self.frame is None else f"{self.source}, frame {self.frame}"
        return f"{address}{', ' if self.reason.startswith('atom ') else ': '}{self.reason}"

    @property
    def error(self) -> InputError:
        """The same as an exception."""
        return InputError(str(self))


def addressed(message: str, structures: Sequence[Structure]) -> str:
    """The message of an error with every ``system k`` replaced by the file and frame of ``structures[k]``."""
    return re.sub(r"\bsystem (\d+)", lambda match: structures[int(match[1])].address, message)
