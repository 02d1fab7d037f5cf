"""Solids: elastic constants, equation of state, thermal expansion and dynamics against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.io import write

from nddo_ml import InputError
from nddo_ml.structures.read import read_files
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.crystal_axes import turned
from nddo_ml.workflows.phonons import thermal_expansion
from nddo_ml.workflows.solids import (
    elastic_constants,
    energy_drift,
    equation_of_state,
    relax,
    run_nve,
)


@pytest.fixture(scope="module")
def silicon_cell(silicon):
    return relax(bulk("Si", a=5.4), NDDOCalculator(silicon))


def test_lennard_jones_solid_obeys_cauchy():
    """Central forces without pressure: C12 = C44; and both bulk moduli are (C11 + 2 C12)/3."""
    calculator = LennardJones(epsilon=0.1, sigma=2.5, rc=9.0, smooth=True, ro=6.0)
    atoms = relax(bulk("Ar", "fcc", a=4.0), calculator, force=1e-6)
    found = elastic_constants(atoms, calculator)
    c = found.constants
    assert c[0, 1] == pytest.approx(c[3, 3], rel=1e-3)
    assert found.bulk_voigt == pytest.approx((c[0, 0] + 2 * c[0, 1]) / 3, rel=1e-6)
    assert found.bulk_reuss == pytest.approx(found.bulk_voigt, rel=1e-6)
    assert found.shear_reuss < found.shear_voigt
    assert found.is_stable


def test_copper_of_emt():
    """ASE's documentation: EMT copper has B = 134 GPa and a = 3.59 Å."""
    atoms = relax(bulk("Cu", a=3.6), EMT())
    state = equation_of_state(atoms, EMT())
    assert state.bulk_modulus == pytest.approx(134, abs=3)
    assert (4 * state.volume) ** (1 / 3) == pytest.approx(3.59, abs=0.01)
    assert elastic_constants(atoms, EMT()).bulk_voigt == pytest.approx(state.bulk_modulus, rel=0.01)


@pytest.mark.parametrize("turn", [(0, (0, 0, 1)), (37, (1, 2, 3))])
@pytest.mark.parametrize("cubic", [True, False])
def test_constants_do_not_depend_on_the_frame(cubic, turn):
    """A primitive cell in a frame of its own gives the constants of the cubic cell."""
    atoms = bulk("Cu", a=3.59, cubic=cubic)
    atoms.rotate(*turn, rotate_cell=True)
    found = elastic_constants(atoms, EMT(), internal=False)
    expected = elastic_constants(bulk("Cu", a=3.59, cubic=True), EMT(), internal=False, conventional=False)
    assert found.space_group == "Fm-3m (225)"
    np.testing.assert_allclose(found.constants, expected.constants, atol=1e-5)


def test_constants_do_not_depend_on_the_file(silicon, tmp_path):
    """A primitive CIF, a POSCAR that lies askew and the cubic cell are one crystal; shears move its two atoms apart."""
    askew = bulk("Si")
    askew.rotate(31, (1, 2, 3), rotate_cell=True)
    for name, atoms in {"si.cif": bulk("Si"), "POSCAR": askew, "si.xyz": bulk("Si", cubic=True)}.items():
        write(tmp_path / name, atoms)
    structures, errors = read_files([tmp_path / name for name in ("si.cif", "POSCAR", "si.xyz")])
    assert not errors
    calculator = NDDOCalculator(silicon)
    found = [elastic_constants(s.atoms, calculator, force=1e-3) for s in structures]
    assert {f.space_group for f in found} == {"Fd-3m (227)"}
    for other in found[1:]:
        np.testing.assert_allclose(other.constants, found[0].constants, atol=0.2)


