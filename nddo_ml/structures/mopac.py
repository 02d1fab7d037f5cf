"""Input of MOPAC (.mop, .dat) and its archives (.arc): keywords, Cartesian or internal coordinates with their flags.

One to three lines of keywords (``+`` adds a line, ``&`` takes one of the two of the title), the title, the atoms up
to a blank line; then, perhaps, the next calculation (MOPAC2016 manual).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.structures.coordinates import from_zmatrix, words_of
from nddo_ml.structures.labels import Kind, kinds, make_atoms
from nddo_ml.structures.record import Chunk, Lines, Record, is_number, number, shown, title, whole
from nddo_ml.units import BOHR_ANGSTROM

SPINS = {
    name: k + 1
    for k, name in enumerate(
        ["SINGLET", "DOUBLET", "TRIPLET", "QUARTET", "QUINTET", "SEXTET", "SEPTET", "OCTET", "NONET"]
    )
}
_KEYWORDS = re.compile(
    r"(^|\s)(AM1|PM[3678]\S*|MNDOD?|RM1|1SCF|XYZ|PRECISE|GNORM=\S+|EF|TS|FORCE|THERMO|UHF|AUX|CHARGE=\S+|GEO-OK|MOZYME|"
    r"BFGS|LBFGS|NOOPT|OPT|BONDS|VECTORS|GRAPHF?|" + "|".join(SPINS) + r")(\s|$|\()",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(r"\s*SUMMARY OF\s.*CALCULATION")
# what changes the state or surrounds the molecule, and is nothing that a structure has
_NOT_USED = re.compile(r"(FIELD|BIRADICAL|OPEN|ROOT|EXCITED|C\.I\.|MICROS|QMMM|EXTERNAL|PRESSURE|P)(=.*|\(.*|)")
_SPARKLES = {"+", "++", "+++", "-", "--", "---", "+3", "FR", "AT"}
_ATOM = re.compile(r"(?P<symbol>[A-Za-z]{1,2}|\d{1,3})(?P<mass>\d+\.\d*)?(?P<label>\(.*\)|[-_:]\S*)?", re.ASCII)


@dataclass(frozen=True)
class _Fields:
    values: list[float]  # three
    flags: list[int]  # three, 0: fixed
    references: list[int]
    short: bool  # fewer than three values were given


def looks_like(head: Sequence[str]) -> bool:
    """A first line of MOPAC's keywords."""
    first = next((line for line in head if line.strip() and not line.startswith("*")), "")
    return _KEYWORDS.search(first) is not None and not first.lstrip().startswith("#")  # which begins Gaussian's route


def split(lines: Lines) -> Iterator[Chunk]:
    """The calculations of a file: keywords, two lines of title, atoms up to a blank line; of an archive (.arc) its
    last part, which is the input with the final geometry."""
    body: list[str] = []
    first, head = 1, 3
    for line in lines:
        if _ARCHIVE.match(line):
            next((True for line in lines if line.strip() == "FINAL GEOMETRY OBTAINED"), None)
            continue
        if line.startswith("*"):
            continue
        if not body:
            if not line.strip():
                continue
            first, head = lines.number, 3
        body.append(line)
        words = line.upper().split()
        if len(body) < head and len(body) <= 3 and _is_keyword_line(body):
            head += "+" in words
        if len(body) > head and not line.strip():
            yield Chunk(body[:-1], first)
            body = []
    if any(line.strip() for line in body):
        yield Chunk(body, first)


def _is_keyword_line(body: Sequence[str]) -> bool:
    """Whether the last line is one of keywords: the first, and each after one with + or &."""
    return all(set(line.upper().split()) & {"+", "&"} for line in body[:-1])


