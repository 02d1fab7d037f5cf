"""Structures with labels: read from extxyz, ASE databases and HDF5, checked frame by frame, batched by index.

Any subset of labels per structure; a label that is missing has weight zero, never a NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nddo_ml.datasets.readers import read_labelled_frames
from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, EV_KCAL_MOL, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

# label -> (per atom?, trailing shape, power of energy, power of length) of its unit
LABELS: Mapping[str, tuple[bool, tuple[int, ...], int, int]] = {
    "energy": (False, (), 1, 0),  # eV
    "forces": (True, (3,), 1, -1),  # eV/Å
    "stress": (False, (3, 3), 1, -3),  # eV/Å³, ASE sign
    "dipole": (False, (3,), 0, 1),  # e·Å
    "charges": (True, (), 0, 0),  # e
}
ENERGY_UNITS: Mapping[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "hartree": HARTREE_EV,
    "kcal/mol": 1.0 / EV_KCAL_MOL,
    "kJ/mol": 1.0 / (4.184 * EV_KCAL_MOL),
}
LENGTH_UNITS: Mapping[str, float] = {"angstrom": 1.0, "bohr": BOHR_ANGSTROM, "nm": 10.0}
_LARGEST = 1e9  # of labels in their units and of lengths in Å: beyond it sums lose what they are about
GROUP_KEYS = ("group", "config_type")


@dataclass(frozen=True)
class Source:
    """Where data come from and how they are written there."""

    path: str
    keys: Mapping[str, str] = field(default_factory=dict)  # label -> name in the file, where it differs
    energy_unit: str = "eV"
    length_unit: str = "angstrom"
    weight: float = 1.0  # multiplies every structure's weight
    group: str | None = None  # group of all its structures; None: from the frame
    reference: str = ""  # name of their zero of energy: data of one name share their per-element energies

    def __post_init__(self) -> None:
        for name, value, known in (
            ("energy_unit", self.energy_unit, ENERGY_UNITS),
            ("length_unit", self.length_unit, LENGTH_UNITS),
        ):
            if value not in known:
                raise InputError(f"{self.path}: {name} must be one of {', '.join(known)}; got {value!r}")
        unknown = sorted(set(self.keys) - set(LABELS))
        if unknown:
            raise InputError(f"{self.path}: keys must name labels ({', '.join(LABELS)}); got {unknown[0]!r}")


@dataclass(frozen=True)
class Labels:
    """Labels of a batch; missing values are zero with weight zero."""

    values: dict[str, Tensor]  # per system or per atom, units of LABELS
    weights: dict[str, Tensor]  # [systems], zero where missing

    def has(self, name: str) -> Tensor:
        """Which systems have this label, [systems] bool."""
        return self.weights[name] > 0

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Labels:
        """The same on another device."""
        return Labels(
            {k: v.to(device, dtype) for k, v in self.values.items()},
            {k: v.to(device, dtype) for k, v in self.weights.items()},
        )


@dataclass(frozen=True)
class Dataset:
    """Structures of one training or evaluation, contiguous by structure, with their labels."""

    systems: Systems
    labels: Labels
    groups: tuple[str, ...]  # one a structure
    origins: tuple[str, ...]  # "file, frame n", one a structure
    zeros: tuple[str, ...]  # one a structure: the name of its zero of energy, a set of per-element energies

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def present(self) -> tuple[str, ...]:
        """Labels that at least one structure has."""
        return tuple(name for name in LABELS if bool((self.labels.has(name)).any()))

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that occur."""
        return tuple(sorted(self.systems.numbers.unique().tolist()))

    @property
    def composition(self) -> Tensor:
        """Number of atoms by element, [structures, elements] float64, in the order of :attr:`elements`."""
        counts = torch.zeros(len(self), len(self.elements), dtype=torch.float64)
        lookup = {z: k for k, z in enumerate(self.elements)}
        column = torch.tensor([lookup[z] for z in self.systems.numbers.tolist()])
        counts.index_put_(
            (self.systems.system_idx, column), torch.ones(len(column), dtype=torch.float64), accumulate=True
        )
        return counts

    @property
    def families(self) -> Tensor:
        """[structures] numbers of sets whose energies may be compared: one group, zero, composition and charge."""
        counts = self.composition.to(torch.int64).tolist()
        keys = list(zip(self.groups, self.zeros, map(tuple, counts), self.systems.charge.tolist(), strict=True))
        number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        return torch.tensor([number[key] for key in keys])

    def select(self, index: Tensor | Sequence[int]) -> Dataset:
        """The structures ``index``, in this order."""
        index = torch.as_tensor(index, dtype=torch.int64)
        systems, atoms = self.systems.select_with_atoms(index)
        values = {k: v[atoms] if LABELS[k][0] else v[index] for k, v in self.labels.values.items()}
        weights = {k: v[index] for k, v in self.labels.weights.items()}
        pick = index.tolist()
        return Dataset(
            systems,
            Labels(values, weights),
            tuple(self.groups[k] for k in pick),
            tuple(self.origins[k] for k in pick),
            tuple(self.zeros[k] for k in pick),
        )

    def of_groups(self, groups: Sequence[str], excluded: Sequence[str]) -> Dataset:
        """The structures of some groups (none named: of all) without those of excluded ones.

        Raises:
            InputError: a group that no structure has, or nothing that is left.
        """
        self._check_groups([*groups, *excluded])
        keep = [k for k, g in enumerate(self.groups) if (not groups or g in groups) and g not in excluded]
        if not keep:
            raise InputError(f"no structure is left of {len(self)} when groups are chosen and excluded")
        return self if len(keep) == len(self) else self.select(keep)

    def weighted(self, group_weights: Mapping[str, float]) -> Dataset:
        """The same structures with their weights multiplied by group.

        Raises:
            InputError: a group that no structure has.
        """
        self._check_groups(group_weights)
        factor = torch.tensor([float(group_weights.get(g, 1.0)) for g in self.groups], dtype=torch.float64)
        weights = {k: v * factor for k, v in self.labels.weights.items()}
        return replace(self, labels=Labels(self.labels.values, weights))

    def _check_groups(self, names: Iterable[str]) -> None:
        unknown = sorted(set(names) - set(self.groups))
        if unknown:
            known = ", ".join(sorted(set(self.groups)))
            raise InputError(f"no structure is of group {unknown[0]!r}; there are {known:.200}")


