"""D3 in cells: another program's energies, supercells, a molecule in a large box, stress by differences."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from places import ROOT

from nddo_ml import Systems
from nddo_ml.terms.dispersion import DispersionD3

TERM = DispersionD3(s6=1.0, s8=0.722, s_r6=1.217, alpha=14.0)  # of PBE, Grimme et al. (2010)
REFERENCE = json.loads((ROOT / "tests" / "references" / "d3_cells.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["name"])
def test_energies_of_another_program(case: dict[str, list]) -> None:
    """Which cuts its sums where ours begin to fade."""
    atoms = Atoms(case["symbols"], case["positions"], cell=case["cell"], pbc=True)
    assert float(TERM.energy(Systems.from_ase(atoms))) == pytest.approx(case["energy"], rel=1e-3)


def test_a_supercell_has_the_energy_of_its_cells_and_a_batch_that_of_each() -> None:
    cell, water = bulk("C", a=3.57), molecule("H2O")
    one, four, alone = TERM.energy(Systems.from_ase([cell, cell * (2, 2, 1), water])).tolist()
    assert four == pytest.approx(4 * one, rel=1e-10)
    assert alone == pytest.approx(float(TERM.energy(Systems.from_ase(water))), rel=1e-12)
    boxed = molecule("H2O", cell=[40.0] * 3, pbc=True)
    assert float(TERM.energy(Systems.from_ase(boxed))) == pytest.approx(alone, rel=1e-6)


def test_forces_and_stress_are_derivatives() -> None:
    atoms = bulk("C", a=3.6)
    atoms.rattle(0.05, seed=1)
    systems = Systems.from_ase(atoms)
    positions, cell = systems.positions.clone().requires_grad_(), systems.cell.clone().requires_grad_()
    forces, strained = torch.autograd.grad(
        TERM.energy(systems.with_positions(positions, cell)).sum(), (positions, cell)
    )
    h = 1e-4
    for what, slope, at in (("positions", forces, (1, 2)), ("cell", strained, (0, 1, 2))):
        ends = []
        for sign in (-1, 1):
            x, a = systems.positions.clone(), systems.cell.clone()
            (x if what == "positions" else a)[at] += sign * h
            ends.append(float(TERM.energy(systems.with_positions(x, a))))
        assert float(slope[at]) == pytest.approx(np.diff(ends)[0] / (2 * h), rel=1e-4, abs=1e-7)