def parse(chunk: Chunk) -> Record:
    """One calculation.

    Raises:
        InputError: a geometry elsewhere, sparkles and dummies, rows that cannot be read.
    """
    count, head = _heading(chunk.lines)
    keywords = [word for line in chunk.lines[:count] for word in line.upper().split()]
    text = " ".join(keywords)
    if _KEYWORDS.search(text) is None:
        raise InputError(f"{chunk.where(0)}: expected keywords of MOPAC; got {shown(chunk.lines[0])}")
    for word in keywords:
        if word.startswith(("GEO_DAT", "OLDGEO", "SETUP")):
            raise InputError(f"{chunk.where(0)}: {word} takes data from another file, which is not read")
        if re.fullmatch(r"SYM(M\w*)?", word):
            raise InputError(f"{chunk.where(0)}: coordinates that follow from others ({word}) are not understood")
    rows = _rows(chunk, head)
    if not rows:
        raise InputError(f"{chunk.where(min(head, len(chunk.lines)) - 1)}: expected atoms after the title; got none")
    lattice = [row for row in rows if row[0].upper() == "TV"]
    rows = [row for row in rows if row[0].upper() != "TV"]
    unit = BOHR_ANGSTROM if "A0" in keywords else 1.0
    found = _elements(rows)
    fields = [_fields(words, where) for _, words, where in rows]
    internal = _internal(fields)
    if internal:
        atoms = make_atoms(found, _from_internal(fields, rows, unit))
    else:
        positions = np.array([f.values for f in fields]) * unit
        atoms = make_atoms(found, positions)
    record = Record(atoms, title(" ".join(chunk.lines[count:head])))
    if not internal:
        _fix(record, [f.flags for f in fields])
    if lattice:
        cell = np.zeros((3, 3))
        for k, (_, words, where) in enumerate(lattice[:3]):
            cell[k] = np.array(_fields(words, where).values) * unit
        atoms.set_cell(cell)
        atoms.pbc = [k < len(lattice) for k in range(3)]
    _state(record, keywords, chunk)
    return record


