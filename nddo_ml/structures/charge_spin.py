"""Charge and multiplicity of a structure: option, else info, else file, else initial arrays, else 0 and the lowest.

Keys of ``info`` are compared without regard to case, ``_`` and ``-``:

- charge, total_charge, net_charge, q, …: e;
- multiplicity, spin_multiplicity, mult: 2S + 1;
- uhf, nopen, unpaired: 2S;
- spin: 2S + 1 where the electron count allows it, else 2S; a half-integer is S.

Initial arrays (ASE's ``initial_charges`` and ``initial_magmoms``, per-atom ``charges`` of another calculation) count
by their sums, where these are whole numbers; arrays of zeros say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.structures.record import Statement, shown, whole

if TYPE_CHECKING:
    from ase import Atoms

CHARGE_KEYS = frozenset({
    "charge", "totalcharge", "netcharge", "molecularcharge", "moleculecharge", "molcharge", "formalcharge",
    "systemcharge", "totcharge", "chargetotal", "chrg", "chg", "totalchg", "totchg", "netchg", "molchg",
    "q", "qtot", "totalq", "pubchemtotalcharge",
})  # fmt: skip
MULTIPLICITY_KEYS = frozenset({
    "multiplicity", "spinmultiplicity", "mult", "spinmult", "multip", "totalmultiplicity", "2s+1",
})  # fmt: skip
UNPAIRED_KEYS = frozenset({
    "uhf", "nopen", "unpaired", "unpairedelectrons", "nunpaired", "numunpaired", "numberofunpairedelectrons",
})  # fmt: skip
SPIN_KEYS = frozenset({
    "spin", "totalspin",
})  # fmt: skip
_KNOWN = CHARGE_KEYS | MULTIPLICITY_KEYS | UNPAIRED_KEYS | SPIN_KEYS
_DOUBTFUL = re.compile(r"charge|chrg|chg|spin|multiplic|mult$|uhf|unpaired", re.IGNORECASE)
WHOLE = 0.1  # a sum of per-atom values this near to a whole number is one


@dataclass(frozen=True)
class ChargeAndSpin:
    """What holds for a structure, and what of it was assumed or not used."""

    charge: int
    multiplicity: int
    assumed: bool  # nobody said the multiplicity
    used_keys: tuple[str, ...]  # of info
    remarks: tuple[tuple[str, str], ...]  # kind and sentence


def resolve_charge_and_spin(
    atoms: Atoms, charge: int | None = None, multiplicity: int | None = None, stated: Sequence[Statement] = ()
) -> ChargeAndSpin:
    """Charge and multiplicity of a structure.

    Args:
        atoms: with whatever ``info``, ``initial_charges`` and ``initial_magmoms`` it has.
        charge: e, from an option or argument; it outranks all else.
        multiplicity: 2S + 1, likewise.
        stated: what the file says elsewhere; it ranks beside ``info``.

    Raises:
        InputError: a value that is no whole number, two that disagree, a multiplicity that does not fit the electrons.
    """
    found = _Found(atoms, list(stated))
    periodic = bool(np.any(atoms.pbc))
    nuclear = int(atoms.numbers.sum())
    total, origin = (charge, "as asked for") if charge is not None else found.charge(periodic)
    if not -(10**6) <= total <= nuclear:
        raise InputError(f"charge {signed(total)} ({origin}) leaves {nuclear - total} electrons; expected 0 or more")
    electrons = nuclear - total
    lowest = 1 + electrons % 2
    if multiplicity is not None:
        spin, origin = multiplicity, "as asked for"
    else:
        said = found.multiplicity(electrons, periodic)
        if said is None:
            return ChargeAndSpin(total, lowest, assumed=True, used_keys=found.used, remarks=tuple(found.remarks))
        spin, origin = said
    if spin < 1:
        raise InputError(f"multiplicity must be at least 1; got {spin} ({origin})")
    if not periodic and (spin - lowest) % 2:
        raise InputError(
            f"multiplicity {spin} ({origin}) does not fit {electrons} electrons (charge {signed(total)}); "
            f"expected an {'even' if electrons % 2 else 'odd'} one. Give charge and multiplicity"
        )
    if not periodic and spin - 1 > electrons:
        raise InputError(f"multiplicity {spin} ({origin}) needs {spin - 1} electrons; there are {electrons}")
    return ChargeAndSpin(total, spin, assumed=False, used_keys=found.used, remarks=tuple(found.remarks))


def said_in_info(atoms: Atoms) -> dict[str, str]:
    """The values of ``info`` that stand for charge and spin, as text that can be compared."""
    return {key: repr(atoms.info[key]) for key in _used(atoms)}


def _used(atoms: Atoms) -> tuple[str, ...]:
    return tuple(key for key, plain in _plain_keys(atoms).items() if plain in _KNOWN)


def _plain_keys(atoms: Atoms) -> dict[str, str]:
    return {key: re.sub(r"[\s_-]", "", key).lower() for key in atoms.info if isinstance(key, str)}


class _Found:
    """What a structure says of its charge and spin."""

    def __init__(self, atoms: Atoms, stated: list[Statement]) -> None:
        self.atoms = atoms
        self.stated = stated
        self.remarks: list[tuple[str, str]] = []
        self.keys = _plain_keys(atoms)
        self.used = _used(atoms)
        for key in self.keys.keys() - set(self.used):
            if _DOUBTFUL.search(key) and isinstance(atoms.info[key], str | int | float | np.number):
                self.remarks.append(("key", f"the key {key!r} is not used; charge and multiplicity have these names"))
        for name in atoms.arrays.keys() - {"initial_charges", "initial_magmoms"}:
            if _DOUBTFUL.search(name) or "magmom" in name:
                self.remarks.append(("array", f"the atoms' {name!r} are not used; initial_charges would be"))

    def charge(self, periodic: bool) -> tuple[int, str]:
        """The charge and where it is said."""
        said = [(_whole(self.atoms.info, key), _info(key)) for key in self._named(CHARGE_KEYS)]
        said += [(s.value, s.where) for s in self.stated if s.quantity == "charge"]
        if said:
            return _agreed(said, "charge")
        summed = self._sum("initial_charges", "initial charges", periodic)
        if summed is not None:
            return summed, "the sum of the initial charges"
        value = self._of_results("charges", periodic)
        if value:
            self.remarks.append(("charges", f"the charge {signed(value)} is the sum of the file's atomic charges"))
            return value, "the sum of the atomic charges"
        return 0, "nobody said any"

    def multiplicity(self, electrons: int, periodic: bool) -> tuple[int, str] | None:
        """The multiplicity and where it is said; None where it is not."""
        info = self.atoms.info
        said = [(_whole(info, key), _info(key)) for key in self._named(MULTIPLICITY_KEYS)]
        said += [(s.value, s.where) for s in self.stated if s.quantity == "multiplicity"]
        said += [(1 + _whole(info, key), _info(key)) for key in self._named(UNPAIRED_KEYS)]
        for key in self._named(SPIN_KEYS):
            readings = _readings(info, key, electrons)
            value = next((v for v in readings if all(v == other for other, _ in said)), readings[0])
            if len(readings) > 1 and not said:
                self.remarks.append(("spin", f"{_info(key)} = {info[key]} is taken as multiplicity {value}"))
            said.append((value, _info(key)))
        if said:
            return _agreed(said, "multiplicity")
        summed = self._sum("initial_magmoms", "initial magnetic moments", periodic)
        if summed is not None:
            return 1 + abs(summed), "the sum of the initial magnetic moments"
        unpaired = abs(self._of_results("magmoms", periodic) or self._of_results("magmom", periodic))
        if not unpaired or (unpaired - electrons) % 2:
            return None
        self.remarks.append(("magmoms", f"the multiplicity {1 + unpaired} follows from the file's magnetic moments"))
        return 1 + unpaired, "the sum of the magnetic moments"

    def _named(self, names: frozenset[str]) -> list[str]:
        return [key for key, plain in self.keys.items() if plain in names]

    def _of_results(self, name: str, periodic: bool) -> int:
        """An atomic property of another calculation, summed, or one of all, where it is a whole number; else 0."""
        if periodic or not _is_record(self.atoms.calc):
            return 0
        values = np.asarray(getattr(self.atoms.calc, "results", {}).get(name, 0.0), dtype=float)
        return (round_whole(float(values.sum())) or 0) if values.shape in ((), (len(self.atoms),)) else 0

    def _sum(self, array: str, what: str, periodic: bool) -> int | None:
        """The sum of an array of initial values, which must be whole; None where there is none."""
        values = self.atoms.arrays.get(array)
        if values is None or not np.any(values) or np.ndim(values) != 1:
            return None
        total = round_whole(float(np.sum(np.asarray(values, dtype=float))))
        if total is None and not periodic:
            raise InputError(
                f"the {what} sum to {float(np.sum(values)):g}, no whole number; give charge and multiplicity"
            )
        return total


def signed(charge: int) -> str:
    """A charge for people: −1, 0, +1."""
    return f"{charge:+d}" if charge else "0"


def round_whole(value: float) -> int | None:
    """The whole number that ``value`` is near to; None where it is near to none."""
    if not abs(value) < 1e6 or abs(value - round(value)) > WHOLE:
        return None
    return round(value)


def _readings(info: Mapping[str, Any], key: str, electrons: int) -> list[int]:
    """Multiplicities that ``spin = value`` may mean, the likeliest first."""
    value = _number(info, key)
    if 2 * value != round(2 * value) or value < 0:
        raise InputError(f"{_info(key)} must be a spin; got {shown(info[key])}")
    if value != round(value):
        return [round(2 * value) + 1]
    whole_value = int(value)
    fits = [m for m in (whole_value, whole_value + 1) if m > 0 and (m - 1 - electrons) % 2 == 0]
    twice = 2 * whole_value + 1
    fits += [twice] * ((twice - 1 - electrons) % 2 == 0 and twice not in fits)
    return fits or [whole_value or 1]


def _agreed(said: Sequence[tuple[int, str]], quantity: str) -> tuple[int, str]:
    value, where = said[0]
    for other, place in said[1:]:
        if other != value:
            raise InputError(f"two values of the {quantity}: {value} ({where}) and {other} ({place}); expected one")
    return value, where


def _number(info: Mapping[str, Any], key: str) -> float:
    """A single finite number of ``info``; booleans are none."""
    value = info[key]
    if getattr(value, "size", None) == 1 or getattr(value, "ndim", None) == 0:  # arrays and tensors of one number
        value = value.item()
    if isinstance(value, bool | np.bool_):
        raise InputError(f"{_info(key)} must be a whole number; got {value}, a word without a value or a truth value")
    if isinstance(value, str):
        try:
            return float(whole(value, key, "info"))
        except InputError:
            return _not_whole(key, value)
    if not isinstance(value, int | float | np.integer | np.floating) or not -(10**9) < value < 10**9:
        return _not_whole(key, value)
    return float(value)


def _not_whole(key: str, value: object) -> float:
    raise InputError(f"{_info(key)} must be a whole number; got {shown(value)}")


def _whole(info: Mapping[str, Any], key: str) -> int:
    value = _number(info, key)
    if value != round(value):
        _not_whole(key, info[key])
    return int(value)


def _info(key: str) -> str:
    return f"info[{key!r}]"


def _is_record(calculator: object) -> bool:
    """Whether a calculator only holds another calculation's results."""
    from ase.calculators.singlepoint import SinglePointCalculator

    return isinstance(calculator, SinglePointCalculator)
