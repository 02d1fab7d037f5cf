"""n2p2's input.data: labelled structures, from ``begin`` to ``end``.

Format as documented by n2p2: lines ``comment``, ``lattice`` (three or none), ``energy`` and ``charge`` (of the whole
structure), and ``atom x y z element charge unused fx fy fz``, in units of the author's choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.elements import number_of
from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

_NUMBERS = {"lattice": 3, "energy": 1, "charge": 1}


def is_n2p2_data(path: Path) -> bool:
    """Whether a file is called ``*.data`` and its first line says ``begin``."""
    if path.suffix != ".data":
        return False
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline(80).split()[:1] == ["begin"]


def read_n2p2_data(path: Path) -> Iterator[tuple[Atoms, dict[str, Any]]]:
    """Structures with energies, forces and, where an atom has one, charges.

    Raises:
        InputError: a line that does not belong, numbers that are missing or not finite; by line.
    """
    block: dict[str, list[Any]] | None = None
    n = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for n, line in enumerate(file, 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            where = f"{path}, line {n}"
            if (words[0] == "begin") != (block is None):
                expected = "a line that begins with 'begin'" if block is None else "'end' before the next 'begin'"
                raise InputError(f"{where}: expected {expected}; got {line.strip()!r:.60}")
            if block is None:
                block = {}
            elif words[0] == "end":
                yield _structure(block, where)
                block = None
            elif words[0] == "atom":
                block.setdefault("atom", []).append(_atom(words[1:], where))
            elif words[0] in _NUMBERS:
                block.setdefault(words[0], []).append(_numbers(words[1:], _NUMBERS[words[0]], words[0], where))
            elif words[0] != "comment":
                raise InputError(f"{where}: expected atom, {', '.join(_NUMBERS)}, comment or end; got {words[0]!r:.60}")
    if block is not None:
        raise InputError(f"{path}, line {n}: expected 'end' before the file ends")


def _structure(block: dict[str, list[Any]], where: str) -> tuple[Atoms, dict[str, Any]]:
    """ASE's structure and the labels of what stood between begin and end."""
    from ase import Atoms

    for name, allowed in (("lattice", (0, 3)), ("energy", (0, 1)), ("charge", (0, 1))):
        if len(block.get(name, ())) not in allowed:
            raise InputError(f"{where}: expected {allowed[1]} lines {name!r} in a structure; got {len(block[name])}")
    if "atom" not in block:
        raise InputError(f"{where}: expected at least one atom in a structure; got none")
    numbers, rows = zip(*block["atom"], strict=True)
    table = np.array(rows)  # x y z charge unused fx fy fz
    cell = np.array(block["lattice"]) if "lattice" in block else None
    atoms = Atoms(numbers, table[:, :3], cell=cell, pbc=cell is not None)
    labels: dict[str, Any] = {"forces": table[:, 5:]}
    if "energy" in block:
        labels["energy"] = block["energy"][0][0]
    if table[:, 3].any():
        labels["charges"] = table[:, 3]
    if "charge" in block:
        atoms.info["charge"] = block["charge"][0][0]
    return atoms, labels


def _atom(words: list[str], where: str) -> tuple[int, list[float]]:
    if len(words) != 9:
        raise InputError(f"{where}: expected 'atom' with x y z element charge unused fx fy fz; got {len(words)} words")
    try:
        z = number_of(words[3])
    except KeyError:
        raise InputError(f"{where}: expected an element's symbol; got {words[3]!r:.60}") from None
    return z, _numbers(words[:3] + words[4:], 8, "atom", where)


def _numbers(words: list[str], n: int, name: str, where: str) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != n or not all(map(math.isfinite, values)):
        raise InputError(f"{where}: expected {n} finite numbers after {name!r}; got {' '.join(words)!r:.80}")
    return values
