"""Elements from what files call them: symbols, numbers, labels, isotopes; ghosts and dummies refused by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from nddo_ml.errors import InputError

# u, of the nuclides that are labelled in practice (Atomic Mass Evaluation 2020)
NUCLIDES = {
    (1, 1): 1.00782503, (1, 2): 2.01410178, (1, 3): 3.01604928, (3, 6): 6.01512289, (5, 10): 10.01293695,
    (6, 12): 12.0, (6, 13): 13.00335484, (6, 14): 14.00324199, (7, 14): 14.00307400, (7, 15): 15.00010890,
    (8, 16): 15.99491462, (8, 17): 16.99913176, (8, 18): 17.99915961, (9, 18): 18.00093733,
    (15, 32): 31.97390764, (16, 34): 33.96786701, (16, 35): 34.96903231, (17, 35): 34.96885270,
    (17, 37): 36.96590260, (35, 79): 78.9183376, (35, 81): 80.9162906, (53, 125): 124.9046294,
}  # fmt: skip
_DUMMIES = {
    "X",
    "XX",
    "DU",
    "DUM",
    "DUMMY",
    "Q",
    "LP",
    "A",
    "R",
    "*",
    "EP",
    "M",
    "VS",
    "MW",
    "ANY",
    "HAL",
    "HET",
    "HEV",
}
_GHOSTS = re.compile(r"(gh|bq|@).*|.*(:|@|[-_.](bq|gh|ghost)|\(ghost\)|\(gh\))", re.IGNORECASE)
# Two capitals that are an element's symbol, or a carbon, hydrogen, … with a name (CA, HG; OS and NA of force fields)
_AMBIGUOUS = {
    "CA", "CD", "CE", "CF", "CM", "CN", "CO", "CR", "CS", "HE", "HF", "HG", "HO", "HS", "NA", "NB", "ND", "NE", "NH",
    "NO", "NP", "OG", "OS", "PA", "PB", "PD", "PO", "PR", "PT", "SB", "SC", "SG", "SM", "SN", "SR",
}  # fmt: skip
_CERTAIN = {"CL", "BR", "SI", "LI", "AL", "MG", "TI", "MN", "FE", "NI", "CU", "ZN", "GA", "GE", "SE", "KR", "RB", "ZR"}
_LABEL = re.compile(r"([A-Za-z]+)([^A-Za-z].*)?", re.ASCII)
_NUCLIDE = re.compile(r"(\d{1,3})([A-Z][a-z]?)", re.ASCII)


@dataclass(frozen=True)
class Kind:
    """An element, and the mass in u where it is a nuclide."""

    number: int
    mass: float | None = None


def kinds(labels: Sequence[str], what: str = "atom") -> list[Kind]:
    """Elements of the labels of one structure; ``CA`` is read by the company that it keeps.

    Raises:
        InputError: a ghost, a dummy, no element, or a label that may be two.
    """
    names = any(_is_name(label) for label in set(labels))
    known: dict[str, Kind] = {}
    for k, label in enumerate(labels):
        if label not in known:
            try:
                known[label] = kind(label, names, any(l.upper() in _CERTAIN and l.isupper() for l in set(labels)))
            except InputError as error:
                raise InputError(f"{what} {k}: {error}") from None
    return [known[label] for label in labels]


def kind(label: str, names: bool = False, capitals: bool = False) -> Kind:
    """The element of one label.

    Args:
        label: a symbol, an atomic number, a nuclide such as D or 13C, or a name such as C1, HB2, OXT.
        names: whether other labels are names such as HB2, which no symbol begins.
        capitals: whether other labels are symbols of two capitals.

    Raises:
        InputError: as :func:`kinds`.
    """
    text = label.strip()
    if re.fullmatch(r"[+-]?\d{1,9}(\.0*)?", text, re.ASCII):
        return _of_number(int(float(text)), label)
    if _GHOSTS.fullmatch(text):
        raise InputError(f"{label!r} is a ghost atom, basis functions without a nucleus; expected atoms only")
    if text in ("D", "T"):
        return Kind(1, NUCLIDES[1, 2 if text == "D" else 3])
    if (said := _NUCLIDE.fullmatch(text)) and (atomic_numbers.get(said[2], 0), int(said[1])) in NUCLIDES:
        return Kind(atomic_numbers[said[2]], NUCLIDES[atomic_numbers[said[2]], int(said[1])])
    match = _LABEL.fullmatch(text)
    letters, rest = (match[1], match[2] or "") if match else ("", "")
    if letters.upper() in _DUMMIES or text in _DUMMIES:
        raise InputError(f"{label!r} is a dummy atom; expected atoms only")
    if letters in ("D", "T") and rest.isdigit():
        return Kind(1, NUCLIDES[1, 2 if letters == "D" else 3])
    symbol = letters.capitalize()
    if len(letters) == 2 and letters.isupper() and letters in _AMBIGUOUS:
        if names:
            return Kind(atomic_numbers[letters[0]])
        if not capitals:
            raise InputError(
                f"{label!r} may be the element {symbol} or an atom named {letters} of the element {letters[0]}; "
                f"expected {symbol} or {letters[0]}"
            )
    if symbol in atomic_numbers and symbol != "X":
        return Kind(atomic_numbers[symbol])
    first = letters[:2].capitalize()
    if len(letters) > 2 and first in atomic_numbers and letters[:2].upper() in _CERTAIN:
        return Kind(atomic_numbers[first])
    if letters[:1].upper() in ("H", "B", "C", "N", "O", "F", "P", "S", "I", "K") and letters.isupper() | bool(rest):
        return Kind(atomic_numbers[letters[0].upper()])
    raise InputError(f"there is no element {label!r}")


def nuclide(number: int, mass_number: int) -> float:
    """Mass of a nuclide, u; that of nuclides that are not in the table is their mass number."""
    return NUCLIDES.get((number, mass_number), float(mass_number))


def make_atoms(found: Sequence[Kind], positions: Sequence[Sequence[float]] | np.ndarray) -> Atoms:
    """ASE's structure of elements and positions in Å, with the masses of nuclides."""
    atoms = Atoms([k.number for k in found], np.asarray(positions, dtype=float).reshape(-1, 3))
    set_masses(atoms, found)
    return atoms


def set_masses(atoms: Atoms, found: Sequence[Kind]) -> None:
    """Give the nuclides among the atoms their masses."""
    if any(k.mass is not None for k in found):
        masses = atoms.get_masses()
        atoms.set_masses([m if k.mass is None else k.mass for k, m in zip(found, masses, strict=True)])


def _is_name(label: str) -> bool:
    """Whether a label is an atom's name for certain, because its letters are no symbol."""
    match = _LABEL.fullmatch(label)
    return match is not None and match[1] not in ("D", "T") and match[1].capitalize() not in atomic_numbers


def _of_number(number: int, label: str) -> Kind:
    if number == 0:
        raise InputError(f"atomic number {label} is a dummy atom; expected atoms only")
    if not 0 < number < len(chemical_symbols):
        raise InputError(f"atomic number must lie in 1..118; got {label}")
    return Kind(number)