def keywords_of(path: str | Path) -> list[list[str]]:
    """The keywords of each calculation of an input file, in capitals.

    Raises:
        InputError: the file cannot be read, or has no keywords of MOPAC.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: expected an input of MOPAC; {error.strerror}") from None
    chunks = list(split(Lines(line for line in text.splitlines())))
    if not chunks or not looks_like(chunks[0].lines):
        raise InputError(f"{path}: expected an input of MOPAC, keywords first")
    jobs = []
    for chunk in chunks:
        count, _ = _heading(chunk.lines)
        jobs.append([word for line in chunk.lines[:count] for word in line.upper().split() if word not in ("+", "&")])
    return jobs


def _heading(lines: Sequence[str]) -> tuple[int, int]:
    """Numbers of lines of keywords, and of all before the atoms."""
    keywords, head = 1, 3
    while keywords <= 3 and keywords <= len(lines):
        words = lines[keywords - 1].upper().split()
        if "+" in words:
            head += 1
        elif "&" not in words:
            break
        keywords += 1
    return min(keywords, len(lines)), max(head, keywords)


def _rows(chunk: Chunk, head: int) -> list[tuple[str, list[str], str]]:
    rows = []
    for k in range(head, len(chunk.lines)):
        words = words_of(chunk.lines[k])
        if not words[0] or words[0] in ("0", "0."):
            break
        rows.append((words[0], words[1:], chunk.where(k)))
    return rows


def _elements(rows: Sequence[tuple[str, list[str], str]]) -> list[Kind]:
    symbols, masses = [], []
    for k, (label, _, where) in enumerate(rows):
        match = _ATOM.fullmatch(label)
        if label.upper() in _SPARKLES or label.upper() in ("CB", "XX", "X", "Q") or match is None:
            raise InputError(f"{where}: atom {k} is {label!r}, a dummy, sparkle or capped bond; expected atoms only")
        symbols.append(match["symbol"].capitalize())
        masses.append(None if match["mass"] is None else number(match["mass"], where))
    return [k if m is None else Kind(k.number, m) for k, m in zip(kinds(symbols), masses, strict=True)]


def _fields(words: Sequence[str], where: str) -> _Fields:
    """Values with or without flags, then references: ``v f v f v f na nb nc``, shorter ones at the first atoms."""
    words = [w.rstrip("*") for w in words if not re.fullmatch(r"\(.*\)", w)]
    if len(words) in (2, 4, 6) or len(words) > 6:
        flagged = all(re.fullmatch(r"[+-]?[01]", w) for w in words[1:6:2])
        if flagged:
            values, flags, rest = words[0:6:2], words[1:6:2], words[6:9]
        elif len(words) == 6:
            values, flags, rest = words[:3], [], words[3:]
        else:
            raise InputError(
                f"{where}: expected values and their flags (1, 0 or -1) by turns; got {shown(' '.join(words))}"
            )
    elif len(words) in (0, 1, 3):
        values, flags, rest = words, [], []
    else:
        raise InputError(f"{where}: expected three coordinates with or without flags; got {shown(' '.join(words))}")
    numbers = [number(w, where) for w in values]
    references = [whole(w, "a reference", where) for w in rest if re.fullmatch(r"\d{1,5}", w)]
    return _Fields(
        numbers + [0.0] * (3 - len(numbers)),
        [int(f) for f in flags] + [1] * (3 - len(flags)),
        references,
        len(numbers) < 3,
    )


def _internal(fields: Sequence[_Fields]) -> bool:
    """Whether coordinates are internal: some atom refers to others, or has fewer than three of them."""
    return any(f.short for f in fields) or any(any(f.references) for f in fields[1:])


def _from_internal(fields: Sequence[_Fields], rows: Sequence[tuple[str, list[str], str]], unit: float) -> np.ndarray:
    """Distance, angle, torsion; the references of the first three atoms may be left out (1; 1, 2 of 2, 1)."""
    bonds = []
    for k, row in enumerate(fields):
        needed = min(k, 3)
        usual = [[], [1], [2, 1]][k] if k < 3 else []
        given = [r for r in row.references if r][:needed]
        if len(given) < needed:
            if k > 2 or given:
                raise InputError(f"{rows[k][2]}: expected {needed} references of atom {k}; got {len(given)}")
            given = usual
        numbers = [row.values[0] * unit, *row.values[1:]]
        bonds.append([(r - 1, v) for r, v in zip(given, numbers, strict=False)])
    return from_zmatrix(bonds)


def _fix(record: Record, flags: Sequence[Sequence[int]]) -> None:
    """Flags of 0 fix coordinates: whole atoms, or some; where all are 0, the calculation optimised nothing."""
    fixed = np.array([[flag == 0 for flag in row] for row in flags])
    if not fixed.any():
        return
    if fixed.all():
        record.remark("flags", "the flags of all coordinates are 0 (nothing to optimise); they are not used")
        return
    from ase.constraints import FixAtoms, FixCartesian  # loads scipy

    whole_atoms, some = fixed.all(axis=1), fixed.any(axis=1) & ~fixed.all(axis=1)
    constraints: list[FixAtoms | FixCartesian] = [FixAtoms(mask=whole_atoms)] if whole_atoms.any() else []
    constraints += [FixCartesian(int(k), mask=fixed[k]) for k in np.flatnonzero(some)]
    record.atoms.set_constraint(constraints)


def _state(record: Record, keywords: Sequence[str], chunk: Chunk) -> None:
    """CHARGE=, the names of the multiplicities, MS=."""
    named = False
    for word in keywords:
        key, _, value = word.partition("=")
        if key == "CHARGE":
            record.state("charge", whole(value, "CHARGE", chunk.where(0)), word)
        elif word in SPINS:
            record.state("multiplicity", SPINS[word], word)
            named = True
        elif _NOT_USED.fullmatch(word):
            record.remark("keyword", f"MOPAC's {word} is not used")
        elif key == "EPS":
            record.remark("solvent", f"{word} is for `nddo-ml mopac`; other commands take --solvent")
    for word in keywords:
        key, _, value = word.partition("=")
        if key == "MS" and not named:
            if not is_number(value) or not 0 <= 2 * float(value) < 100 or 2 * float(value) % 1:
                raise InputError(f"{chunk.where(0)}: MS must be a half of a whole number; got {shown(value)}")
            record.state("multiplicity", 1 + round(2 * float(value)), word)
