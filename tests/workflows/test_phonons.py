"""Phonons of silicon: the acoustic sum rule, any frame of the file, Grüneisen parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from nddo_ml import NDDOCalculator
from nddo_ml.workflows.phonons import phonons
from nddo_ml.workflows.solids import relax

pytest.importorskip("phonopy")


def test_a_shift_of_the_crystal_costs_nothing_in_any_frame(silicon) -> None:
    calculator = NDDOCalculator(silicon)
    atoms = relax(bulk("Si", a=5.43), calculator)
    upright = phonons(atoms, calculator, supercell=(2, 2, 2))
    atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    found = phonons(atoms, calculator, supercell=(2, 2, 2))
    assert np.abs(found.frequencies["Γ"][:3]).max() < 1e-3
    assert np.isnan(found.gruneisen["Γ"][:3]).all()
    for name in "ΓXL":
        np.testing.assert_allclose(found.frequencies[name], upright.frequencies[name], atol=0.02)
    assert np.ptp(found.frequencies["Γ"][3:]) < 1e-3  # the optical modes of diamond's structure are one
    assert np.ptp(found.frequencies["X"][:2]) < 1e-3


class Pinned(EMT):
    """Copper whose atoms are held by weak springs, as by a calculator with a grid: forces that do not add up."""

    def calculate(self, *arguments: Any, **more: Any) -> None:
        super().calculate(*arguments, **more)
        ideal = bulk("Cu", a=3.6).cell.scaled_positions(self.atoms.positions)
        self.results["forces"] = self.results["forces"] - 0.05 * (ideal - ideal.round()) @ bulk("Cu", a=3.6).cell.array


def test_a_shift_costs_nothing_with_forces_that_do_not_add_up() -> None:
    """Springs of 0.05 eV/Å² alone would give the acoustic modes 0.44 THz at Γ."""
    found = phonons(bulk("Cu", a=3.6), Pinned(), supercell=(2, 2, 2))
    assert np.abs(found.frequencies["Γ"][:3]).max() < 1e-3


def test_gruneisen_parameters_agree_with_frequencies_at_other_volumes() -> None:
    """−d ln ω / d ln V by frequencies of two cells."""
    atoms = relax(bulk("Cu", a=3.6), EMT())
    found = phonons(atoms, EMT(), supercell=(2, 2, 2))
    ends = []
    for factor in (0.99, 1.01):
        cell = atoms.copy()
        cell.set_cell(atoms.cell * factor ** (1 / 3), scale_atoms=True)
        ends.append(phonons(cell, EMT(), supercell=(2, 2, 2)).frequencies["X"])
    expected = -np.log(ends[1] / ends[0]) / np.log(1.01 / 0.99)
    np.testing.assert_allclose(found.gruneisen["X"], expected, rtol=0.02)