def load_dataset(sources: Iterable[Source | str | Path]) -> Dataset:
    """Read and check all structures of some files, units converted to eV and Å.

    Raises:
        InputError: a file that cannot be read, no structure at all, or a bad frame, by file and number.
    """
    frames: list[tuple[Atoms, dict[str, np.ndarray], Source, str]] = []
    for entry in sources:
        source = entry if isinstance(entry, Source) else Source(str(entry))
        found: set[str] = set()
        for number, (atoms, raw) in enumerate(read_labelled_frames(source.path, source.keys)):
            origin = f"{source.path}, frame {number}"
            frames.append((_scaled(atoms, source), _checked_labels(atoms, raw, source, origin), source, origin))
            found |= raw.keys()
        if absent := sorted(source.keys.keys() - found):
            label = absent[0]
            raise InputError(f"{source.path}: no structure has {source.keys[label]!r}, named as its {label}")
    if not frames:
        raise InputError("expected at least one structure; the files have none")
    return _assemble(frames)


def from_frames(frames: Sequence[Atoms], name: str = "structures") -> Dataset:
    """A data set of ASE structures in memory, labels from their calculator, info and arrays.

    Raises:
        InputError: as :func:`load_dataset`.
    """
    from nddo_ml.datasets.readers import labels_of

    source = Source(name)
    return _assemble(
        [
            (
                a,
                _checked_labels(a, labels_of(a, {}), source, f"{name}, frame {k}"),
                source,
                f"{name}, frame {k}",
            )
            for k, a in enumerate(frames)
        ]
    )


