"""What the readers of the formats share: lines with their numbers, numbers as programs write them, records."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?\d{1,9})|(\d{1,9}[+-])", re.ASCII)
_VALENCES = {6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 35: 1, 53: 1}  # lowest of neutral atoms
_NOT_A_NUMBER_SIGN = str.maketrans({"D": "E", "d": "e", "\u2212": "-", "\u2013": "-"})


@dataclass(frozen=True)
class Statement:
    """What a file says of the charge or the multiplicity, and where."""

    quantity: str  # "charge" or "multiplicity"
    value: int
    where: str


@dataclass
class Record:
    """One structure as its format's reader found it."""

    atoms: Atoms
    name: str = ""
    stated: list[Statement] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)  # kind (told once a source) and sentence

    def state(self, quantity: str, value: int | None, where: str) -> None:
        """Note a statement; None is none."""
        if value is not None:
            self.stated.append(Statement(quantity, value, where))

    def remark(self, kind: str, sentence: str) -> None:
        """Note a sentence for standard error, told once a source for each kind."""
        self.remarks.append((kind, sentence))

    def remark_solvent(self, said: str) -> None:
        """Name a solvent that the input puts around its molecule: a model's, and nothing that a structure has."""
        self.remark("solvent", f"the solvent of the input ({shown(said)}) is not used; --solvent is")

    def remark_hydrogens(self, orders: Sequence[float | None]) -> None:
        """Name the first atom that lacks hydrogens by its sum of bond orders (None: not known); a record of several
        atoms without any bond says nothing of them."""
        if len(orders) > 1 and not any(orders):
            return
        for k, (number, order) in enumerate(zip(self.atoms.numbers.tolist(), orders, strict=True)):
            if order is not None and order < _VALENCES.get(number, 0):
                text = f"has bonds of order {order:g} only" if order else "has no bonds"
                self.remark("hydrogens", f"atom {k} ({self.atoms.symbols[k]}) {text}; no hydrogens are added")
                return


@dataclass(frozen=True)
class Chunk:
    """The lines of one record."""

    lines: list[str]
    first: int  # number of the first line, counted from 1
    folder: Path = Path()  # of the file, for names of others in it
    notes: tuple[str, ...] = ()  # what around the record is not used

    def where(self, k: int) -> str:
        """Address of the k-th line."""
        return f"line {self.first + k}"


class Lines:
    """Lines of a text and the number of the last one given; a line can be put back."""

    def __init__(self, lines: Generator[str, None, None], folder: Path = Path()) -> None:
        self._lines = lines
        self._back: list[str] = []
        self.folder = folder
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.pop() if self._back else next(self._lines).rstrip("\r\n")
        self.number += 1
        return line

    def back(self, line: str) -> None:
        """Give ``line`` again next time."""
        self._back.append(line)
        self.number -= 1

    def close(self) -> None:
        """Let go of the text."""
        self._lines.close()


def is_number(text: str) -> bool:
    """Whether ``text`` is a number, Fortran's exponents included."""
    return _NUMBER.fullmatch(text.translate(_NOT_A_NUMBER_SIGN)) is not None


def number(text: str, where: str) -> float:
    """A number as programs write it: 1.0, 1e-3, 1.0D+00.

    Raises:
        InputError: anything else.
    """
    plain = text.strip().translate(_NOT_A_NUMBER_SIGN)
    if _NUMBER.fullmatch(plain) is None:
        raise InputError(f"{where}: expected a number; got {shown(text)}")
    return float(plain)


def whole(text: str, what: str, where: str) -> int:
    """A whole number of at most nine digits: -1, +1, 1-, 1+.

    Raises:
        InputError: anything else.
    """
    plain = text.strip().replace("\u2212", "-").replace("\u2013", "-")
    match = _WHOLE.fullmatch(plain)
    if match is None:
        raise InputError(f"{where}: {what} must be a whole number; got {shown(text)}")
    return int(match[1]) if match[1] else int(plain[-1] + plain[:-1])


def shown(text: object, length: int = 40) -> str:
    """A text as it stands in a message: quoted, printable, not too long."""
    quoted = repr(text.item() if isinstance(text, np.generic) else text)
    return quoted if len(quoted) <= length else f"{quoted[: length - 1]}…"


def title(text: str) -> str:
    """A title in one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
