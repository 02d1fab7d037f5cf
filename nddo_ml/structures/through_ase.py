"""Formats that ASE reads, with the charge and spin that ASE leaves in the file named as not used."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.data import chemical_symbols

from nddo_ml.errors import InputError
from nddo_ml.structures.record import Record, shown, whole

if TYPE_CHECKING:
    from ase import Atoms

_SAYS = re.compile(
    r"^.*?((?<![a-z])(total|net|tot|mol|molecular)?[ _-]?charge(?!s|[a-z])\D{0,30}[+-]?\d|multiplicity\D{0,30}\d|"
    r"\bnopen\b|\buhf\b|initial_(charge|moment)|formalcharge).*$",
    re.IGNORECASE | re.MULTILINE,
)
# Where formats say charge, multiplicity and unpaired electrons, of those that ASE reads without
_STATED = {
    "gaussian-out": (r"Charge\s*=\s*([+-]?\d+)\s+Multiplicity", r"Multiplicity\s*=\s*(\d+)"),
    "orca-output": (r"Total Charge\s+Charge\s+\.+\s+([+-]?\d+)", r"Multiplicity\s+Mult\s+\.+\s+(\d+)"),
    "turbomole": (r"(?:\$eht\s.*charge\s*=|\$chrg)\s*([+-]?\d+)", None, r"(?:\$eht\s.*unpaired\s*=|\$spin)\s*(\d+)"),
    "nwchem-out": (r"^\s*Charge\s*:\s*([+-]?\d+)", r"Spin multiplicity\s*:\s*(\d+)"),
}
_SUFFIXES = {".log": None, ".out": None}
_PROGRAMS = {"py", "html", "pov", "x3d", "eps", "png", "gif", "mp4", "gpw", "mysql", "postgresql"}  # no structures
# Formats that are read elsewhere in this package, charges included; what is not read there is damaged
_OWN = {"xyz", "extxyz", "sdf", "mol", "proteindatabank", "gaussian-in", "gamess-us-in", "nwchem-in"}
_KEEPS = {"json", "db", "traj", "extxyz", "bundletrajectory"}  # formats of ASE itself: arrays and info come along
# A type symbol such as O2- in a row of a CIF
_ION = re.compile(r"^\s*(?:\S+\s+)?([A-Z][a-z]?(?:\d[+-]|[+-]\d?))\s+\S+\s", re.MULTILINE)
_MAX_ATOMS = 10_000_000
# Counts that a reader trusts before it reads on, by format: the line, and which of its numbers
_COUNTS = {"gen": (0, slice(0, 1)), "cube": (2, slice(0, 1)), "vasp": (6, slice(None)), "vasp5": (5, slice(None))}


def read(data: bytes, text: str | None, name: str) -> Iterator[Record]:
    """All structures of a file in memory.

    Args:
        data: the file's bytes.
        text: its text, None where it is binary.
        name: the file's name, which ASE guesses the format from.

    Raises:
        InputError: a format that ASE does not know, or whatever its reader stops at.
    """
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    try:
        fmt = filetype(name, read=True) if Path(name).exists() else filetype(io.BytesIO(data), read=True)
    except UnknownFileTypeError:
        raise InputError("expected a structure in a format that is known; this one is not") from None
    except Exception as error:
        raise InputError(f"expected a structure in a format that is known; {reason(error)}") from None
    fmt = _SUFFIXES.get(Path(name).suffix.lower()) or fmt
    if fmt in _OWN:
        raise InputError("expected text; the file holds zeros or is damaged at its beginning")
    if fmt in _PROGRAMS or fmt not in ioformats:
        raise InputError("expected a structure in a format that is known; this one is not")
    if text is not None:
        _check_counts(fmt, text)
        _check_flavour(fmt, text)
    if fmt == "turbomole" and (unit := re.search(r"^[ \t]*\$coord[ \t]+(\w.*)", text or "", re.MULTILINE)):
        raise InputError(f"expected $coord in bohr; got {shown(unit[1])}")
    said = _SAYS.search(text) if text is not None and fmt not in _KEEPS else None
    ions = sorted(set(_ION.findall(text or ""))) if fmt == "cif" else []
    for atoms in _iterate(fmt, data, text, name):
        _check_occupancy(atoms)
        record = Record(atoms)
        if ions:
            record.remark("charge", f"the charges of the elements ({', '.join(ions[:3])}) are not used")
        stated = _state(record, fmt, text or "")
        if said is not None and not stated and not atoms.has("initial_charges") and not atoms.has("initial_magmoms"):
            record.remark("charge", f"read through ASE ({fmt}), which drops {shown(said[0].strip(), 60)}: not used")
        if fmt == "gromacs" and text is not None and text.split("\n", 2)[1].split()[:1] != [str(len(atoms))]:
            raise InputError(f"line 2: expected the number of atoms, and as many lines; {len(atoms)} were read")
        yield record


def _iterate(fmt: str, data: bytes, text: str | None, name: str) -> Iterator[Atoms]:
    from ase.io import iread
    from ase.io.formats import ioformats

    described = ioformats.get(fmt)
    on_disk = Path(name).exists() and Path(name).suffix.lower() not in (".gz", ".xz", ".bz2")
    if on_disk and (text is None or described is None or not described.acceptsfd):
        source: Any = name
    else:
        source = io.BytesIO(data) if described is not None and described.isbinary else io.StringIO(text or "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from _rows(source, fmt) if fmt in ("json", "db") else iread(source, ":", format=fmt)
    except InputError:
        raise
    except Exception as error:  # ASE's readers raise whatever their parsing runs into
        raise InputError(f"expected a structure in a format that ASE reads ({fmt}); {reason(error)}") from None


def _state(record: Record, fmt: str, text: str) -> bool:
    """State what the format says of charge and multiplicity in a place of its own; whether it does."""
    patterns = _STATED.get(fmt, ())
    found = [set(re.findall(p, text, re.IGNORECASE | re.MULTILINE)) if p else set() for p in patterns]
    for quantity, values in zip(("charge", "multiplicity", "unpaired electrons"), found, strict=False):
        for value in sorted(values):
            number = whole(value, f"the {quantity}", "the file")
            if quantity == "unpaired electrons":
                record.state("multiplicity", 1 + number, "the file's unpaired electrons")
            else:
                record.state(quantity, number, f"the file's {quantity}")
    return any(found)


def _rows(source: Any, fmt: str) -> Iterator[Atoms]:
    """The rows of an ASE database, their key-value pairs in ``info``, which ASE's reader of files drops."""
    from ase.db import connect

    with connect(source, type=fmt, serial=True) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(key_value_pairs(row))
            yield atoms


