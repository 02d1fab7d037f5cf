"""NDDOCalculator on a cheap model: results, bookkeeping, and the programs that drive ASE calculators."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE
from ase.vibrations import Vibrations
from fake_model import MorseModel

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.workflows.calculator import NDDOCalculator


def water(calculator: NDDOCalculator | None = None) -> Atoms:
    atoms = molecule("H2O")
    atoms.calc = calculator or NDDOCalculator(MorseModel())
    return atoms


def assert_am1_minimum(atoms: Atoms) -> None:
    """AM1 water: 0.961 Å, 103.5° (Dewar et al., J. Am. Chem. Soc. 107, 3902 (1985))."""
    assert atoms.get_distance(0, 1) == pytest.approx(0.961, abs=0.002)
    assert atoms.get_angle(1, 0, 2) == pytest.approx(103.5, abs=0.3)


def test_results_are_those_of_the_model():
    atoms = water()
    prediction = MorseModel()(Systems.from_ase(atoms), forces=True)
    assert atoms.get_potential_energy() == float(prediction.energy)
    np.testing.assert_array_equal(atoms.get_forces(), prediction.forces.numpy())
    assert atoms.get_charges().shape == (3,)
    assert atoms.get_dipole_moment().shape == (3,)


def test_energy_and_forces_are_one_calculation():
    model = MorseModel()
    atoms = water(NDDOCalculator(model))
    atoms.get_potential_energy()
    atoms.get_forces()
    assert len(model.calls) == 1
    atoms.rattle(0.01)
    atoms.get_forces()
    assert len(model.calls) == 2


def test_last_density_is_the_guess_of_the_same_molecule_only():
    model = MorseModel()
    calculator = NDDOCalculator(model)
    atoms = water(calculator)
    atoms.get_forces()
    atoms.rattle(0.01)
    atoms.get_forces()
    other = molecule("CH4")
    other.calc = calculator
    other.get_forces()
    assert model.starts == [False, True, False]


def test_charge_and_multiplicity_come_from_arguments_or_info():
    seen = []

    class Recorder(MorseModel):
        def forward(self, systems, request):
            seen.append((int(systems.charge), int(systems.multiplicity)))
            return super().forward(systems, request)

    atoms = water(NDDOCalculator(Recorder(), charge=1, multiplicity=2))
    atoms.get_potential_energy()
    atoms.calc = NDDOCalculator(Recorder())
    atoms.get_potential_energy()
    atoms.info["charge"] = -1
    atoms.get_potential_energy()
    assert seen == [(1, 2), (0, 1), (-1, 2)]


@pytest.mark.parametrize("pbc", [True, [False, False, True]])
def test_periodic_cells_are_refused(pbc):
    atoms = water()
    atoms.set_cell([5, 5, 5])
    atoms.pbc = pbc
    with pytest.raises(InputError, match="pbc False in every direction"):
        atoms.get_potential_energy()


def test_unknown_elements_are_refused():
    atoms = molecule("SiH4")
    atoms.calc = NDDOCalculator(MorseModel())
    with pytest.raises(InputError, match="atom 0: Morse has no element Si"):
        atoms.get_forces()


def test_stress_is_not_offered_by_a_molecular_model():
    atoms = water()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


@pytest.mark.parametrize("optimizer", [BFGS, FIRE])
def test_ase_optimizers(optimizer):
    atoms = water(NDDOCalculator(NDDO("AM1")))
    with optimizer(atoms, logfile=None) as run:
        assert run.run(fmax=0.01, steps=300)
    assert_am1_minimum(atoms)


def test_ase_vibrations(tmp_path):
    atoms = molecule("N2")
    atoms.calc = NDDOCalculator(MorseModel(depth=4.0, width=1.5))
    with BFGS(atoms, logfile=None) as run:
        run.run(fmax=1e-4)
    vibrations = Vibrations(atoms, name=str(tmp_path / "vib"))
    vibrations.run()
    # harmonic frequency of the Morse oscillator: ω = a √(2 D / µ)
    mass = atoms.get_masses()[0] / 2
    expected = units._hbar * 1e10 / units._e * 1.5 * np.sqrt(2 * 4.0 * units._e / (mass * units._amu))
    assert vibrations.get_energies()[-1].real == pytest.approx(expected, rel=1e-3)


def test_ase_molecular_dynamics_conserves_energy():
    atoms = water(NDDOCalculator(NDDO("AM1")))
    atoms.set_distance(0, 1, 1.1, fix=0)
    total, kinetic = [], []
    with VelocityVerlet(atoms, timestep=0.1 * units.fs) as dynamics:
        dynamics.attach(lambda: total.append(atoms.get_total_energy()))
        dynamics.attach(lambda: kinetic.append(atoms.get_kinetic_energy()))
        dynamics.run(50)
    assert np.ptp(kinetic) > 0.02
    assert np.ptp(total) < 1e-3


def test_density_reuse_changes_nothing_but_the_work():
    atoms = water(NDDOCalculator(NDDO("AM1")))
    atoms.get_forces()
    atoms.rattle(0.01, seed=0)
    reused, fresh = atoms.get_forces(), water(NDDOCalculator(NDDO("AM1")))
    fresh.positions = atoms.positions
    np.testing.assert_allclose(reused, fresh.get_forces(), atol=1e-5)


def test_sella_finds_the_minimum(tmp_path):
    from sella import Sella

    atoms = water(NDDOCalculator(NDDO("AM1")))
    with Sella(atoms, order=0, internal=True, logfile=None, trajectory=str(tmp_path / "t.traj")) as run:
        assert run.run(fmax=0.01, steps=100)
    assert_am1_minimum(atoms)


def test_geometric_finds_the_minimum(tmp_path):
    from geometric.ase_engine import EngineASE
    from geometric.molecule import Molecule
    from geometric.optimize import run_optimizer

    atoms = water(NDDOCalculator(NDDO("AM1")))
    start = Molecule()
    start.elem = atoms.get_chemical_symbols()
    start.xyzs = [atoms.get_positions()]
    engine = EngineASE(start, atoms.calc)
    path = run_optimizer(customengine=engine, input=str(tmp_path / "input"), check=1, verbose=0)
    atoms.positions = path.xyzs[-1]
    assert_am1_minimum(atoms)


def test_a_misspelt_option_is_named():
    with pytest.raises(InputError, match="there is no option 'multplicity'"):
        NDDOCalculator("AM1", multplicity=3)
    assert NDDOCalculator("AM1", multiplicity=3, label="oxygen").label == "oxygen"
