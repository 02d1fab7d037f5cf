"""Recipes can be read; their scripts join labels."""

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
from places import ROOT

from nddo_ml.training.config import read_config


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


def test_energies_are_brought_to_another_level(tmp_path: Path) -> None:
    """Two levels that differ by energies of elements and O–H distances: learned on some, added to others.

    The forces of the others come out with half the difference's.
    """
    rng = np.random.default_rng(0)
    target, other = [], []
    for k in range(80):
        atoms = molecule("H2O" if k % 2 else "CH3OH")
        atoms.rattle(0.05, rng=rng)
        oxygen = int(np.flatnonzero(atoms.numbers == 8)[0])
        near = [h for h in np.flatnonzero(atoms.numbers == 1) if atoms.get_distance(oxygen, h) < 1.3]
        bonds = atoms.positions[near] - atoms.positions[oxygen]
        difference = len(atoms) + 2.0 * float(np.sum(np.square(bonds)))
        forces = np.zeros((len(atoms), 3))
        forces[near] = -4.0 * bonds
        forces[oxygen] = -forces.sum(0)
        for frames, energy, force in ((target, -300.0, forces), (other, -300.0 - difference, 0 * forces)):
            frames.append(Atoms(atoms, info={"id": f"x{k}"}))
            frames[-1].calc = SinglePointCalculator(frames[-1], energy=energy, forces=force)
    files = {"c.xyz": target[:60], "labels.xyz": other[:60], "source.xyz": other[60:]}
    for name, frames in files.items():
        write(tmp_path / name, frames, format="extxyz")
    command = [sys.executable, ROOT / "recipes" / "level.py", *files, "out.xyz", "--forces", "0.5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "60 molecules" in done.stdout
    assert "within a formula" in done.stdout
    found = read(tmp_path / "out.xyz", ":")
    assert [a.info["id"] for a in found] == [a.info["id"] for a in other[60:]]
    errors = [a.get_potential_energy() + 300.0 for a in found]
    assert np.abs(errors).mean() < 0.01
    wanted = np.concatenate([a.get_forces() for a in target[60:]]) / 2
    assert np.abs(np.concatenate([a.get_forces() for a in found]) - wanted).mean() < 0.1 * np.abs(wanted).mean()
