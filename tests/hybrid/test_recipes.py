"""Recipes can be read; their scripts join labels and bring energies to one level."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from nddo_ml.training.config import read_config

ROOT = Path(__file__).parents[2]


def test_recipes_can_be_read() -> None:
    kinds = {path.stem: read_config(path).model.kind for path in (ROOT / "recipes").glob("*_*.toml")}
    assert kinds == {"hybrid_chno": "nddo", "hybrid_reactive": "delta", "nnp_chno": "nnp"}


@pytest.mark.parametrize("moved", [0.0, 0.1])
def test_forces_join_the_conformer_of_their_geometry(tmp_path: Path, moved: float) -> None:
    def frame(name: str, length: float, **labels: object) -> Atoms:
        atoms = Atoms("H2", [[0, 0, 0], [0, 0, length]], info={"id": name})
        atoms.calc = SinglePointCalculator(atoms, **labels)
        return atoms

    forces = [[0.0, 0.0, -1.5], [0.0, 0.0, 1.5]]
    write(tmp_path / "c.xyz", [frame("H2/1", 0.8, energy=-30.0), frame("H2/2", 0.7, energy=-31.0)], format="extxyz")
    write(tmp_path / "f.xyz", [frame("H2/2", 0.7 + moved, forces=forces)], format="extxyz")
    command = [sys.executable, ROOT / "recipes" / "join.py", "c.xyz", "f.xyz", "out.xyz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if moved:
        assert done.returncode == 1
        assert "H2/2" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    first, second = read(tmp_path / "out.xyz", ":")
    assert "forces" not in first.calc.results
    assert second.get_potential_energy() == -31.0
    assert second.get_forces().tolist() == forces


def test_labels_come_to_the_level_of_the_conformers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def frames(count: int, name: str) -> list[Atoms]:
        made = []
        for k in range(count):
            atoms = molecule(("H2O", "CH4", "NH3", "CO2", "HCN", "C2H6", "CH3OH", "C2H4", "CH3CHO")[k % 9])
            atoms.rattle(0.1, rng=rng)
            atoms.info["id"] = f"{name}{k}"
            atoms.calc = SinglePointCalculator(atoms, energy=-50.0 * len(atoms), forces=np.ones((len(atoms), 3)))
            made.append(atoms)
        return made

    def difference(atoms: Atoms) -> float:  # eV, of elements and of pairs
        r = atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
        return -3.0 * len(atoms) - 0.1 * float((atoms.numbers == 8).sum()) + float(5 * np.exp(-2 * r).sum())

    def slope(atoms: Atoms) -> np.ndarray:
        vectors = atoms.get_all_distances(vector=True)
        r = atoms.get_all_distances() + np.eye(len(atoms))
        return np.einsum("ij,ijk->ik", 10 * np.exp(-2 * r) / r, vectors)

    labels, new = frames(270, "a"), frames(18, "b")
    write(tmp_path / "labels.xyz", labels, format="extxyz")
    write(tmp_path / "new.xyz", new, format="extxyz")
    for atoms in labels:
        atoms.calc.results["energy"] += difference(atoms)
    write(tmp_path / "conformers.xyz", labels, format="extxyz")
    command = [sys.executable, ROOT / "recipes" / "level.py", "conformers.xyz", "labels.xyz", "new.xyz", "out.xyz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "270 molecules" in done.stdout
    energies, forces = [], []  # the learned difference beside the true one
    for before, after in zip(new, read(tmp_path / "out.xyz", ":"), strict=True):
        energies.append((after.get_potential_energy() - before.get_potential_energy(), difference(before)))
        forces.append((after.get_forces() - before.get_forces(), -0.3 * slope(before)))
    assert np.ptp(energies, axis=0).min() > 10
    assert np.mean([abs(found - true) for found, true in energies]) < 0.03
    assert np.mean([np.abs(true).mean() for _, true in forces]) > 0.1
    assert np.mean([np.abs(found - true).mean() for found, true in forces]) < 0.03
