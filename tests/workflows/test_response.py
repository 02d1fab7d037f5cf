"""Hessian, vibrations, intensities and polarisability."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.build import molecule
from hybrid_models import batch, hybrid, rattled
from places import REFERENCES

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.energy.properties import coulson_charges, dipole_moment
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.models.nddo import Hamiltonian
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.solve import SCFOptions, solve_scf
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV
from nddo_ml.workflows.response import dipole_derivatives, fitted_polarizability, hessian, polarizability, vibrations

TIGHT = SCFOptions(tolerance=1e-10)
STATIC = REFERENCES / "static.json"


def numerical_hessian(model: NDDO, systems: Systems, step: float = 1e-3) -> torch.Tensor:
    rows = []
    for k in range(3 * systems.n_atoms):
        shift = torch.zeros(3 * systems.n_atoms, dtype=torch.float64)
        shift[k] = step
        ends = [
            model(systems.with_positions(systems.positions + s * shift.view(-1, 3)), forces=True).forces.view(-1)
            for s in (2, 1, -1, -2)
        ]
        rows.append(-(8 * (ends[1] - ends[2]) - (ends[0] - ends[3])) / (12 * step))
    return torch.stack(rows)


@pytest.mark.parametrize("name", ["H2O", "CH3", "CH4"])
def test_hessian_is_that_of_finite_differences(name: str) -> None:
    model, systems = NDDO("AM1", scf=TIGHT), batch(name)
    torch.testing.assert_close(hessian(model, systems), numerical_hessian(model, systems), rtol=1e-5, atol=2e-5)


def test_hessian_of_a_hybrid(features: AtomFeatures) -> None:
    model, systems = hybrid(features), batch(rattled("H2O", 1))
    torch.testing.assert_close(hessian(model, systems), numerical_hessian(model, systems), rtol=1e-5, atol=2e-5)


def test_hessian_of_an_ion_with_another_parent() -> None:
    model, systems = NDDO("PM6", scf=TIGHT), batch("OH", charge=[-1], multiplicity=[1])
    torch.testing.assert_close(hessian(model, systems), numerical_hessian(model, systems), rtol=1e-5, atol=2e-5)


# MOPAC 22.0.6, keywords AM1 FORCE PRECISE, at these geometries; it differentiates forces numerically
WATER = [[0, 0, 0], [0.9613, 0, 0], [0.9613 * np.cos(np.radians(103.5)), 0.9613 * np.sin(np.radians(103.5)), 0]]
ANGLE = np.radians(180 - 122.2)
FORMALDEHYDE = [
    [0, 0, 0],
    [1.2272, 0, 0],
    *([1.2272 + 1.1106 * np.cos(ANGLE), s * 1.1106 * np.sin(ANGLE), 0] for s in (1, -1)),
]
FREQUENCIES = {
    "OH2": (WATER, [1885.58, 3504.14, 3583.81]),
    "OCH2": (FORMALDEHYDE, [1164.62, 1176.86, 1443.26, 2053.05, 3083.47, 3119.37]),
}


@pytest.mark.parametrize("formula", FREQUENCIES)
def test_frequencies_are_those_of_mopac(formula: str) -> None:
    positions, expected = FREQUENCIES[formula]
    found = vibrations(NDDO("AM1"), Systems.from_ase(Atoms(formula, positions))).frequencies
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=0.8)


def test_intensities_are_slopes_of_the_dipole() -> None:
    """42.2561 km/mol for each (D/Å)²/u, as ASE's ``Infrared`` has it."""
    model, systems = NDDO("AM1"), Systems.from_ase(molecule("H2O"))
    found = vibrations(model, systems, intensities=True)
    assert found.intensities is not None
    for mode, intensity in zip(found.modes, found.intensities.tolist(), strict=True):
        ends = [model(systems.with_positions(systems.positions + s * 1e-3 * mode)).dipole for s in (1, -1)]
        slope = (ends[0] - ends[1])[0] / 2e-3 / units.Debye
        assert intensity == pytest.approx(42.2561 * float(slope.square().sum()), rel=1e-4)


