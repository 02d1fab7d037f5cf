"""What is done with models in surroundings: relaxations, second derivatives, solutions, ASE."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.qmmm import EIQMMM, LJInteractions
from ase.calculators.tip3p import TIP3P, epsilon0, sigma0
from ase.constraints import FixAtoms
from scipy.spatial.transform import Rotation

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.environments.charges import PointCharges
from nddo_ml.environments.field import UniformField
from nddo_ml.environments.together import Together
from nddo_ml.scf.solve import SCFOptions
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.response import hessian, polarizability, vibrations

TIGHT = SCFOptions(tolerance=1e-10)
CHARGES = PointCharges.of([-0.8, 0.5, 0.4], [[2.9, 0.2, 0.4], [3.4, 1.4, -0.9], [-3.0, 0.5, -2.0]], radius=[0, 0.3, 0])
BOTH = Together.of([UniformField.of((0.1, -0.2, 0.3)), CHARGES])


def water(seed: int = 1) -> Systems:
    atoms = molecule("H2O")
    atoms.rattle(0.05, seed=seed)
    return Systems.from_ase(atoms)


@pytest.mark.parametrize("method", ["AM1", "PM7"])
def test_the_sum_of_surroundings(method: str) -> None:
    """Every system of a batch has both; forces are derivatives on both sides."""
    model = NDDO(method, scf=TIGHT)
    frames = [molecule("H2O"), molecule("CH3OH"), molecule("H2O")]
    together = model(frames, forces=True, environment=BOTH)
    for k, atoms in enumerate(frames):
        alone = model(atoms, forces=True, environment=BOTH)
        assert float(together.energy[k]) == pytest.approx(float(alone.energy[0]), abs=1e-9)
        assert torch.allclose(together.environment_forces[3 * k : 3 * k + 3], alone.environment_forces, atol=1e-7)
    step, shift = 1e-4, torch.zeros_like(CHARGES.positions)
    shift[1, 2] = step
    moved = [BOTH.with_positions(CHARGES.positions + s * shift) for s in (1, -1)]
    up, down = (float(model(frames[1], environment=e).energy[0]) for e in moved)
    assert float(together.environment_forces[4, 2]) == pytest.approx((down - up) / (2 * step), abs=1e-6)


def test_turning_everything_turns_the_forces() -> None:
    turn = torch.as_tensor(Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix())
    model, systems = NDDO("PM7", scf=TIGHT), water()
    field = UniformField(BOTH.parts[0].field @ turn.T)
    turned = Together.of([field, CHARGES.with_positions(CHARGES.positions @ turn.T)])
    one = model(systems, forces=True, environment=BOTH)
    two = model(systems.with_positions(systems.positions @ turn.T), forces=True, environment=turned)
    assert float(two.energy[0]) == pytest.approx(float(one.energy[0]), abs=1e-9)
    assert torch.allclose(two.forces, one.forces @ turn.T, atol=1e-6)
    assert torch.allclose(two.environment_forces, one.environment_forces @ turn.T, atol=1e-6)


@pytest.mark.parametrize(("name", "method"), [("H2O", "PM7"), ("SO2", "PM6"), ("CH3", "AM1")])
def test_polarizability_is_the_derivative_of_the_dipole_by_the_field(name: str, method: str) -> None:
    model, systems, step = NDDO(method, scf=TIGHT), Systems.from_ase(molecule(name)), 2e-3
    analytic = polarizability(model, systems)[0] / (HARTREE_EV * BOHR_ANGSTROM)  # Å³ -> e·Å/(V/Å)
    for axis in range(3):
        push = step * torch.eye(3, dtype=torch.float64)[axis]
        up, down = (model(systems, environment=UniformField(s * push)).dipole[0] for s in (1, -1))
        assert torch.allclose((up - down) / (2 * step), analytic[:, axis], atol=2e-5)


@pytest.mark.parametrize("environment", [BOTH.parts[0], CHARGES, BOTH])
def test_hessian_in_surroundings(environment) -> None:
    model, systems, step = NDDO("AM1", scf=TIGHT, environment=environment), water(), 1e-4
    analytic = hessian(model, systems)
    for atom, axis in ((0, 1), (2, 2)):
        shift = torch.zeros_like(systems.positions)
        shift[atom, axis] = step
        up, down = (model(systems.with_positions(systems.positions + s * shift), forces=True).forces for s in (1, -1))
        numeric = -((up - down) / (2 * step)).flatten()
        assert torch.allclose(analytic[3 * atom + axis], numeric, atol=2e-4)


def test_vibrations_have_the_motions_that_surroundings_leave_free() -> None:
    """Among charges a molecule rattles as a whole: 9 frequencies of water; in a field it turns: 6; alone 3."""
    counts = {}
    for name, environment in (("alone", None), ("field", BOTH.parts[0]), ("charges", CHARGES)):
        model = NDDO("AM1", environment=environment)
        counts[name] = len(vibrations(model, water()).frequencies)
    assert counts == {"alone": 3, "field": 6, "charges": 9}


def test_relaxation_of_a_batch_each_in_its_own_surroundings() -> None:
    model, frames = NDDO("AM1"), [molecule("H2O"), molecule("NH3")]
    for atoms in frames:
        atoms.set_constraint(FixAtoms([0]))  # or the molecules would fall onto the charges, which repel nothing
    each = PointCharges.of([0.6, -0.6], [[0, 0, -3.2], [0, 0, 3.4]], [0, 1])
    together = optimize(Systems.from_ase(frames), model, fmax=0.01, environment=each)
    assert bool(together.converged.all())
    for k, atoms in enumerate(frames):
        own = PointCharges.of(each.charges[k : k + 1], each.positions[k : k + 1])
        alone = optimize(Systems.from_ase(atoms), model, fmax=0.01, environment=own)
        energy = float(together.prediction.energy[k])
        assert energy == pytest.approx(float(alone.prediction.energy[0]), abs=1e-5)
        assert energy < float(model(atoms, environment=own).energy[0]) - 1e-4


@pytest.mark.parametrize("solution", ["first", "mopac"])
def test_other_solutions_in_surroundings(solution: str) -> None:
    model = NDDO("AM1", environment=BOTH)
    lowest = float(model(molecule("O2")).energy[0])
    model.seek(solution)
    assert float(model(molecule("O2")).energy[0]) == pytest.approx(lowest, abs=1e-6)


def test_calculator_in_surroundings() -> None:
    """A constant environment, one that follows the atoms, and one that is changed between two calls."""
    atoms, model = molecule("CH3OH"), NDDO("AM1")
    expected = float(model(atoms, environment=CHARGES).energy[0])
    atoms.calc = NDDOCalculator(model, environment=CHARGES)
    assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-7)
    assert atoms.calc.results["environment_forces"].shape == (3, 3)
    atoms.calc.environment = None
    assert atoms.get_potential_energy() == pytest.approx(float(model(atoms).energy[0]), abs=1e-7)
    atoms.calc.environment = lambda a: UniformField.of(a.info["field"])
    for field in ((0.2, 0, 0), (0, 0.2, 0)):
        atoms.info["field"] = field
        expected = float(model(atoms, environment=UniformField.of(field)).energy[0])
        assert atoms.get_potential_energy() == pytest.approx(expected, abs=1e-7)


def droplet() -> Atoms:
    """A methanol molecule and three of water around it, far enough for all to count."""
    solute, solvent = molecule("CH3OH"), molecule("H2O")[[0, 1, 2]]
    atoms = solute.copy()
    for k, at in enumerate(([3.2, 0.4, 0.3], [-2.9, 1.1, 0.8], [0.3, -3.3, 0.6])):
        one = solvent.copy()
        one.rotate(50 * (k + 1), (1, 1, k))
        one.positions += at - one.positions[0]
        atoms += one
    return atoms


def test_qm_mm_forces_are_derivatives() -> None:
    """Of ASE's EIQMMM: the solute by a method, TIP3P water, both polarised, on both sides."""
    atoms, solute = droplet(), range(6)
    contact = LJInteractions({("O", "O"): (epsilon0, sigma0), ("C", "O"): (0.005, 3.3)})
    calculator = NDDOCalculator(NDDO("PM7", scf=TIGHT))
    atoms.calc = EIQMMM(solute, calculator, TIP3P(rc=20.0), contact)
    forces = atoms.get_forces()
    step = 1e-4
    for atom, axis in ((1, 0), (4, 2), (6, 1), (8, 0), (13, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = EIQMMM(solute, NDDOCalculator(NDDO("PM7", scf=TIGHT)), TIP3P(rc=20.0), contact)
            moved.positions[atom, axis] += sign * step
            energies.append(moved.get_potential_energy())
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=2e-5)
    assert np.abs(forces.sum(axis=0)).max() < 1e-6


def test_vacuum_around_nothing() -> None:
    with pytest.raises(InputError, match="at least one environment"):
        Together.of([])


def test_charges_in_two_parts_are_those_in_one() -> None:
    at, q = torch.tensor([[0.5, 2.8, 0.3], [-3.0, 0.2, 1.1]], dtype=torch.float64), torch.tensor([0.7, -0.4])
    one = PointCharges.of(q.double(), at)
    two = Together.of([PointCharges.of(q[k : k + 1].double(), at[k : k + 1]) for k in range(2)])
    found = [NDDO("AM1", scf=TIGHT)(molecule("H2O"), forces=True, environment=around) for around in (one, two)]
    torch.testing.assert_close(found[1].energy, found[0].energy, rtol=0, atol=1e-9)
    torch.testing.assert_close(found[1].forces, found[0].forces, rtol=0, atol=1e-7)
    torch.testing.assert_close(found[1].environment_forces, found[0].environment_forces, rtol=0, atol=1e-7)
