"""Files of labelled structures: all that structures are read from, ASE databases, HDF5, n2p2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.datasets.hdf5 import DEFAULT_KEYS, read_hdf5
from nddo_ml.datasets.n2p2_data import is_n2p2_data, read_n2p2_data
from nddo_ml.errors import InputError
from nddo_ml.structures.read import read_structures
from nddo_ml.structures.structure import Refused
from nddo_ml.structures.through_ase import key_value_pairs

if TYPE_CHECKING:
    from ase import Atoms


def read_labelled_frames(path: str | Path, keys: Mapping[str, str]) -> Iterator[tuple[Atoms, dict[str, Any]]]:
    """Structures of a file with their labels as they stand there.

    ``keys`` maps a label to its name in the file where it differs from the usual one. The format follows the
    suffix: .h5 and .hdf5 (groups with ``species`` and ``coordinates``, as ANI-1x's), .db (ASE), .data (n2p2); all else
    is read as structures are (:func:`~nddo_ml.structures.read.read_structures`).

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    number = 0
    try:
        for structure in _structures(path, keys):
            yield structure
            number += 1
    except InputError:
        raise
    except Exception as error:  # readers raise whatever their parsing runs into
        reason = (str(error).strip().split("\n")[0] or "no reason given")[:200]
        raise InputError(f"{path}, frame {number}: cannot be read ({type(error).__name__}: {reason})") from None


def labels_of(atoms: Atoms, keys: Mapping[str, str]) -> dict[str, Any]:
    """Labels of a structure, from its calculator's results, ``info`` or ``arrays``."""
    results = atoms.calc.results if atoms.calc is not None else {}
    found = {}
    for label, usual in DEFAULT_KEYS.items():
        for name in (keys[label],) if label in keys else usual:
            if name == "initial_charges":
                value = atoms.arrays.get(name)
                value = value if value is not None and np.any(value) else None
            else:
                value = next((s[name] for s in (results, atoms.info, atoms.arrays) if name in s), None)
            if value is not None:
                found[label] = value
                break
    return found


def _structures(path: Path, keys: Mapping[str, str]) -> Iterator[tuple[Atoms, dict[str, Any]]]:
    """Structures and labels by the reader of the file's format."""
    if path.suffix in (".h5", ".hdf5"):
        yield from read_hdf5(path, keys)
    elif is_n2p2_data(path):
        yield from read_n2p2_data(path)
    else:
        for atoms in _frames(path):
            yield atoms, labels_of(atoms, keys)


def _frames(path: Path) -> Iterator[Atoms]:
    if path.suffix == ".db":
        yield from _read_database(path)
        return
    for entry in read_structures([path]):
        if isinstance(entry, Refused):
            raise entry.error
        yield entry.atoms


def _read_database(path: Path) -> Iterator[Atoms]:
    from ase.db import connect

    with connect(path) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(key_value_pairs(row))
            for key, value in row.data.items():
                array = np.asarray(value)
                per_atom = array.ndim > 0 and array.shape[0] == len(atoms) and array.dtype.kind == "f"
                if per_atom and key not in atoms.arrays:
                    atoms.arrays[key] = array
                else:
                    atoms.info[key] = value
            yield atoms
