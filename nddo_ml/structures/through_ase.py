"""Formats that ASE reads, with the charge and spin that ASE leaves in the file named as not used."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nddo_ml.errors import InputError
from nddo_ml.structures.record import Record, shown

if TYPE_CHECKING:
    from ase import Atoms

_SAYS = re.compile(
    r"^.*?((?<![a-z])(total|net|tot|mol|molecular)?[ _-]?charge(?!s|[a-z])\D{0,30}[+-]?\d|multiplicity\D{0,30}\d|"
    r"\bnopen\b|\buhf\b|initial_(charge|moment)|formalcharge).*$",
    re.IGNORECASE | re.MULTILINE,
)
_KEEPS = {"json", "db", "traj", "extxyz", "bundletrajectory"}  # formats of ASE itself: arrays and info come along
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
    from ase.io.formats import UnknownFileTypeError, filetype

    try:
        fmt = filetype(name, read=True) if Path(name).exists() else filetype(io.BytesIO(data), read=True)
    except UnknownFileTypeError:
        raise InputError("expected a structure in a format that is known; this one is not") from None
    except Exception as error:
        raise InputError(f"expected a structure in a format that is known; {reason(error)}") from None
    if text is not None:
        _check_counts(fmt, text)
    said = _SAYS.search(text) if text is not None and fmt not in _KEEPS else None
    for atoms in _iterate(fmt, data, text, name):
        record = Record(_with_database_keys(atoms))
        if said is not None and not atoms.has("initial_charges") and not atoms.has("initial_magmoms"):
            record.remark("charge", f"read through ASE ({fmt}), which drops {shown(said[0].strip(), 60)}: not used")
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
            yield from iread(source, ":", format=fmt)
    except InputError:
        raise
    except Exception as error:  # ASE's readers raise whatever their parsing runs into
        raise InputError(f"expected a structure in a format that ASE reads ({fmt}); {reason(error)}") from None


def _with_database_keys(atoms: Atoms) -> Atoms:
    """Key-value pairs of an ASE database in ``info``, where they stand for what other files say there."""
    pairs = atoms.info.pop("key_value_pairs", None)
    if isinstance(pairs, dict):
        atoms.info.update({key: value for key, value in pairs.items() if isinstance(key, str)})
    return atoms


def _check_counts(fmt: str, text: str) -> None:
    """Refuse a header that counts more atoms than the file can hold."""
    lines = text.split("\n", 12)[:12]
    for name, (k, which) in _COUNTS.items():
        if fmt != name.rstrip("5") or k >= len(lines):
            continue
        counts = [int(w[:20]) for w in lines[k].split()[which] if re.fullmatch(r"\d+", w, re.ASCII)]
        if sum(counts) > min(len(text), _MAX_ATOMS):
            raise InputError(f"line {k + 1}: expected the numbers of atoms; got {shown(lines[k].strip())}, too many")


def reason(error: Exception) -> str:
    """One short clause on why a reader stopped."""
    if isinstance(error, KeyError) and error.args:
        return f"there is no element {error.args[0]!r}" if isinstance(error.args[0], str) else "a key is missing"
    lines = str(error).strip().splitlines()
    return f"reading stopped at: {lines[0][:160]}" if lines else f"reading stopped ({type(error).__name__})"
