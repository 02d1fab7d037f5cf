"""PDB: models, charge columns, alternate locations, elements by column or by name (wwPDB format 3.3).

Read here because ASE drops charges, keeps all alternate locations and makes a frame of what follows the last model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ase.data import atomic_numbers

from nddo_ml.errors import InputError
from nddo_ml.structures.labels import Kind, kind, make_atoms
from nddo_ml.structures.record import Chunk, Lines, Record, number, shown, title, whole

_ATOM = ("ATOM  ", "HETATM")
_POLYMER = {
    "ALA", "ARG", "ASN", "ASP", "ASX", "CYS", "GLN", "GLU", "GLX", "GLY", "HIS", "ILE", "LEU", "LYS", "MET",
    "MSE", "PHE", "PRO", "PYL", "SEC", "SER", "THR", "TRP", "TYR", "VAL", "A", "C", "G", "U", "I", "DA", "DC",
    "DG", "DT", "DU", "DI", "N", "HID", "HIE", "HIP", "ASH", "GLH", "LYN", "CYX", "ACE", "NME", "NMA", "HOH",
    "WAT", "TIP",
}  # fmt: skip
# Residues that are single ions by their name (chemical component dictionary); the charge column should say so
_IONS = {
    "LI", "NA", "K", "RB", "CS", "MG", "CA", "SR", "BA", "ZN", "MN", "FE", "FE2", "CO", "NI", "CU", "CU1",
    "CD", "HG", "AL", "CL", "BR", "IOD", "F",
}  # fmt: skip


@dataclass(frozen=True)
class _Atom:
    name: str  # four columns
    alternate: str
    residue: str
    place: str  # chain, number and insertion code
    kind: Kind
    position: list[float]
    charge: int | None


def split(lines: Lines) -> Iterator[Chunk]:
    """One chunk a model: up to ENDMDL or END, or to the next MODEL; what precedes the first one goes with each."""
    head: list[str] = []
    model: list[str] = []
    first, filled = 1, False
    for line in lines:
        tag = line[:6].rstrip()
        if tag in ("ENDMDL", "END", "MODEL") or (filled and tag in ("HEADER", "TITLE", "COMPND", "CRYST1")):
            if filled:
                yield Chunk(head + model, first)
            if tag not in ("ENDMDL", "MODEL"):
                head = [] if tag == "END" else [line]
            model, filled, first = [], False, lines.number - len(head) + 1
        elif line.startswith(_ATOM):
            model.append(line)
            filled = True
        elif not filled and tag in ("HEADER", "TITLE", "COMPND", "CRYST1"):
            head.append(line)
            first = lines.number - len(head) + 1
        elif tag not in ("", "TER") or line.startswith(("ATOM", "HETATM")):
            model.append(line)
    if filled:
        yield Chunk(head + model, first, notes=("no END",))


def parse(chunk: Chunk) -> Record:
    """One model.

    Raises:
        InputError: columns that cannot be read, elements that cannot be told.
    """
    atoms = [
        _atom(line, k, chunk.where(k)) for k, line in enumerate(chunk.lines) if line.startswith(("ATOM", "HETATM"))
    ]
    if not atoms:
        raise InputError(f"{chunk.where(0)}: expected at least one ATOM or HETATM record; got none")
    rows = [line for line in chunk.lines if line.startswith(("ATOM", "HETATM"))]
    if len(rows) > 1 and len(rows[-1].rstrip()) < 78 <= min(len(line.rstrip()) for line in rows[:-1]):
        raise InputError(
            f"the last atom's line ends before its element and charge (columns 77-80): {shown(rows[-1], 90)}"
        )
    kept, alternates = _first_locations(atoms)
    record = Record(make_atoms([a.kind for a in kept], [a.position for a in kept]), _title(chunk.lines))
    if alternates:
        record.remark(
            "alternate",
            f"alternate locations: the first of each residue is taken, {len(atoms) - len(kept)} atoms at "
            f"{', '.join(sorted(alternates))} are left out",
        )
    if bare := _without_hydrogens(kept):
        record.remark("hydrogens", f"residues without hydrogens ({bare[0]}; {len(bare)} in all): none are added")
    charges = [a.charge for a in kept if a.charge is not None]
    if charges and atoms[-1].charge is None and chunk.notes:
        record.remark("end", "the file ends without END; the last atom's charge may be lost")
    if charges:
        record.state("charge", sum(charges), "the sum of the charge columns")
    blank = sorted({a.residue for a in kept if a.charge is None and a.residue in _IONS and _alone(a, kept)})
    if blank:
        record.remark("ions", f"the ions {', '.join(blank)} have no charge in columns 79-80; they are counted as 0")
    _cell(record, chunk)
    return record


def _atom(line: str, k: int, where: str) -> _Atom:
    name, residue = f"{line[12:16]:4}", line[17:20].strip()
    try:
        position = [number(line[i : i + 8], f"{where}: coordinates in columns 31-54") for i in (30, 38, 46)]
    except InputError as error:
        raise InputError(f"{error} in {shown(line[:66], 80)}") from None
    text = line[78:80].strip()
    charge = None
    if re.fullmatch(r"[+-]\d|\d[+-]|[+-]|0", text, re.ASCII):
        charge = whole(f"1{text}" if text in "+-" else text, "the charge in columns 79-80", where)
    elif text:
        raise InputError(f"{where}: the charge in columns 79-80 must be as 1- or 2+; got {text!r}")
    place = line[21:27]
    element = _element(line[76:78].strip(), name, residue, line[:6] == "ATOM  ", where)
    return _Atom(name, line[16:17].strip(), residue, place, element, position, charge)


def _element(column: str, name: str, residue: str, polymer: bool, where: str) -> Kind:
    """The element of columns 77-78; failing these, from the name, whose element ends in column 14."""
    if column:
        if not re.fullmatch(r"[A-Za-z]{1,2}", column):
            raise InputError(f"{where}: the element in columns 77-78 must be a symbol; got {column!r}")
        if column not in ("D", "T") and column.capitalize() in atomic_numbers and column.upper() != "X":
            return Kind(atomic_numbers[column.capitalize()])
        try:
            return kind(column)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    letters = re.sub(r"[^A-Za-z]", "", name)
    if not letters:
        raise InputError(f"{where}: there is no element in columns 77-78, and the name {name!r} tells none")
    if letters.upper() == residue.upper() and letters.capitalize() in atomic_numbers:
        return Kind(atomic_numbers[letters.capitalize()])
    aligned = name[0] in " 0123456789" or (len(name.strip()) == 4 and letters[0].upper() == "H")
    if aligned or (polymer and residue.upper() in _POLYMER):
        return _by_letter(letters, where)
    two = name[:2].strip().capitalize()
    if two in atomic_numbers and residue.upper() not in _POLYMER:
        if len(two) == 2 and name[1:2].islower() | (letters[0].upper() not in "HCNOSP"):
            return Kind(atomic_numbers[two])
        if len(two) == 2 and two.upper() in ("CL", "CU", "CR", "NI", "SI", "SE", "SN", "PT", "PD", "PB"):
            return Kind(atomic_numbers[two])
        if len(two) == 2:
            raise InputError(
                f"{where}: there is no element in columns 77-78, and the name {name.strip()!r} may be {two} or {two[0]}"
            )
    return _by_letter(letters, where)


def _by_letter(letters: str, where: str) -> Kind:
    first = letters[0].upper()
    if first == "D":
        return kind("D")
    if first not in atomic_numbers or first == "X":
        raise InputError(f"{where}: there is no element in columns 77-78, and the name {letters!r} tells none")
    return Kind(atomic_numbers[first])


def _first_locations(atoms: Sequence[_Atom]) -> tuple[list[_Atom], set[str]]:
    """Atoms without a letter, and those of the first letter of their residue; the letters left out."""
    first: dict[str, str] = {}
    plain = {(atom.place, atom.name) for atom in atoms if not atom.alternate}
    for atom in atoms:
        if atom.alternate and (atom.place, atom.name) not in plain:  # beside one without a letter it is the second
            first.setdefault(atom.place, atom.alternate)
    kept = [a for a in atoms if not a.alternate or ((a.place, a.name) not in plain and a.alternate == first[a.place])]
    return kept, {a.alternate for a in atoms} - {a.alternate for a in kept}


def _without_hydrogens(atoms: Sequence[_Atom]) -> list[str]:
    """Residues with carbon, and water, that have no hydrogen, in order."""
    has_carbon: dict[str, bool] = {}
    has_hydrogen = set()
    for atom in atoms:
        name = f"{atom.residue} {atom.place.strip()}"
        has_carbon[name] = has_carbon.get(name, False) or atom.kind.number == 6 or atom.residue in ("HOH", "WAT")
        if atom.kind.number == 1:
            has_hydrogen.add(name)
    return [name for name, bare in has_carbon.items() if bare and name not in has_hydrogen]


def _alone(atom: _Atom, atoms: Sequence[_Atom]) -> bool:
    return sum(other.place == atom.place and other.residue == atom.residue for other in atoms) == 1


def _title(lines: Sequence[str]) -> str:
    for tag in ("TITLE", "COMPND", "HEADER"):
        parts = [line[10:80] for line in lines if line[:6].rstrip() == tag]
        if parts and (text := title(" ".join(parts))):
            return text
    return ""


def _cell(record: Record, chunk: Chunk) -> None:
    """The cell of CRYST1; one of 1 × 1 × 1 Å, or 0, stands for none."""
    for k, line in enumerate(chunk.lines):
        if not line.startswith("CRYST1"):
            continue
        columns = [line[6:15], line[15:24], line[24:33], line[33:40], line[40:47], line[47:54]]
        values = [number(c, chunk.where(k)) if c.strip() else 0.0 for c in columns]
        if all(v in (0.0, 1.0) for v in values[:3]):
            return
        try:
            record.atoms.set_cell(values)
        except (AssertionError, ValueError, ZeroDivisionError, FloatingPointError):
            raise InputError(f"{chunk.where(k)}: expected a cell; got {shown(line[:54], 60)}") from None
        record.atoms.pbc = True
        group = " ".join(line[55:66].split())
        if group not in ("", "P 1", "P1"):
            record.remark(
                "symmetry", f"the symmetry of CRYST1 ({group}) is not used: the cell holds the file's atoms only"
            )
        return
