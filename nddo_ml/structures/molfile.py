"""MDL mol and SDF, V2000 and V3000: charges, radicals, isotopes, titles (Dassault Systèmes, CTfile formats, 2020).

Read here rather than by RDKit: nothing has to be installed, atoms keep their order, and what a chemist's valence
rules refuse (transition states, broken bonds) is still a structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nddo_ml.errors import InputError
from nddo_ml.structures.charge_spin import CHARGE_KEYS, MULTIPLICITY_KEYS, SPIN_KEYS, UNPAIRED_KEYS
from nddo_ml.structures.labels import Kind, kind, make_atoms, nuclide
from nddo_ml.structures.record import Chunk, Lines, Record, number, shown, title, whole

_OLD_CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}  # column of the atom block; 4 is a doublet radical
_UNPAIRED = {0: 0, 1: 0, 2: 1, 3: 2}  # of RAD: none, singlet, doublet, triplet
_COUNTS = re.compile(r"\s*\d.*V[23]000\s*$")
_QUERY = {"A", "Q", "X", "M", "L", "LP", "R", "R#", "*", "AH", "QH", "XH", "MH", "Pol", "ACE", "NON"}


@dataclass
class _Atom:
    symbol: str
    position: list[float]
    charge: int = 0
    radical: int = 0
    mass_number: int = 0
    bonds: float = 0.0  # sum of bond orders
    partners: list[tuple[int, int]] = field(default_factory=list)  # atoms from 0 and the bonds' types as written


def split(lines: Lines) -> Iterator[Chunk]:
    """The records between lines of $$$$, and mol files that follow one another without; empty ones do not count."""
    record: list[str] = []
    first, ended = 1, False
    for line in lines:
        if line.startswith("$$$$"):
            if any(part.strip() for part in record):
                yield Chunk(record, first)
            record, first, ended = [], lines.number + 1, False
            continue
        record.append(line)
        if ended and _COUNTS.match(line):
            rest = record[-4:]
            yield Chunk(record[:-4], first)
            record, first, ended = rest, lines.number - len(rest) + 1, False
        ended |= re.match(r"M\s+END", line) is not None
    if any(part.strip() for part in record):
        yield Chunk(record, first)


def parse(chunk: Chunk) -> Record:
    """One record.

    Raises:
        InputError: counts, atoms or properties that cannot be read, query atoms, no atoms.
    """
    head = next((k for k, line in enumerate(chunk.lines) if _COUNTS.match(line)), 3)
    if len(chunk.lines) <= head:
        raise InputError(f"{chunk.where(0)}: expected a mol file with a line of counts; got {len(chunk.lines)} lines")
    if "V3000" in chunk.lines[head]:
        atoms, end = _v3000(chunk, head)
    else:
        atoms, end = _v2000(chunk, head)
    found = [_element(atom, k) for k, atom in enumerate(atoms)]
    record = Record(make_atoms(found, [atom.position for atom in atoms]))
    bonds = [[k, j, order] for k, atom in enumerate(atoms) for j, order in atom.partners]
    if bonds:
        record.atoms.info["bonds"] = bonds
    record.name = title(chunk.lines[head - 3]) if head >= 3 else ""
    _state(record, atoms)
    _remark(record, atoms, chunk.lines[head - 2] if head >= 2 else "")
    _data_items(record, chunk.lines[end:])
    return record


def _v2000(chunk: Chunk, head: int) -> tuple[list[_Atom], int]:
    """Atoms of a V2000 table, and the line after its end."""
    n_atoms, n_bonds = _counts(chunk, head)
    lines = chunk.lines[head + 1 :]
    if len(lines) < n_atoms + n_bonds:
        raise InputError(
            f"{chunk.where(head)}: expected {n_atoms} atoms and {n_bonds} bonds; the record has {len(lines)} lines more"
        )
    atoms = [_atom_v2000(lines[k], chunk.where(head + 1 + k)) for k in range(n_atoms)]
    for k in range(n_atoms, n_atoms + n_bonds):
        where = chunk.where(head + 1 + k)
        fields = [lines[k][i : i + 3] for i in (0, 3, 6)]
        fields = fields if all(f.strip().isdigit() for f in fields) else lines[k].split()[:3]
        if len(fields) < 3:
            raise InputError(f"{where}: expected a bond; got {shown(lines[k])}")
        one, other, order = (whole(f, "a bond's field", where) for f in fields)
        _add_bond(atoms, one, other, order, where)
    start = n_atoms + n_bonds
    end = next((k for k in range(start, len(lines)) if re.match(r"M\s+END", lines[k])), None)
    if end is None:
        raise InputError(f"{chunk.where(len(chunk.lines) - 1)}: the record ends before M  END; its charges may be lost")
    _properties(chunk, head + 1, range(start, end), atoms)
    return atoms, head + 1 + end + 1


def _counts(chunk: Chunk, head: int) -> tuple[int, int]:
    line = chunk.lines[head]
    where = chunk.where(head)
    fields = [line[:3], line[3:6]]
    if not all(re.fullmatch(r" *\d+", f) for f in fields):
        fields = line.split()[:2]
    if len(fields) < 2:
        raise InputError(f"{where}: expected the numbers of atoms and bonds; got {shown(line)}")
    n_atoms, n_bonds = (whole(f, "a count", where) for f in fields)
    if n_atoms < 1 or n_bonds < 0:
        raise InputError(f"{where}: expected at least one atom; got {shown(line)}")
    return n_atoms, n_bonds


def _atom_v2000(line: str, where: str) -> _Atom:
    """A line of the atom block, by columns; by blanks where the columns do not fit."""
    columns = [line[0:10], line[10:20], line[20:30]]
    if all("." in c for c in columns) and line[31:34].strip() and line[30:31] in ("", " "):
        symbol, rest = line[31:34].strip(), [line[34:36], line[36:39]]
    else:
        fields = line.split()
        if len(fields) < 4:
            raise InputError(f"{where}: expected three coordinates and a symbol; got {shown(line)}")
        columns, symbol, rest = fields[:3], fields[3], fields[4:6]
    atom = _Atom(symbol, [number(c, where) for c in columns])
    difference, code = (whole(r, "this column", where) if r.strip() else 0 for r in [*rest, "", ""][:2])
    if difference:
        from ase.data import atomic_masses

        atom.mass_number = round(float(atomic_masses[kind(symbol).number])) + difference
    if code == 4:
        atom.radical = 2
    elif code:
        if code not in _OLD_CHARGES:
            raise InputError(f"{where}: the charge's column must be 0 to 7; got {code}")
        atom.charge = _OLD_CHARGES[code]
    return atom


def _properties(chunk: Chunk, start: int, rows: range, atoms: list[_Atom]) -> None:
    """M CHG, M RAD and M ISO; the first of CHG and RAD clears what the atom block says of both."""
    cleared = False
    seen: dict[tuple[str, int], int] = {}
    for k in rows:
        line, where = chunk.lines[start + k], chunk.where(start + k)
        match = re.match(r"M\s+(CHG|RAD|ISO)\b(.*)", line)
        if match is None:
            if re.search(r"\b(CHG|RAD|ZCH)\b", line):
                raise InputError(f"{where}: expected M  CHG or M  RAD at the beginning of the line; got {shown(line)}")
            continue
        if match[1] != "ISO" and not cleared:
            cleared = True
            for atom in atoms:
                atom.charge = atom.radical = 0
        numbers = [whole(t, f"M {match[1]}", where) for t in match[2].split()]
        if not numbers or len(numbers) != 1 + 2 * numbers[0]:
            raise InputError(f"{where}: expected pairs of atom and value after their number; got {shown(line)}")
        for index, value in zip(numbers[1 : 1 + 2 * numbers[0] : 2], numbers[2 : 2 + 2 * numbers[0] : 2], strict=True):
            if not 1 <= index <= len(atoms):
                raise InputError(f"{where}: there is no atom {index}; the record has {len(atoms)}")
            if seen.setdefault((match[1], index), value) != value:
                raise InputError(f"{where}: M {match[1]} of atom {index} is said twice, with different values")
            _set(atoms[index - 1], match[1], value, where)


def _set(atom: _Atom, what: str, value: int, where: str) -> None:
    if what == "CHG":
        if abs(value) > 15:
            raise InputError(f"{where}: a formal charge must lie in −15..15; got {value}")
        atom.charge = value
    elif what == "RAD":
        if value not in _UNPAIRED:
            raise InputError(f"{where}: RAD must be 0 to 3; got {value}")
        atom.radical = value
    else:
        atom.mass_number = value


def _v3000(chunk: Chunk, head: int) -> tuple[list[_Atom], int]:
    """Atoms of a V3000 table, and the line after its end."""
    atoms: list[_Atom] = []
    index: dict[int, int] = {}
    block, expected, end = "", None, None
    for k, text in _joined(chunk.lines, head + 1):
        where = chunk.where(k)
        if re.match(r"M\s+END", text):
            end = k + 1
            break
        match = re.match(r"M\s+V30\s+(.*)", text)
        if match is None:
            continue
        words = match[1].split()
        if words[:1] == ["BEGIN"]:
            block = " ".join(words[1:2])
        elif words[:1] == ["END"]:
            block = ""
        elif words[:1] == ["COUNTS"]:
            expected = whole(words[1], "the number of atoms", where) if len(words) > 1 else None
        elif block == "ATOM" and words:
            index[whole(words[0], "an atom's index", where)] = len(atoms)
            atoms.append(_atom_v3000(words, where))
        elif block == "BOND" and len(words) >= 4:
            order, one, other = (whole(w, "a bond's field", where) for w in words[1:4])
            _add_bond(atoms, index.get(one, -1) + 1, index.get(other, -1) + 1, order, where)
    if expected != len(atoms) or not atoms:
        raise InputError(f"{chunk.where(head)}: expected {expected} atoms in the V3000 table; got {len(atoms)}")
    if end is None:
        raise InputError(f"{chunk.where(len(chunk.lines) - 1)}: the record ends before M  END; its charges may be lost")
    return atoms, end


def _joined(lines: Sequence[str], start: int) -> Iterator[tuple[int, str]]:
    """V3000 lines with those that end in - joined with the next."""
    begun = ""
    for k in range(start, len(lines)):
        match = re.match(r"M\s+V30\s", lines[k])
        text = begun + lines[k][match.end() :] if match and begun else lines[k]
        if match and text.rstrip().endswith("-") and not re.search(r"=\s*-$", text.rstrip()):
            begun = text.rstrip()[:-1]
        else:
            begun = ""
            yield k, text


def _atom_v3000(words: Sequence[str], where: str) -> _Atom:
    if len(words) < 6:
        raise InputError(f"{where}: expected index, symbol, three coordinates and a mapping; got {' '.join(words)!r}")
    atom = _Atom(words[1], [number(w, where) for w in words[2:5]])
    for word in words[6:]:
        key, _, value = word.partition("=")
        key = key.upper()
        if key in ("CHG", "RAD"):
            _set(atom, key, whole(value, key, where), where)
        elif key == "MASS":
            atom.mass_number = whole(value, key, where)
    return atom


def _add_bond(atoms: list[_Atom], one: int, other: int, order: int, where: str) -> None:
    if not (1 <= one <= len(atoms) and 1 <= other <= len(atoms)):
        raise InputError(f"{where}: a bond's atoms must lie in 1..{len(atoms)}; got {one} and {other}")
    for k in (one, other):
        atoms[k - 1].bonds += {1: 1.0, 2: 2.0, 3: 3.0, 4: 1.5}.get(order, 1.0)
    atoms[one - 1].partners.append((other - 1, order))


def _element(atom: _Atom, k: int) -> Kind:
    if atom.symbol in _QUERY or re.fullmatch(r"R[#\d]+", atom.symbol):
        raise InputError(f"atom {k}: {atom.symbol!r} is a query or dummy atom; expected elements only")
    try:
        found = kind(atom.symbol)
    except InputError as error:
        raise InputError(f"atom {k}: {error}") from None
    return Kind(found.number, nuclide(found.number, atom.mass_number)) if atom.mass_number > 0 else found


def _state(record: Record, atoms: Sequence[_Atom]) -> None:
    """Total charge, and the multiplicity where some atom is a radical."""
    record.state("charge", sum(atom.charge for atom in atoms), "the sum of the formal charges")
    radicals = [atom for atom in atoms if atom.radical]
    if radicals:
        unpaired = sum(_UNPAIRED[atom.radical] for atom in radicals)
        record.state("multiplicity", 1 + unpaired, "the record's radicals")
        if sum(_UNPAIRED[atom.radical] > 0 for atom in radicals) > 1:
            record.remark(
                "radicals", f"{len(radicals)} radical centres are taken as parallel: multiplicity {1 + unpaired}"
            )


def _remark(record: Record, atoms: Sequence[_Atom], header: str) -> None:
    """What makes a record no geometry: a drawing in two dimensions, hydrogens left out."""
    if header[20:22] == "2D" and all(atom.position[2] == 0 for atom in atoms) and len(atoms) > 3:
        record.remark("2D", "the record says that it is a drawing in two dimensions (2D); its coordinates are used")
    record.remark_hydrogens([None if a.charge or a.radical else a.bonds for a in atoms])


def _data_items(record: Record, lines: Sequence[str]) -> None:
    """``> <name>`` items of an SDF: charge and multiplicity by name, a name where the title is empty."""
    for k, line in enumerate(lines[:-1]):
        match = re.match(r">.*<([^>]+)>", line)
        if match is None:
            continue
        key, value = match[1].strip(), lines[k + 1].strip()
        plain = re.sub(r"[\s_-]", "", key).lower()
        if plain in CHARGE_KEYS:
            record.state("charge", whole(value, f"<{key}>", "the data items"), f"the data item <{key}>")
        elif plain in MULTIPLICITY_KEYS:
            record.state("multiplicity", whole(value, f"<{key}>", "the data items"), f"the data item <{key}>")
        elif plain in UNPAIRED_KEYS:
            record.state("multiplicity", 1 + whole(value, f"<{key}>", "the data items"), f"the data item <{key}>")
        elif plain in SPIN_KEYS:
            record.atoms.info[key] = value  # what it means depends on the electrons
        elif plain in ("name", "title", "id") and not record.name:
            record.name = title(value)
