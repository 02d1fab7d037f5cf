"""Vibrations and thermochemistry of batches, against MOPAC's FORCE THERMO and ASE's ideal gas."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.thermochemistry import IdealGasThermo
from ase.units import invcm
from kinds import KINDS
from places import REFERENCES

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.normal_modes import named_mode, normal_modes, walls
from nddo_ml.workflows.second_derivatives import second_derivatives
from nddo_ml.workflows.symmetry_number import symmetry_number
from nddo_ml.workflows.thermochemistry import thermochemistry

RECORDS = json.loads((REFERENCES / "force.json").read_text())["records"]
CAL = 1000 * EV_KCAL_MOL


def frames(method: str) -> tuple[list[dict], list[Atoms]]:
    records = [r for r in RECORDS if r["method"] == method]
    return records, [Atoms(r["symbols"], r["positions"]) for r in records]


@pytest.mark.parametrize("method", ["AM1", "PM6", pytest.param("PM7", marks=pytest.mark.slow)])
def test_frequencies_and_thermochemistry_of_mopac(method: str) -> None:
    records, atoms = frames(method)
    systems = Systems.from_ase(atoms)
    derivatives = second_derivatives(NDDO(method), systems, analytic=False)
    for k, record in enumerate(records):
        found = normal_modes(systems[k], derivatives[k]).frequencies.numpy()
        expected = np.array(record["frequencies"])
        slow = 250.0  # cm⁻¹, torsions, of which MOPAC's values move with the step of its differences
        assert (np.abs(found - expected) < np.where(expected < slow, 5.0, 0.6)).all()
        gas = thermochemistry(atoms[k], expected, temperatures=record["temperatures"])
        assert gas.symmetry_number == record["symmetry_number"]
        assert gas.zero_point * EV_KCAL_MOL == pytest.approx(record["zero_point"], abs=2e-3)
        enthalpy = (gas.enthalpy - gas.zero_point) * CAL
        np.testing.assert_allclose(enthalpy, record["enthalpy"], atol=1.0)  # cal/mol
        np.testing.assert_allclose(gas.entropy * CAL, record["entropy"], atol=0.03)


def test_differences_are_the_response_and_batches_the_single_molecules() -> None:
    systems = Systems.from_ase([molecule(n) for n in ("H2O", "HCN", "CH3", "CH3OH")])
    model = NDDO("AM1")
    analytic = second_derivatives(model, systems, dipoles=True, analytic=True)
    numerical = second_derivatives(model, systems, dipoles=True, analytic=False)
    alone = second_derivatives(model, systems[3], dipoles=True, analytic=False)[0]
    torch.testing.assert_close(numerical[3].hessian, alone.hessian, rtol=0, atol=1e-4)
    for one, other in zip(analytic, numerical, strict=True):
        torch.testing.assert_close(one.hessian, other.hessian, rtol=1e-4, atol=4e-3)
        torch.testing.assert_close(one.dipole, other.dipole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["AM1", "committee", "hybrid-chno"])
def test_every_kind_of_model_vibrates(name: str) -> None:
    model, systems = KINDS[name].model, Systems.from_ase(list(KINDS[name].frames))
    analytic = second_derivatives(model, systems, analytic=True)
    numerical = second_derivatives(model, systems, analytic=False)
    for one, other in zip(analytic, numerical, strict=True):
        torch.testing.assert_close(one.hessian, other.hessian, rtol=2e-4, atol=5e-3)


@pytest.mark.parametrize(
    ("name", "sigma"),
    [
        *(
            ("H2O", 2),
            ("NH3", 3),
            ("CH4", 12),
            ("C2H6", 6),
            ("C2H4", 4),
            ("C6H6", 12),
            ("CO2", 2),
            ("HCN", 1),
            ("H", 1),
        ),
        *(("C60", 60), ("AlCl3", 6), ("CH3OH", 1), ("cyclobutane", 4), ("H2", 2), ("C3H4_D2d", 4)),
    ],
)
def test_symmetry_numbers(name: str, sigma: int) -> None:
    atoms = molecule(name)
    atoms.rotate(37, (1, 2, 3))
    atoms.rattle(0.005, seed=1)
    assert symmetry_number(atoms) == sigma


def test_isotopes_lower_the_symmetry_number_and_the_frequencies() -> None:
    atoms = molecule("H2O")
    atoms.set_masses([15.999, 2.014, 1.008])
    assert symmetry_number(atoms) == 1
    nitrogen = molecule("N2")
    assert symmetry_number(nitrogen) == 2
    nitrogen.set_masses([14.003, 15.000])
    assert symmetry_number(nitrogen) == 1
    model, systems = NDDO("AM1"), Systems.from_ase([molecule("H2O"), atoms])
    found = second_derivatives(model, systems)
    light, heavy = (normal_modes(systems[k], found[k]).frequencies for k in (0, 1))
    assert float(heavy[1] / light[1]) == pytest.approx(0.737, abs=0.01)  # one O–D of HDO


@pytest.mark.parametrize(("name", "geometry"), [("CO2", "linear"), ("CH3OH", "nonlinear"), ("Ar", "monatomic")])
def test_thermochemistry_of_ase(name: str, geometry: str) -> None:
    atoms = Atoms("Ar", [(0, 0, 0)]) if name == "Ar" else molecule(name)
    n = {"linear": 4, "nonlinear": 12, "monatomic": 0}[geometry]
    frequencies = np.linspace(200, 3500, n)
    ours = thermochemistry(atoms, frequencies, multiplicity=3, temperatures=[350.0], pressure=2e5)
    theirs = IdealGasThermo(
        frequencies * invcm, geometry=geometry, atoms=atoms, symmetrynumber=symmetry_number(atoms), spin=1
    )
    assert ours.enthalpy[0] == pytest.approx(theirs.get_enthalpy(350.0, verbose=False), abs=1e-9)
    assert ours.entropy[0] == pytest.approx(theirs.get_entropy(350.0, 2e5, verbose=False), abs=1e-9)
    assert ours.gibbs[0] == pytest.approx(theirs.get_gibbs_energy(350.0, 2e5, verbose=False), abs=1e-9)


def test_heat_capacity_is_the_derivative_of_the_enthalpy() -> None:
    t = np.array([299.0, 300.0, 301.0])
    gas = thermochemistry(molecule("CH3OH"), np.linspace(200, 3500, 12), temperatures=t)
    assert gas.heat_capacity[1] == pytest.approx((gas.enthalpy[2] - gas.enthalpy[0]) / 2, rel=1e-5)


def test_quasi_harmonic_entropy_of_grimme() -> None:
    """By hand, cal/mol/K: a mode of 1 cm⁻¹ has 12.59, its free rotation 7.40; one of 1000 cm⁻¹ stays a vibration."""
    atoms = molecule("H2O")
    low, high = ([w, 3000.0, 3500.0] for w in (1.0, 1000.0))
    plain, mixed = (thermochemistry(atoms, low, quasi_harmonic=q).entropy[0] * CAL for q in (False, True))
    assert plain - mixed == pytest.approx(12.59 - 7.40, abs=0.02)
    plain, mixed = (thermochemistry(atoms, high, quasi_harmonic=q).entropy[0] * CAL for q in (False, True))
    assert mixed == pytest.approx(plain, abs=1e-3)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match=r"must be positive; got \[0.0\] K"):
        thermochemistry(molecule("H2O"), [1000.0], temperatures=[0.0])
    with pytest.raises(InputError, match="symmetry number"):
        thermochemistry(molecule("H2O"), [1000.0], symmetry=0)


def test_a_mode_is_named_by_what_moves() -> None:
    mode = torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [0.5, 0, 0]], dtype=torch.float64)
    masses = torch.tensor([16.0, 1.0, 1.0], dtype=torch.float64)
    assert named_mode(mode, [8, 1, 1], masses) == "H1 80 %, H2 20 %"


def test_modes_that_no_molecule_has_are_named() -> None:
    assert walls([-1068.0, 3209.5, 4401.0]) == ""
    assert walls([-1068.0, 3349.5, 21564.6]).startswith("expected no mode above 6000 cm⁻¹; got 21565: ")
