"""Files of labelled structures: extxyz (and what else ASE reads), ASE databases, HDF5."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

DEFAULT_KEYS: Mapping[str, tuple[str, ...]] = {
    "energy": ("energy",),
    "forces": ("forces", "force"),
    "stress": ("stress",),
    "dipole": ("dipole", "dipole_vector"),
    "charges": ("charges", "initial_charges"),
}
_NUMBERS = ("atomic_numbers", "species", "numbers", "z")
_POSITIONS = ("coordinates", "positions", "xyz")


def read_labelled_frames(path: str | Path, keys: Mapping[str, str]) -> Iterator[tuple[Atoms, dict[str, Any]]]:
    """Structures of a file with their labels as they stand there.

    ``keys`` maps a label to its name in the file where it differs from the usual one. The format follows the
    suffix: .h5 and .hdf5 (groups with ``species`` and ``coordinates``, as ANI-1x's), .db (ASE), else extxyz
    or whatever ASE recognises.

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix in (".h5", ".hdf5"):
        yield from _read_hdf5(path, keys)
        return
    for atoms in _read_ase(path):
        yield atoms, labels_of(atoms, keys)


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


def _read_ase(path: Path) -> Iterator[Atoms]:
    from ase.io import iread
    from ase.io.formats import UnknownFileTypeError

    fmt = "extxyz" if path.suffix in (".xyz", ".extxyz") else None
    number = 0
    try:
        if path.suffix == ".db":
            yield from _read_database(path)
            return
        for atoms in iread(path, ":", format=fmt):
            yield atoms
            number += 1
    except InputError:
        raise
    except (
        UnknownFileTypeError,
        OSError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        StopIteration,
    ) as error:
        raise InputError(f"{path}, frame {number}: cannot be read ({type(error).__name__}: {error})") from None


def _read_database(path: Path) -> Iterator[Atoms]:
    from ase.db import connect

    with connect(path) as database:
        for row in database.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            for key, value in row.data.items():
                array = np.asarray(value)
                per_atom = array.ndim > 0 and array.shape[0] == len(atoms) and array.dtype.kind == "f"
                if per_atom and key not in atoms.arrays:
                    atoms.arrays[key] = array
                else:
                    atoms.info[key] = value
            yield atoms


def _read_hdf5(path: Path, keys: Mapping[str, str]) -> Iterator[tuple[Atoms, dict[str, Any]]]:
    """Groups of conformers of a molecule: numbers [N], positions [n, N, 3], labels [n, …], cell [n, 3, 3]."""
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: reading HDF5 needs h5py; install it with pip install h5py") from None
    from ase import Atoms

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: cannot be read as HDF5 ({error})") from None
    with file:
        groups: list[Any] = []
        file.visititems(lambda _, node: groups.append(node) if _is_molecule(node) else None)
        if _is_molecule(file):
            groups.append(file)
        if not groups:
            raise InputError(f"{path}: expected groups with {' or '.join(_NUMBERS)} and {' or '.join(_POSITIONS)}")
        for group in groups:
            numbers = _symbols_or_numbers(_first(group, _NUMBERS))
            positions = _first(group, _POSITIONS)
            if positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3):
                raise InputError(
                    f"{path}, group {group.name}: positions must have shape [n, {len(numbers)}, 3]; "
                    f"got {list(positions.shape)}"
                )
            columns = _hdf5_labels(path, group, keys, len(positions))
            cells = np.asarray(group["cell"]) if "cell" in group else None
            for k, xyz in enumerate(positions):
                atoms = Atoms(numbers, xyz, cell=None if cells is None else cells[k], pbc=cells is not None)
                atoms.info["group"] = group.name.strip("/") or "all"
                yield atoms, {n: c[k] for n, c in columns.items() if not np.isnan(np.asarray(c[k])).all()}


def _is_molecule(node: Any) -> bool:
    return hasattr(node, "keys") and any(n in node for n in _NUMBERS) and any(n in node for n in _POSITIONS)


def _first(group: Any, names: tuple[str, ...]) -> np.ndarray:
    return np.asarray(group[next(n for n in names if n in group)])


def _symbols_or_numbers(array: np.ndarray) -> list[Any]:
    return [x.decode() if isinstance(x, bytes) else x for x in array.tolist()]


def _hdf5_labels(path: Path, group: Any, keys: Mapping[str, str], n: int) -> dict[str, np.ndarray]:
    """A molecule's labels; a conformer whose label is all NaN has no such label (ANI-1x's way)."""
    columns = {}
    for label, usual in DEFAULT_KEYS.items():
        names = (keys[label],) if label in keys else (*usual, f"{usual[0]}s")
        name = next((m for m in names if m in group), None)
        if name is not None:
            columns[label] = np.asarray(group[name])
            if len(columns[label]) != n:
                raise InputError(
                    f"{path}, group {group.name}: {name} must have {n} rows, one a conformer; got {len(columns[label])}"
                )
    return columns
