"""Input of NWChem: ``geometry``, ``charge``, ``mult`` of DFT and the spin of SCF, as they are at its first task."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ase import Atoms

from nddo_ml.errors import InputError
from nddo_ml.structures.coordinates import Row, molecule, variables_of, words_of
from nddo_ml.structures.record import Chunk, Lines, Record, number, shown, title, whole

_SPINS = ("singlet", "doublet", "triplet", "quartet", "quintet", "sextet", "septet", "octet")
_MULTIPLICITY = ("mult", "multiplicity")
_UNITS = {"an": "angstrom", "au": "bohr", "at": "bohr", "bo": "bohr"}  # by their first two letters
_GEOMETRY = re.compile(r"\s*geometry(\s[^={]*)?(;.*)?", re.IGNORECASE)
_OTHERS = re.compile(r"\s*(start|restart|title|task|basis|dft|scf|charge|echo|memory)\b", re.IGNORECASE)
Statement = tuple[int, str]  # the line, counted from 0, and what is said there


def looks_like(head: Sequence[str]) -> bool:
    """A block geometry beside another directive."""
    return any(map(_GEOMETRY.fullmatch, head)) and any(map(_OTHERS.match, head))


def split(lines: Lines) -> Iterator[Chunk]:
    """For each geometry the file without the others, as far as the last of its tasks."""
    text = list(lines)
    owners, owner, inside = [], -1, False
    for line in text:
        if not inside and _GEOMETRY.fullmatch(line):
            owner, inside, deeper = owner + 1, True, 0
        owners.append(owner if inside else None)
        for word in re.findall(r"^\s*(zmatrix|system|end)\b|;\s*(end)\b", line, re.IGNORECASE) if inside else ():
            deeper += -1 if "end" in "".join(word).lower() else 1
            inside = deeper >= 0
    for k in range(max(owner + 1, 1)):
        kept: list[str] = []
        seen, last = False, 0  # this geometry, and how far its last task is
        for line, of in zip(text, owners, strict=True):
            seen |= of == k
            if last and of is not None:
                del kept[last:]  # belongs to the next geometry
                break
            kept.append(line if of in (k, None) else "")
            if seen and re.match(r"\s*task\b", line, re.IGNORECASE):
                last = len(kept)
        yield Chunk(kept, 1, lines.folder)


def parse(chunk: Chunk) -> Record:
    """One geometry.

    Raises:
        InputError: no geometry, symmetry, cells, charges around the molecule, rows that cannot be read.
    """
    said = list(_statements(chunk.lines))
    begin = next((i for i, (_, text) in enumerate(said) if _first(text) == "geometry"), None)
    if begin is None:
        raise InputError(f"{chunk.where(0)}: expected a block geometry … end; got none")
    atoms, end = _geometry(chunk, said, begin)
    rest = [*said[:begin], *said[end:]]
    around = next((text for _, text in rest if _first(text) == "bq"), None)
    if around is not None:
        raise InputError("charges around the molecule (bq) are not understood")
    record = Record(atoms, next((title(t.split(None, 1)[1].strip("\"' ")) for _, t in rest if _is_title(t)), ""))
    task = next((k for k, text in said[end:] if _first(text) == "task"), len(chunk.lines))
    _state(chunk, record, [(k, text) for k, text in rest if k <= task])
    if any(_first(text) in ("charge", *_MULTIPLICITY) for k, text in rest if k > task):
        record.remark("jobs", f"{chunk.where(task)}: what is said after the geometry's first task is not read")
    if solvent := next((text for _, text in rest if _first(text) in ("cosmo", "smd")), None):
        record.remark_solvent(solvent)
    if any(_first(text) == "constraints" or "actlist" in text.lower() for _, text in rest):
        record.remark("constraints", "the constraints of the NWChem input are not used")
    return record


def _statements(lines: Sequence[str]) -> Iterator[Statement]:
    """What is said, without comments; lines that end in a backslash go on, semicolons divide."""
    begun = ""
    for k, line in enumerate(lines):
        text = begun + line.split("#", 1)[0].rstrip()
        if text.endswith("\\"):
            begun = text[:-1] + " "
            continue
        begun = ""
        for part in [text] if _is_title(text) else text.split(";"):
            if part.strip():
                yield k, part.strip()


def _first(text: str) -> str:
    return text.split()[0].lower()


def _is_title(text: str) -> bool:
    return re.match(r"\s*title\s+\S", text, re.IGNORECASE) is not None


def _geometry(chunk: Chunk, said: Sequence[Statement], begin: int) -> tuple[Atoms, int]:
    """The atoms of the block that begins with this statement, and the statement after its end."""
    words = [word.lower() for word in said[begin][1].split()]
    unit = next((after for word, after in pairwise(words) if word == "units"), "angstroms")
    if unit[:2] not in _UNITS:
        raise InputError(f"{chunk.where(said[begin][0])}: expected units angstroms or bohr; got {shown(unit)}")
    rows: list[Row] = []
    variables: dict[str, float] = {}
    masses: dict[int, float] = {}
    internal, deeper = False, False  # in zmatrix, in its variables
    for i in range(begin + 1, len(said)):
        where, text = chunk.where(said[i][0]), said[i][1]
        word = _first(text)
        if word == "end" and not internal:
            atoms = molecule(rows, variables, _UNITS[unit[:2]] == "bohr")
            if masses:
                atoms.set_masses([masses.get(k, mass) for k, mass in enumerate(atoms.get_masses())])
            return atoms, i + 1
        if word in ("system", "load") or (word == "symmetry" and text.lower().split()[-1] not in ("c1", "1")):
            raise InputError(f"{where}: a geometry of NWChem with {shown(text)} is not understood")
        if word in ("zmatrix", "end"):
            internal, deeper = word != "end", False
        elif internal and word in ("variables", "constants"):
            deeper = True
        elif deeper:
            variables |= variables_of([text], said[i][0] + chunk.first)
        elif word != "symmetry":
            label, *values = words_of(text)
            for key, value in pairwise(values[3:]) if not internal else ():
                if key.lower() == "charge":
                    raise InputError(f"{where}: a nucleus with a charge of its own ({value}) is not understood")
                if key.lower() == "mass":
                    masses[len(rows)] = number(value, where)
            rows.append((label, values if internal else values[:3], where))
    raise InputError(f"{chunk.where(said[begin][0])}: expected end after the geometry; the file ends")


def _state(chunk: Chunk, record: Record, said: Sequence[Statement]) -> None:
    """Charge and multiplicity: the last that are said of each."""
    last: dict[str, tuple[int, str]] = {}
    block = ""
    for k, text in said:
        words, where = text.split(), chunk.where(k)
        word = words[0].lower()
        block = {"scf": "scf", "end": ""}.get(word, block)
        value = words[1] if len(words) > 1 else ""
        if word == "charge":
            last["charge"] = whole(re.sub(r"\.0*$", "", value), "the charge", where), where
        elif word in _MULTIPLICITY:
            last["multiplicity"] = abs(whole(value, "the multiplicity", where)), where
        elif block and word == "nopen":
            last["multiplicity"] = whole(value, "nopen", where) + 1, where
        elif block and word in _SPINS:
            last["multiplicity"] = _SPINS.index(word) + 1, where
    for quantity, (number_said, where) in last.items():
        record.state(quantity, number_said, where)