def key_value_pairs(row: Any) -> dict[str, Any]:
    """What a row of an ASE database was written with; ASE shows the sum of the initial charges as its ``charge``."""
    return {key: vars(row)[key] for key in row.key_value_pairs}


def _check_occupancy(atoms: Atoms) -> None:
    """Refuse sites of a CIF that an atom, or one of several, takes a part of the time."""
    sites = atoms.info.get("occupancy")
    shares = [share for site in sites.values() for share in site.items()] if isinstance(sites, dict) else []
    partly = [f"{symbol} {float(share):g}" for symbol, share in shares if float(share) < 0.999]
    if partly:
        raise InputError(f"expected whole atoms; {len(partly)} sites are occupied in part ({', '.join(partly[:3])})")


def _check_counts(fmt: str, text: str) -> None:
    """Refuse a header that counts more atoms than the file can hold."""
    lines = text.split("\n", 12)[:12]
    for name, (k, which) in _COUNTS.items():
        if fmt != name.rstrip("5") or k >= len(lines):
            continue
        counts = [int(w[:20]) for w in lines[k].split()[which] if re.fullmatch(r"\d+", w, re.ASCII)]
        if sum(counts) > min(len(text), _MAX_ATOMS):
            raise InputError(f"line {k + 1}: expected the numbers of atoms; got {shown(lines[k].strip())}, too many")


def _check_flavour(fmt: str, text: str) -> None:
    """Refuse by name what ASE takes for a format and cannot read."""
    if fmt in ("cif", "mmcif") and re.search(r"^_atom_site\.", text, re.MULTILINE):
        raise InputError("expected a CIF of a crystal; this is mmCIF (PDBx), which is not read")
    lines = text.split("\n", 6)
    if fmt == "vasp" and len(lines) > 5 and re.fullmatch(r"[\s\d]+", lines[5]):
        unknown = [word for word in lines[0].split() if re.split(r"[_/.]", word)[0] not in chemical_symbols]
        if unknown or not lines[0].split():
            raise InputError(
                f"expected the elements in line 6 or, as VASP 4 has them, in line 1; got {shown(lines[0])}"
            )


def reason(error: Exception) -> str:
    """One short clause on why a reader stopped."""
    if isinstance(error, KeyError) and error.args:
        return f"there is no element {error.args[0]!r}" if isinstance(error.args[0], str) else "a key is missing"
    lines = str(error).strip().splitlines()
    return f"reading stopped at: {lines[0][:160]}" if lines else f"reading stopped ({type(error).__name__})"
