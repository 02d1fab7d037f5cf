"""Molecular dynamics: energy, momentum and temperature, and that a path goes on as it would have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import units
from ase.build import molecule
from ase.constraints import FixAtoms
from ase.md.verlet import VelocityVerlet
from fake_model import MorseModel

from nddo_ml import NDDO, InputError, NDDOCalculator, Systems
from nddo_ml.workflows.dynamics import Motion, degrees_of_freedom, first_state, kinetic_energy, run
from nddo_ml.workflows.optimize import optimize


def relaxed(*names: str) -> Systems:
    """Molecules at minima of the cheap model."""
    return optimize(Systems.from_ase([molecule(n) for n in names]), MorseModel(), fmax=0.01).systems


def streams(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def test_path_is_that_of_ase() -> None:
    atoms, model, motion = molecule("CH3OH"), NDDO("AM1"), Motion(0.5, 300.0, seed=3)
    systems = Systems.from_ase(atoms)
    state = first_state(systems, motion, streams(0))
    atoms.set_velocities(state.velocities.numpy() / units.fs)
    atoms.calc = NDDOCalculator(model)
    VelocityVerlet(atoms, 0.5 * units.fs).run(20)
    end, samples = run(systems, model, motion, state, streams(0), 20, 5)
    np.testing.assert_allclose(end.positions.numpy(), atoms.positions, atol=1e-6)
    assert [s.step for s in samples] == [0, 5, 10, 15, 20]
    assert float(samples[-1].kinetic[0]) == pytest.approx(atoms.get_kinetic_energy(), abs=1e-6)


def test_energy_and_momentum_stay() -> None:
    systems, motion = relaxed("CH3OH", "H2O"), Motion(0.25, 300.0)
    state = first_state(systems, motion, streams(0, 0))
    end, samples = run(systems, MorseModel(), motion, state, streams(0, 0), 200, 10)
    total = torch.stack([s.potential + s.kinetic for s in samples])
    assert float((total - total[0]).abs().max()) < 5e-3
    masses = torch.as_tensor(np.concatenate([molecule(n).get_masses() for n in ("CH3OH", "H2O")]))
    assert float((masses[:6, None] * end.velocities[:6]).sum(0).abs().max()) < 1e-12


@pytest.mark.parametrize("friction", [0.0, 20.0])
def test_a_path_in_two_parts_is_the_path(friction: float) -> None:
    systems, motion, model = Systems.from_ase(molecule("CH3OH")), Motion(0.5, 300.0, friction, seed=1), MorseModel()
    start = first_state(systems, motion, streams(2))
    whole, _ = run(systems, model, motion, start, streams(2), 60, 10)
    half, _ = run(systems, model, motion, start, streams(2), 30, 10)
    rest, _ = run(systems, model, motion, half, streams(2), 30, 10)
    assert torch.equal(whole.positions, rest.positions)
    assert torch.equal(whole.velocities, rest.velocities)
    assert rest.step == 60


def test_a_replica_does_not_depend_on_its_batch() -> None:
    systems, motion, model = Systems.from_ase(molecule("CH3OH")), Motion(0.5, 300.0, 10.0), MorseModel()
    both = Systems.from_ase([molecule("H2O"), molecule("CH3OH")])
    alone, _ = run(systems, model, motion, first_state(systems, motion, streams(4)), streams(4), 20, 10)
    many, _ = run(both, model, motion, first_state(both, motion, streams(1, 4)), streams(1, 4), 20, 10)
    torch.testing.assert_close(alone.positions, many.positions[3:], rtol=0, atol=1e-10)


def test_heat_bath_has_its_temperature() -> None:
    systems = relaxed("CH3OH").select(torch.zeros(20, dtype=torch.int64))
    motion, stream = Motion(0.5, 400.0, 50.0), torch.arange(20)
    _, samples = run(systems, MorseModel(), motion, first_state(systems, motion, stream), stream, 200, 5)
    kinetic = torch.stack([s.kinetic for s in samples[10:]]).mean()
    temperature = 2 * float(kinetic) / (units.kB * float(degrees_of_freedom(systems, motion)[0]))
    assert temperature == pytest.approx(400.0, rel=0.1)


def test_first_velocities_are_maxwells() -> None:
    systems, motion = Systems.from_ase([molecule("CH3OH")] * 300), Motion(0.5, 500.0)
    state = first_state(systems, motion, torch.arange(300))
    temperature = 2 * kinetic_energy(systems, state.velocities).mean() / (units.kB * 15)
    assert float(temperature) == pytest.approx(500.0, rel=0.04)


def test_fixed_atoms_stay_and_failed_ones_stop() -> None:
    atoms = molecule("CH3OH")
    atoms.set_constraint(FixAtoms([0, 1]))
    systems, motion = Systems.from_ase(atoms), Motion(0.5, 300.0, 10.0)
    end, _ = run(systems, MorseModel(), motion, first_state(systems, motion, streams(0)), streams(0), 10, 10)
    assert torch.equal(end.positions[:2], systems.positions[:2])
    assert not torch.equal(end.positions[2:], systems.positions[2:])


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(InputError, match="positive time step"):
        Motion(0.0, 300.0)
