"""HDF5 files of labelled structures: groups of conformers, as ANI-1x has them."""

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
_LARGEST = 1 << 30  # bytes of an array, or
_EXPANSION = 1000  # times the file's size, if that is more; a header that asks for more is damaged


def read_hdf5(path: Path, keys: Mapping[str, str]) -> Iterator[tuple[Atoms, dict[str, Any]]]:
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
            where = f"{path}, group {group.name}"
            numbers = _symbols_or_numbers(_first(group, _NUMBERS, where), where)
            positions = _first(group, _POSITIONS, where)
            if positions.shape[1:] != (len(numbers), 3) or positions.ndim != 3 or positions.dtype.kind not in "fiu":
                raise InputError(
                    f"{where}: positions must be numbers of shape [n, {len(numbers)}, 3]; "
                    f"got {positions.dtype} of shape {list(positions.shape)}"
                )
            columns = _hdf5_labels(where, group, keys, len(positions))
            cells = _array(group, "cell", where) if "cell" in group else None
            if cells is not None and (cells.shape != (len(positions), 3, 3) or cells.dtype.kind not in "fiu"):
                raise InputError(
                    f"{where}: cell must be numbers of shape [{len(positions)}, 3, 3]; "
                    f"got {cells.dtype} of shape {list(cells.shape)}"
                )
            for k, xyz in enumerate(positions):
                atoms = Atoms(numbers, xyz, cell=None if cells is None else cells[k], pbc=cells is not None)
                atoms.info["group"] = group.name.strip("/") or "all"
                yield atoms, {n: c[k] for n, c in columns.items() if not np.isnan(np.asarray(c[k])).all()}


def _is_molecule(node: Any) -> bool:
    return hasattr(node, "keys") and any(n in node for n in _NUMBERS) and any(n in node for n in _POSITIONS)


def _first(group: Any, names: tuple[str, ...], where: str) -> np.ndarray:
    return _array(group, next(n for n in names if n in group), where)


def _array(group: Any, name: str, where: str) -> np.ndarray:
    """An array of a group, if it is one that the file can hold."""
    node = group[name]
    if not hasattr(node, "shape"):
        raise InputError(f"{where}: {name} must be an array; got {type(node).__name__}")
    allowed = max(_LARGEST, _EXPANSION * Path(group.file.filename).stat().st_size)
    if node.shape is None or node.size * max(1, node.dtype.itemsize) > allowed:
        raise InputError(f"{where}: {name} of shape {node.shape} does not fit the size of the file")
    return np.asarray(node)


def _symbols_or_numbers(array: np.ndarray, where: str) -> list[Any]:
    if array.ndim != 1 or array.dtype.kind not in "iuSOU":
        raise InputError(f"{where}: expected a list of elements; got {array.dtype} of shape {list(array.shape)}")
    return [x.decode() if isinstance(x, bytes) else x for x in array.tolist()]


def _hdf5_labels(where: str, group: Any, keys: Mapping[str, str], n: int) -> dict[str, np.ndarray]:
    """A molecule's labels; a conformer whose label is all NaN has no such label (ANI-1x's way)."""
    columns = {}
    for label, usual in DEFAULT_KEYS.items():
        names = (keys[label],) if label in keys else (*usual, f"{usual[0]}s")
        name = next((m for m in names if m in group), None)
        if name is not None:
            array = _array(group, name, where)
            if array.ndim < 1 or len(array) != n or array.dtype.kind not in "fiu":
                raise InputError(
                    f"{where}: {name} must be numbers in {n} rows, one a conformer; "
                    f"got {array.dtype} of shape {list(array.shape)}"
                )
            columns[label] = array
    return columns
