"""Recipes can be read; their scripts join labels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ase import Atoms
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
