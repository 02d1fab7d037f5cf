"""Atoms as input files of programs write them: Cartesian rows and Z-matrices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from nddo_ml.errors import InputError
from nddo_ml.structures.labels import Kind, kinds, make_atoms, nuclide
from nddo_ml.structures.record import is_number, number, shown, whole
from nddo_ml.units import BOHR_ANGSTROM

CHARGE_AND_MULTIPLICITY = re.compile(r"\s*([+-]?\d{1,4})[\s,]+([+-]?\d{1,4})((?:[\s,]+[+-]?\d{1,4})*)[\s,]*", re.ASCII)
_LABEL = re.compile(r"(?P<symbol>[A-Za-z]+\d*|\d+)(?P<type>-[^()]*)?(\((?P<options>.*)\))?", re.ASCII)
_BETWEEN_WORDS = re.compile(r"[\s,;]+(?![^()]*\))")  # not within parentheses
Row = tuple[str, list[str], str]  # label, words after it, where it stands
Bond = tuple[int, float]  # an atom before this one, counted from 0, and the distance, angle or torsion to it


def rows_of(lines: Sequence[str], first: int) -> list[Row]:
    """Lines as rows: words divided by blanks or commas; empty lines do not count."""
    rows = []
    for k, line in enumerate(lines):
        words = words_of(line)
        if words and words[0]:
            rows.append((words[0], words[1:], f"line {first + k}"))
    return rows


def words_of(line: str) -> list[str]:
    """Words divided by blanks, commas or semicolons; parentheses keep theirs together."""
    return _BETWEEN_WORDS.split(line.strip().strip(","))


def molecule(
    rows: Sequence[Row],
    variables: Mapping[str, float] | None = None,
    bohr: bool = False,
    freeze_codes: bool = False,
) -> Atoms:
    """A molecule from Cartesian rows, or from a Z-matrix, whose first row is a label alone.

    Args:
        rows: of the atoms.
        variables: of a Z-matrix.
        bohr: lengths are in bohr.
        freeze_codes: a whole number below 1 before the coordinates is Gaussian's: −1 fixes the atom.

    Raises:
        InputError: rows that cannot be read, ghosts, dummies.
    """
    if not rows:
        raise InputError("expected at least one atom; got none")
    unit = BOHR_ANGSTROM if bohr else 1.0
    lattice = [row for row in rows if row[0].lower() == "tv"]
    rows = [row for row in rows if row[0].lower() != "tv"]
    found = _kinds([label for label, *_ in rows])
    fixed: list[int] = []
    if rows and not rows[0][1]:
        positions = from_zmatrix([_bonds(row, k, rows, variables or {}, unit) for k, row in enumerate(rows)])
    else:
        positions = np.array([_cartesian(row, k, fixed if freeze_codes else None) for k, row in enumerate(rows)]) * unit
    atoms = make_atoms(found, positions)
    if fixed and len(fixed) < len(atoms):
        from ase.constraints import FixAtoms  # loads scipy

        atoms.set_constraint(FixAtoms(fixed))
    if lattice:
        cell = np.zeros((3, 3))
        for k, row in enumerate(lattice[:3]):
            cell[k] = np.array(_cartesian(row, k, [] if freeze_codes else None)) * unit
        atoms.set_cell(cell)
        atoms.pbc = [k < len(lattice) for k in range(3)]
    return atoms


def from_zmatrix(rows: Sequence[Sequence[Bond]]) -> np.ndarray:
    """Positions [atoms, 3] Å of distances (Å), angles and torsions (degrees) to atoms before.

    Raises:
        InputError: references that do not fit, or that lie on a line where a torsion needs a plane.
    """
    from ase.io.zmatrix import parse_zmatrix

    text = []
    for k, row in enumerate(rows):
        references = [reference for reference, _ in row]
        if len(row) != min(k, 3) or len(set(references)) != len(references) or any(not 0 <= r < k for r in references):
            raise InputError(f"atom {k}: internal coordinates must refer to {min(k, 3)} different atoms before it")
        text.append(" ".join(["H", *(f"{reference + 1} {value!r}" for reference, value in row)]))
    with np.errstate(all="ignore"):
        positions = np.asarray(parse_zmatrix(text).positions)
    bad = np.flatnonzero(~np.isfinite(positions).all(axis=1))
    if bad.size:
        raise InputError(f"atom {bad[0]}: its torsion refers to atoms on one line; its place is not defined")
    return positions


def variables_of(lines: Sequence[str], first: int) -> dict[str, float]:
    """Variables of a Z-matrix: ``r = 0.96`` or ``r 0.96``; headings do not count.

    Raises:
        InputError: a value that is no number.
    """
    found = {}
    for k, line in enumerate(lines):
        words = line.replace("=", " ").split()
        if len(words) >= 2 and re.match(r"[A-Za-z_]", words[0]):
            found[words[0].lower()] = number(words[1], f"line {first + k}")
    return found


def is_atom_row(line: str) -> bool:
    """Whether a line may be a row of a molecule: a label, alone or with numbers or names."""
    words = words_of(line)
    return bool(words[0]) and _LABEL.fullmatch(words[0]) is not None and (len(words) == 1 or len(words) >= 3)


def _kinds(labels: Sequence[str]) -> list[Kind]:
    """Elements of labels such as C, C-CT-0.1, O(Iso=18), C(1)."""
    symbols, masses = [], {}
    for k, label in enumerate(labels):
        match = _LABEL.fullmatch(label)
        symbol = label
        if match is not None and not re.fullmatch(r"-?(bq|gh|ghost)", match["type"] or "", re.IGNORECASE):
            symbol = match["symbol"]
            if re.search(r"\bz(nuc\w*)?\s*=", match["options"] or "", re.IGNORECASE):
                raise InputError(f"atom {k}: {label!r} has a nucleus with a charge of its own, which is not understood")
            isotope = re.search(r"iso\w*=(\d+)", match["options"] or "", re.IGNORECASE)
            if isotope:
                masses[k] = int(isotope[1])
        symbols.append(symbol)
    found = kinds(symbols)
    return [Kind(kind.number, nuclide(kind.number, masses[k])) if k in masses else kind for k, kind in enumerate(found)]


def _cartesian(row: Row, k: int, fixed: list[int] | None) -> list[float]:
    """Three coordinates; a freeze code before them adds to ``fixed`` (None: there are none)."""
    label, words, where = row
    if (
        fixed is not None
        and len(words) >= 4
        and re.fullmatch(r"0|-\d+", words[0])
        and all(is_number(w) for w in words[1:4])
    ):
        if words[0] != "0":
            fixed.append(k)
        words = words[1:]
    if len(words) < 3:
        raise InputError(f"{where}: expected three coordinates of atom {k} ({label}); got {shown(' '.join(words))}")
    return [number(word, where) for word in words[:3]]


def _bonds(row: Row, k: int, rows: Sequence[Row], variables: Mapping[str, float], unit: float) -> list[Bond]:
    """A row of a Z-matrix: reference and value by turns."""
    label, words, where = row
    needed = 2 * min(k, 3)
    if len(words) < needed:
        raise InputError(f"{where}: expected {needed} words after {label} in a Z-matrix; got {len(words)}")
    if len(words) > 6 and words[6] not in ("0",):
        raise InputError(f"{where}: a Z-matrix with two angles ({shown(' '.join(words))}) is not understood")
    found = []
    for j in range(0, needed, 2):
        value = _value(words[j + 1], variables, where)
        found.append((_reference(words[j], rows[:k], where), value * unit if j == 0 else value))
    return found


def _reference(word: str, rows: Sequence[Row], where: str) -> int:
    if re.fullmatch(r"\d+", word, re.ASCII):
        return whole(word, "a reference", where) - 1
    named = [k for k, row in enumerate(rows) if row[0] == word]
    if len(named) != 1:
        raise InputError(f"{where}: expected an atom before this one; got {shown(word)}")
    return named[0]


def _value(word: str, variables: Mapping[str, float], where: str) -> float:
    if is_number(word):
        return number(word, where)
    name = word.lstrip("+-").lower()
    if name not in variables:
        raise InputError(f"{where}: there is no variable {shown(word)}")
    return -variables[name] if word.startswith("-") else variables[name]