def split(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Training and validation parts, ``fraction`` of each group held out (at least one structure in all).

    Raises:
        InputError: a fraction outside (0, 1), or fewer than two structures.
    """
    if not 0.0 < fraction < 1.0 or len(dataset) < 2:
        raise InputError(
            f"a validation part needs 0 < fraction < 1 and two structures; got {fraction} of {len(dataset)}"
        )
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed)).tolist()
    order.sort(key=lambda k: dataset.groups[k])  # stable: shuffled within each group
    n_held = max(1, round(fraction * len(dataset)))
    held = {order[int((m + 0.5) * len(order) / n_held)] for m in range(n_held)}
    train = [k for k in range(len(dataset)) if k not in held]
    return dataset.select(train), dataset.select(sorted(held))


def _scaled(atoms: Atoms, source: Source) -> Atoms:
    factor = LENGTH_UNITS[source.length_unit]
    if factor == 1.0:
        return atoms
    copy = atoms.copy()
    copy.set_cell(np.asarray(atoms.cell) * factor)
    copy.set_positions(atoms.get_positions() * factor)
    return copy


def _checked_labels(atoms: Atoms, raw: Mapping[str, object], source: Source, origin: str) -> dict[str, np.ndarray]:
    """Labels as arrays in eV and Å, of the right shape and finite."""
    labels = {}
    for name, value in raw.items():
        per_atom, shape, energy_power, length_power = LABELS[name]
        try:
            array = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise InputError(f"{origin}: {name} must be numbers; got {value!r:.60}") from None
        if name == "stress":
            array = _stress_matrix(array, origin)
        expected = (len(atoms), *shape) if per_atom else shape
        if array.shape != expected:
            raise InputError(f"{origin}: {name} must have shape {list(expected)}; got {list(array.shape)}")
        if not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(np.atleast_1d(array)))[0]
            atom = f" of atom {where[0]} ({atoms.symbols[where[0]]})" if per_atom else ""
            raise InputError(f"{origin}: {name}{atom} must be finite; got {np.atleast_1d(array)[tuple(where)]}")
        if np.abs(array).max(initial=0) > _LARGEST:
            raise InputError(f"{origin}: {name} must be below {_LARGEST:g} in size; got {np.abs(array).max():g}")
        energy, length = ENERGY_UNITS[source.energy_unit], LENGTH_UNITS[source.length_unit]
        labels[name] = array * energy**energy_power * length**length_power
    if "stress" in labels and abs(np.linalg.det(np.asarray(atoms.cell))) < 1e-6:
        raise InputError(f"{origin}: a stress is given but the cell {np.asarray(atoms.cell).tolist()} has no volume")
    return labels


def _stress_matrix(array: np.ndarray, origin: str) -> np.ndarray:
    """[3, 3] from a matrix, nine numbers or six in Voigt order (xx, yy, zz, yz, xz, xy)."""
    if array.size == 9:
        matrix = array.reshape(3, 3)
        asymmetry = float(np.abs(matrix - matrix.T).max())
        if asymmetry > 1e-3 * max(1e-3, float(np.abs(matrix).max())):
            raise InputError(f"{origin}: the stress must be symmetric; it differs from its transpose by {asymmetry}")
        return 0.5 * (matrix + matrix.T)
    if array.shape == (6,):
        xx, yy, zz, yz, xz, xy = array
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    raise InputError(f"{origin}: stress must be nine numbers or six in Voigt order; got shape {list(array.shape)}")


def _assemble(frames: Sequence[tuple[Atoms, dict[str, np.ndarray], Source, str]]) -> Dataset:
    for atoms, _, _, origin in frames:
        if max(np.abs(x).max(initial=0) for x in (atoms.positions, np.asarray(atoms.cell))) > _LARGEST:
            raise InputError(f"{origin}: positions and cell must be below {_LARGEST:g} Å in size")
        lattice = np.asarray(atoms.cell)[np.asarray(atoms.pbc)]
        if len(lattice) and np.sqrt(np.abs(np.linalg.det(lattice @ lattice.T))) < 1e-3:
            raise InputError(f"{origin}: periodic lattice vectors must be independent; got {lattice.tolist()}")
    systems = _systems_of([atoms for atoms, *_ in frames], [origin for *_, origin in frames])
    values, weights = {}, {}
    for name, (per_atom, shape, *_) in LABELS.items():
        parts = [
            labels.get(name, np.zeros((len(atoms), *shape) if per_atom else shape)) for atoms, labels, *_ in frames
        ]
        stacked = np.concatenate(parts) if per_atom else np.stack(parts)
        values[name] = torch.as_tensor(stacked, dtype=torch.float64)
        weights[name] = torch.tensor(
            [_weight(a, s, o) if name in labels else 0.0 for a, labels, s, o in frames], dtype=torch.float64
        )
    return Dataset(
        systems,
        Labels(values, weights),
        tuple(_group(atoms, source) for atoms, _, source, _ in frames),
        tuple(origin for *_, origin in frames),
        tuple(source.reference for _, _, source, _ in frames),
    )


def _systems_of(structures: Sequence[Atoms], origins: Sequence[str]) -> Systems:
    """All structures as one batch; what one of them is refused for is said with its origin."""
    try:
        return Systems.from_ase(structures)
    except InputError:
        for atoms, origin in zip(structures, origins, strict=True):
            try:
                Systems.from_ase(atoms)
            except InputError as error:
                reason = str(error).removeprefix("system 0, ").removeprefix("system 0: ")
                raise InputError(f"{origin}: {reason}") from None
        raise


def _weight(atoms: Atoms, source: Source, origin: str) -> float:
    weight = atoms.info.get("weight", 1.0)
    if not isinstance(weight, int | float | np.number) or not 0 <= weight <= _LARGEST:
        raise InputError(f"{origin}: weight must be a number from 0 to {_LARGEST:g}; got {weight!r:.80}")
    return float(weight) * source.weight


def _group(atoms: Atoms, source: Source) -> str:
    if source.group is not None:
        return source.group
    return next((str(atoms.info[key]) for key in GROUP_KEYS if key in atoms.info), "all")


def describe(dataset: Dataset) -> str:
    """One line: structures, atoms, elements, labels with the number of structures that have them."""
    labels = ", ".join(f"{name} ({int((dataset.labels.has(name)).sum())})" for name in dataset.present)
    symbols = " ".join(symbol_of(z) for z in dataset.elements)
    return f"{len(dataset)} structures, {dataset.systems.n_atoms} atoms of {symbols}; labels: {labels or 'none'}"