def test_vibrations_do_not_depend_on_orientation() -> None:
    model, atoms = NDDO("AM1"), rattled("CH3OH", 3, 0.01)
    one = vibrations(model, Systems.from_ase(atoms), intensities=True)
    atoms.rotate(50, (1, 2, 3))
    atoms.translate((4.0, -2.0, 1.0))
    order = [3, 0, 5, 1, 4, 2]
    other = vibrations(model, Systems.from_ase(atoms[order]), intensities=True)
    torch.testing.assert_close(one.frequencies, other.frequencies, rtol=1e-6, atol=1e-3)
    torch.testing.assert_close(one.intensities, other.intensities, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "n_modes"), [("CO2", 4), ("H2", 1), ("H2O", 3), ("H", 0)])
def test_number_of_vibrations(name: str, n_modes: int) -> None:
    assert vibrations(NDDO("AM1"), batch(name)).frequencies.shape == (n_modes,)


def test_dipole_derivatives_are_those_of_finite_differences() -> None:
    model, systems, step = NDDO("PM3", scf=TIGHT), batch(rattled("H2CO", 4)), 1e-4
    found = dipole_derivatives(model, systems)
    for k in (0, 4, 11):
        shift = torch.zeros(12, dtype=torch.float64)
        shift[k] = step
        ends = [model(systems.with_positions(systems.positions + s * shift.view(-1, 3))).dipole[0] for s in (1, -1)]
        torch.testing.assert_close(found[:, k], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-7)


def test_polarizability_is_that_of_a_finite_field() -> None:
    model, field = NDDO("AM1", scf=TIGHT), 1e-3
    systems = batch(rattled("H2CO", 5), rattled("CH3", 6))
    found = polarizability(model, systems)
    for k in range(2):
        one = systems.select(torch.tensor([k]))
        built = model.hamiltonian(one)
        density = model(one).scf.density

        def dipole(p: torch.Tensor, built: Hamiltonian = built, one: Systems = one) -> torch.Tensor:
            total = 2 * p[:, 0] if p.shape[1] == 1 else p.sum(dim=1)
            charges = coulson_charges(built.layout, built.parameters, total)
            masses = torch.ones_like(charges)
            return dipole_moment(built.layout, built.parameters, total, one.positions, charges, masses)[0]

        jacobian = torch.autograd.functional.jacobian(dipole, density)[:, 0, 0] / (2 if density.shape[1] == 1 else 1)
        jacobian = 0.5 * (jacobian + jacobian.transpose(1, 2))
        builder = FockBuilder.from_integrals(built.integrals)
        occupied = model(one).scf.n_occupied
        for axis in range(3):
            ends = []
            for s in (1, -1):
                pulled = replace(builder, h_core=builder.h_core - s * field * jacobian[axis])
                scf = solve_scf(pulled, built.parameters.shell_populations, occupied, TIGHT, density)
                ends.append(dipole(scf.density))
            slope = (ends[0] - ends[1]) / (2 * field) * HARTREE_EV * BOHR_ANGSTROM
            torch.testing.assert_close(found[k, :, axis], slope, rtol=1e-4, atol=1e-5)


def test_more_than_one_molecule_is_an_error() -> None:
    with pytest.raises(InputError, match="one molecule at a time; got 2"):
        hessian(NDDO("AM1"), batch("H2O", "CH4"))


@pytest.mark.parametrize("method", ["MNDO", "AM1", "PM3", "PM6", "RM1"])
def test_polarizability_of_mopac(method: str) -> None:
    """MOPAC's STATIC, by finite fields of 0.002 and 0.004 a.u.: fitted to experiment, but for RM1 as it comes."""
    records = [r for r in json.loads(STATIC.read_text())["records"] if r["method"] == method]
    systems = Systems.from_ase([Atoms(r["symbols"], r["positions"]) for r in records])
    found = (polarizability if method == "RM1" else fitted_polarizability)(NDDO(method), systems) / BOHR_ANGSTROM**3
    for tensor, record in zip(found, records, strict=True):
        diagonal = torch.tensor([record["lower"][k] for k in (0, 2, 5)], dtype=torch.float64)
        torch.testing.assert_close(tensor.diagonal(), diagonal, rtol=1e-4, atol=1e-3)
        assert float(tensor.trace()) / 3 == pytest.approx(record["average"], rel=2e-5)


def test_fitted_polarizability_of_a_method_without_fit() -> None:
    with pytest.raises(InputError, match="got RM1"):
        fitted_polarizability(NDDO("RM1"), batch(rattled("H2O", 1)))