def test_constants_of_a_hexagonal_crystal():
    """C66 = (C11 − C12)/2, and nothing couples normal strains with shear, in whatever frame (Nye, Table 9)."""
    calculator = LennardJones(epsilon=0.1, sigma=2.5, rc=9.0, smooth=True, ro=6.0)
    atoms = relax(bulk("Mg", "hcp", a=2.8, c=4.6), calculator)
    upright = elastic_constants(atoms, calculator, internal=False)
    atoms.rotate(50, (1, 0.3, -2), rotate_cell=True)
    found = elastic_constants(atoms, calculator, internal=False)
    c = found.constants
    np.testing.assert_allclose(c, upright.constants, atol=1e-3)
    assert found.space_group == "P6_3/mmc (194)"
    assert c[5, 5] == pytest.approx((c[0, 0] - c[0, 1]) / 2, rel=1e-6)
    assert c[3, 3] == pytest.approx(c[4, 4])
    assert np.abs(c[:3, 3:]).max() < 1e-6
    assert c[0, 2] == pytest.approx(c[1, 2])
    assert abs(c[2, 2] - c[0, 0]) > 0.1


def test_turning_constants_and_back():
    """A turn and its reverse give the constants again; the bulk modulus is an invariant."""
    constants = np.diag([3.0, 2.0, 1.5, 0.4, 0.5, 0.6])
    constants[0, 1] = constants[1, 0] = 0.7
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    there = turned(constants, rotation)
    np.testing.assert_allclose(turned(there, rotation.T), constants, atol=1e-12)
    assert there[:3, :3].sum() == pytest.approx(constants[:3, :3].sum())


def test_silicon_is_cubic_and_soft_against_internal_strain(silicon, silicon_cell):
    calculator = NDDOCalculator(silicon)
    relaxed = elastic_constants(silicon_cell, calculator)
    clamped = elastic_constants(silicon_cell, calculator, internal=False)
    c = relaxed.constants
    assert c[0, 0] == pytest.approx(c[2, 2], rel=1e-4)
    assert c[0, 1] == pytest.approx(c[1, 2], rel=1e-4)
    assert clamped.constants[3, 3] > c[3, 3] + 5
    assert clamped.constants[0, 0] == pytest.approx(c[0, 0], rel=1e-3)
    state = equation_of_state(silicon_cell, calculator, span=0.01)
    assert state.bulk_modulus == pytest.approx(relaxed.bulk_voigt, rel=0.02)


def test_thermal_expansion_of_copper():
    """Experiment: 5.0e-5 /K at 300 K; EMT lies near; the volume at 0 K exceeds the static one (zero-point)."""
    pytest.importorskip("phonopy")
    atoms = relax(bulk("Cu", a=3.6), EMT())
    found = thermal_expansion(atoms, EMT(), temperatures=range(0, 441, 40), supercell=(3, 3, 3), mesh=8)
    at_room = np.interp(300, found.temperatures, found.expansion)
    assert 3e-5 < at_room < 7e-5
    assert found.volumes[0] > atoms.get_volume()
    assert np.all(np.diff(found.volumes) > 0)
    assert np.isnan(found.gruneisen[0])
    assert np.interp(300, found.temperatures[1:], found.gruneisen[1:]) == pytest.approx(2.0, abs=0.4)  # measured


def test_constant_energy_dynamics(silicon, silicon_cell):
    """The drift vanishes, and the energy's fluctuation falls with the square of the time step."""
    atoms = silicon_cell * (2, 2, 2)
    spread = []
    for step in (2.0, 1.0):
        run = run_nve(atoms, NDDOCalculator(silicon), temperature=600, picoseconds=0.1, timestep=step, every=1)
        spread.append(np.std(run["energy"][5:]))
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.4)
    assert run["temperature"][0] == pytest.approx(600, rel=0.5)
    assert energy_drift(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.5, 2.0])) == pytest.approx(0.5)


def test_stress_of_the_calculator(silicon, silicon_cell):
    atoms = silicon_cell.copy()
    atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)
    atoms.calc = NDDOCalculator(silicon)
    h, energies = 1e-4, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell * (1 + sign * h), scale_atoms=True)
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    pressure = -(energies[0] - energies[1]) / (2 * h * 3 * atoms.get_volume())
    assert -atoms.get_stress()[:3].mean() == pytest.approx(pressure, rel=1e-5)
    assert pressure / units.GPa < 0


def test_molecules_are_refused():
    with pytest.raises(InputError, match="periodic in three directions"):
        elastic_constants(Atoms("H"), EMT())
    with pytest.raises(InputError, match="at least 5 points"):
        equation_of_state(bulk("Cu"), EMT(), points=3)
