"""The labelled structures of the shipped model ``hybrid``, with what a fit needs of each, computed once and kept."""

from __future__ import annotations

import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ase.io import read

from nddo_ml import NDDO, AtomFeatures, Systems

FOLDS = 10
DIFFERENT = ("dimer", "pair", "step")  # kinds that are left out: other molecules' interaction; half-relaxed geometries
SCHEMES = ("coupled cluster", "density functional")  # levels, each with zeros of its own
AT_ONCE = 128
SOURCES = {  # name: (file in recipes/data or in the data folder, level, σ of the energy of 20 atoms in eV)
    "second": ("teacher_labels.npz.xz", 0, 0.08),
    "first": ("teacher_labels.npz.xz", 1, 0.16),
    "more": ("teacher_molecules.npz.xz", 1, 0.16),
    "further": ("teacher_further.npz.xz", 1, 0.16),
    "energies": ("teacher_energies.npz.xz", 0, 0.08),
    "conformers": ("conformers_train.extxyz", 0, 0.10),
    "molecules": ("mp2_molecules.extxyz", 0, 0.12),
    "paths": ("teacher_paths.npz.xz", 0, 0.10),
    "additions": ("teacher_additions.npz.xz", 0, 0.10),
    "diatomics": ("diatomics.extxyz", 0, 0.10),
}


@dataclass(frozen=True)
class Labelled:
    """Structures of one source, atoms of all in one row."""

    name: str
    atoms: np.ndarray  # [structures] number of atoms
    numbers: np.ndarray  # [atoms]
    positions: np.ndarray  # [atoms, 3] Å
    charge: np.ndarray  # [structures]
    energy: np.ndarray  # [structures] eV
    group: np.ndarray  # [structures] molecule, reaction or formula, text
    forces: np.ndarray | None = None  # [atoms, 3] eV/Å, NaN where they are not known
    base: np.ndarray | None = None  # [structures] eV, of the parent
    values: np.ndarray | None = None  # [atoms, functions] symmetry functions
    missed: np.ndarray | None = None  # [atoms, 3] eV/Å, F_parent − F

    @property
    def fold(self) -> np.ndarray:
        """A number below FOLDS, the same for all structures of a group; that of the diatomics is 9."""
        if self.name == "diatomics":
            return np.full(len(self.atoms), FOLDS - 1)
        return np.array([zlib.crc32(g.encode()) % FOLDS for g in self.group.tolist()])

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, Systems]]:
        """Structures, their atoms, and both as systems, some at a time."""
        ends = np.cumsum(self.atoms)
        for some in np.split(np.arange(len(self.atoms)), range(AT_ONCE, len(self.atoms), AT_ONCE)):
            rows = np.arange(ends[some[0]] - self.atoms[some[0]], ends[some[-1]])
            yield some, rows, systems_of(self.numbers[rows], self.positions[rows], self.atoms[some], self.charge[some])


def systems_of(numbers: np.ndarray, positions: np.ndarray, atoms: np.ndarray, charge: np.ndarray) -> Systems:
    """Closed shells, of whose atoms in one row ``atoms`` belong to each."""
    n = len(atoms)
    return Systems(
        torch.tensor(numbers),
        torch.tensor(positions),
        torch.arange(n).repeat_interleave(torch.tensor(atoms)),
        torch.tensor(charge),
        torch.ones(n, dtype=torch.long),
        torch.zeros(n, 3, 3, dtype=torch.float64),
        torch.zeros(n, 3, dtype=torch.bool),
    )


def read_labels(name: str, folder: Path) -> Labelled:
    """A source's structures, from ``folder`` or from recipes/data."""
    file, *_ = SOURCES[name]
    path = folder / file
    if not path.is_file():
        path = Path(__file__).parents[1] / "data" / file
    if path.suffix == ".extxyz":
        return _of_frames(name, path)
    with lzma.open(path) as opened:
        return _of_arrays(name, dict(np.load(io.BytesIO(opened.read()))))


def _of_frames(name: str, path: Path) -> Labelled:
    frames = read(path, ":")
    forces = np.concatenate([a.calc.results.get("forces", np.full((len(a), 3), np.nan)) for a in frames])
    return Labelled(
        name,
        np.array([len(a) for a in frames]),
        np.concatenate([a.numbers for a in frames]).astype(int),
        np.concatenate([a.positions for a in frames]),
        np.zeros(len(frames), dtype=int),
        np.array([a.get_potential_energy() for a in frames]),
        np.array([a.get_chemical_formula() for a in frames]),
        forces if np.isfinite(forces).any() else None,
    )


def _of_arrays(name: str, arrays: dict[str, np.ndarray]) -> Labelled:
    atoms, molecule = arrays["atoms"].astype(int), arrays["molecule"].astype(int)
    own = arrays["group"][molecule] if "group" in arrays else molecule
    of = "labels" if name in ("first", "second") else name  # two levels of the same molecules
    group = np.array([f"{of} {k}" for k in own])
    charge = arrays.get("charge", np.zeros(len(atoms))).astype(int)
    unit = 1e-3 if "group" in arrays else 1e-4
    whole = Labelled(
        name, atoms, arrays["numbers"].astype(int), arrays["positions"] * unit, charge, arrays["energy"], group
    )
    if name == "second":
        chosen = arrays["second_frame"].astype(int)
        energy, forces = arrays["second_energy"].astype(float), arrays["second_forces"] / 1000
        return replace(_part(whole, chosen), energy=energy, forces=forces)
    if "forces" in arrays:
        chosen = np.flatnonzero(~np.isin(arrays["kind"], DIFFERENT))
        whole = replace(whole, energy=whole.energy.astype(float), forces=arrays["forces"] / 1000)
        return _part(whole, chosen)
    return whole


def _part(whole: Labelled, chosen: np.ndarray) -> Labelled:
    """Some of the structures."""
    ends = np.cumsum(whole.atoms)
    rows = np.concatenate([np.arange(ends[k] - whole.atoms[k], ends[k]) for k in chosen])
    forces = None if whole.forces is None else whole.forces[rows]
    return Labelled(
        whole.name,
        whole.atoms[chosen],
        whole.numbers[rows],
        whole.positions[rows],
        whole.charge[chosen],
        whole.energy[chosen],
        whole.group[chosen],
        forces,
    )


def prepared(name: str, folder: Path, kept: Path, parent: NDDO, features: AtomFeatures) -> Labelled:
    """A source with the parent's energies and the symmetry functions, from ``kept`` where it was there before."""
    data, file = read_labels(name, folder), kept / f"{name}.npz"
    if not file.is_file():
        part = file.with_suffix(".part.npz")
        np.savez(part, **_computed(data, parent, features))
        part.rename(file)
    return replace(data, **dict(np.load(file)))


def _computed(data: Labelled, parent: NDDO, features: AtomFeatures) -> dict[str, np.ndarray]:
    n, atoms = len(data.atoms), len(data.numbers)
    found = {"base": np.full(n, np.nan), "values": np.zeros((atoms, features.functions.n_features), np.float32)}
    if data.forces is not None:
        found["missed"] = np.zeros((atoms, 3), np.float32)
    for some, rows, systems in data.batches():
        said = parent(systems, forces=data.forces is not None, on_failure="mask")
        found["base"][some] = said.energy.detach().numpy()
        if data.forces is not None:
            found["missed"][rows] = said.forces.detach().numpy() - data.forces[rows]
        with torch.no_grad():
            found["values"][rows] = features(systems).values.numpy()
    return found
