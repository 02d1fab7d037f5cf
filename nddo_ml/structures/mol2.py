"""Tripos mol2: all molecules, charges of the atoms or by their types, elements by Sybyl type, else by name.

Read here: RDKit knows the Corina dialect only and refuses what does not fit its valences, ASE reads no mol2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ase.data import atomic_numbers

from nddo_ml.errors import InputError
from nddo_ml.structures.charge_spin import round_whole, signed
from nddo_ml.structures.labels import Kind, kind, make_atoms
from nddo_ml.structures.record import Chunk, Lines, Record, is_number, number, shown, title, whole

_MOLECULE = "@<TRIPOS>MOLECULE"
_TWO_LETTERS = {"Cl", "Br", "Na", "Li", "Si"}  # elements of force fields whose types are cl, br, …
# Atoms without a bond, by Sybyl type: ions of salts
_IONS = {"Li": 1, "Na": 1, "K": 1, "Mg": 2, "Ca": 2, "Zn": 2, "F": -1, "Cl": -1, "Br": -1, "I": -1}
_NO_ATOMS = {"LP", "Du", "Du.C", "Any", "Hal", "Het", "Hev"}


@dataclass
class _Atom:
    index: str
    name: str
    type: str
    position: list[float]
    charge: str


def looks_like(head: Sequence[str]) -> bool:
    """A record type indicator of Tripos."""
    return any(line.startswith("@<TRIPOS>") for line in head)


def split(lines: Lines) -> Iterator[Chunk]:
    """The molecules of a file."""
    body: list[str] = []
    first = 1
    for line in lines:
        if line.startswith(_MOLECULE):
            if body:
                yield Chunk(body, first)
            body, first = [line], lines.number
        elif body:
            body.append(line)
    if not body:
        raise InputError(f"expected {_MOLECULE}; the file has none")
    yield Chunk(body, first)


def parse(chunk: Chunk) -> Record:
    """One molecule.

    Raises:
        InputError: counts or atoms that cannot be read, charges whose sum is no whole number.
    """
    sections = _sections(chunk)
    head = [text for _, text in sections.get("MOLECULE", [])]
    counts = head[1].split() if len(head) > 1 else []
    atoms = [_atom(text, chunk.where(k)) for k, text in sections.get("ATOM", []) if text.strip()]
    if not atoms or not counts or whole(counts[0], "the number of atoms", chunk.where(2)) != len(atoms):
        raise InputError(f"{chunk.where(2)}: expected {shown(counts[0] if counts else '')} atoms; got {len(atoms)}")
    found = [_element(atom, k) for k, atom in enumerate(atoms)]
    record = Record(make_atoms(found, [atom.position for atom in atoms]), title(head[0]))
    if record.name == "*****":
        record.name = ""
    bonds = [text.split() for _, text in sections.get("BOND", []) if text.strip()]
    record.remark_hydrogens(_carbon_orders(atoms, bonds))
    _state(record, atoms, bonds, head[3].strip() if len(head) > 3 else "", sections.get("UNITY_ATOM_ATTR", []))
    return record


def _sections(chunk: Chunk) -> dict[str, list[tuple[int, str]]]:
    """Lines by record type, with their places; comments do not count, \\ joins lines."""
    sections: dict[str, list[tuple[int, str]]] = {}
    current: list[tuple[int, str]] = []
    joined = ""
    for k, line in enumerate(chunk.lines):
        if line.startswith("@<TRIPOS>"):
            current = sections.setdefault(line[9:].strip(), [])
        elif not line.startswith("#"):
            if line.rstrip().endswith("\\"):
                joined += line.rstrip()[:-1] + " "
                continue
            current.append((k, joined + line))
            joined = ""
    return sections


def _atom(line: str, where: str) -> _Atom:
    words = line.split()
    if len(words) < 6:
        raise InputError(f"{where}: expected number, name, three coordinates and a type; got {shown(line)}")
    charge = words[8] if len(words) > 8 else ""
    if charge and not is_number(charge):
        raise InputError(f"{where}: expected a charge in the ninth column; got {shown(charge)}")
    return _Atom(words[0], words[1], words[5], [number(w, where) for w in words[2:5]], charge)


def _element(atom: _Atom, k: int) -> Kind:
    """By the type before its dot; types of force fields (c3, hc, ca) are no elements, and the name tells."""
    if atom.type in _NO_ATOMS:
        raise InputError(f"atom {k}: {atom.type!r} is a lone pair, dummy or query; expected atoms only")
    symbol = atom.type.split(".")[0]
    if symbol in atomic_numbers and symbol != "X" and (len(symbol) == 1 or not symbol.isupper()):
        return Kind(atomic_numbers[symbol])
    if symbol in ("D", "T") or (symbol.isupper() and "." in atom.type):
        return kind(symbol.capitalize())
    letters = re.sub(r"[^A-Za-z].*", "", atom.name)
    two, one = letters[:2].capitalize(), letters[:1].upper()
    if two in _TWO_LETTERS and atom.type[:2].lower() == two.lower():
        return Kind(atomic_numbers[two])
    if one in atomic_numbers and one != "X" and one.lower() == atom.type[:1].lower():
        return Kind(atomic_numbers[one])
    raise InputError(f"atom {k}: the type {atom.type!r} with the name {atom.name!r} tells no element")


def _state(
    record: Record, atoms: Sequence[_Atom], bonds: Sequence[Sequence[str]], kind_of_charges: str, attributes: Sequence
) -> None:
    """Formal charges where the file has them, else the sum of the atomic ones, else what types say."""
    formal = _formal(attributes)
    values = [float(a.charge.replace("D", "E")) for a in atoms if a.charge]
    neutral = bool(values) and not any(values) and kind_of_charges != "NO_CHARGES"  # said of every atom
    by_types = _by_types(atoms, bonds, ions=not neutral)
    if formal is not None:
        record.state("charge", formal, "the formal charges of UNITY_ATOM_ATTR")
    if values and any(values) and kind_of_charges != "NO_CHARGES":
        total = round_whole(sum(values))
        if total is None and formal is None:
            raise InputError(f"the charges of the atoms sum to {sum(values):g}, no whole number; give the charge")
        if formal is None:
            record.state("charge", total, "the sum of the atomic charges")
            if by_types not in (0, total):
                record.remark("types", f"the types of the atoms would give the charge {signed(by_types)}: not used")
    elif by_types and formal is None:
        record.state("charge", by_types, "the types of the atoms")
        record.remark(
            "types", f"the file has no charges; {signed(by_types)} follows from the types (N.4, O.co2, C.cat, Na, Cl)"
        )


def _carbon_orders(atoms: Sequence[_Atom], bonds: Sequence[Sequence[str]]) -> list[float | None]:
    """Sums of bond orders of carbon atoms; None of others, whose types leave charges open."""
    orders = dict.fromkeys((atom.index for atom in atoms), 0.0)
    for bond in bonds:
        for index in bond[1:3]:
            if index in orders and len(bond) > 3:
                orders[index] += {"2": 2.0, "3": 3.0, "ar": 1.5}.get(bond[3], 1.0)
    plain = {"C.1", "C.2", "C.3", "C.ar"}
    return [orders[atom.index] if atom.type in plain else None for atom in atoms]


def _formal(attributes: Sequence[tuple[int, str]]) -> int | None:
    """The sum of the formal charges of UNITY_ATOM_ATTR."""
    found = [re.fullmatch(r"\s*charge\s+([+-]?\d{1,3})\s*", text, re.IGNORECASE) for _, text in attributes]
    charges = [int(match[1]) for match in found if match is not None]
    return sum(charges) if charges else None


def _by_types(atoms: Sequence[_Atom], bonds: Sequence[Sequence[str]], ions: bool) -> int:
    """The charge that Sybyl types imply: ammonium N.4, guanidinium C.cat, −1 for each group of O.co2 less one, and
    with ``ions`` atoms that nothing is bonded to, where bonds are said."""
    total = sum(atom.type in ("N.4", "C.cat") for atom in atoms)
    bonded = {index for bond in bonds for index in bond[1:3]}
    if ions and (bonded or all(atom.type in _IONS for atom in atoms)):
        total += sum(_IONS.get(atom.type, 0) for atom in atoms if atom.index not in bonded)
    types = {atom.index: atom.type for atom in atoms}
    oxygens: dict[str, int] = {}
    for bond in bonds:
        for one, other in (bond[1:3], bond[2:0:-1]) if len(bond) >= 3 else ():
            if types.get(one) == "O.co2":
                oxygens[other] = oxygens.get(other, 0) + 1
    return total - sum(n - 1 for n in oxygens.values())
