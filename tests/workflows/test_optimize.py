"""Batched geometry optimisation on a cheap model: minima, bookkeeping, failures; and the model Hessian."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import read
from fake_model import MorseModel

from nddo_ml import NDDO, InputError, SCFConvergenceError, Systems
from nddo_ml.workflows.model_hessian import model_hessian
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.restraints import Restraints

NAMES = ["H2O", "CH4", "C2H2", "N2", "CO2", "H"]


def batch(names=NAMES, rattle=0.05) -> Systems:
    frames = [molecule(name) for name in names]
    for k, frame in enumerate(frames):
        frame.rattle(rattle, seed=k)
    return Systems.from_ase(frames)


def test_every_system_reaches_a_minimum():
    result = optimize(batch(), MorseModel(), fmax=1e-3)
    assert result.converged.all()
    largest = torch.stack([f.norm(dim=1).max() for f in _by_system(result.systems, result.prediction.forces)])
    assert (largest <= 1e-3).all()
    assert result.steps[-1] == 0  # an atom has no forces
    # a Morse diatomic: its depth, at the sum of the radii
    assert float(result.prediction.energy[3]) == pytest.approx(-4.0, abs=1e-6)
    x = result.systems.positions[result.systems.system_idx == 3]
    assert float((x[1] - x[0]).norm()) == pytest.approx(1.42, abs=1e-3)


def test_batch_equals_single_runs():
    systems = batch()
    together = optimize(systems, MorseModel(), fmax=0.01)
    for k in range(systems.n_systems):
        alone = optimize(systems.select(torch.tensor([k])), MorseModel(), fmax=0.01)
        assert int(alone.steps) == int(together.steps[k])
        moved = together.systems.positions[systems.system_idx == k]
        torch.testing.assert_close(alone.systems.positions, moved, atol=1e-9, rtol=0)


def test_atom_order_does_not_matter():
    systems = batch(["CH4", "H2O"])
    order = torch.tensor([5, 0, 6, 1, 7, 2, 3, 4])  # atoms of both systems mixed
    mixed = Systems.build(systems.numbers[order], systems.positions[order], systems.system_idx[order])
    a, b = optimize(systems, MorseModel(), fmax=0.01), optimize(mixed, MorseModel(), fmax=0.01)
    torch.testing.assert_close(a.systems.positions[order], b.systems.positions, atol=1e-9, rtol=0)


def test_rotated_molecules_take_the_same_path():
    systems = batch(["CH4"])
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(0), dtype=torch.float64))[0]
    turned = systems.with_positions(systems.positions @ rotation)
    a, b = optimize(systems, MorseModel(), fmax=0.01), optimize(turned, MorseModel(), fmax=0.01)
    assert int(a.steps) == int(b.steps)
    torch.testing.assert_close(a.systems.positions @ rotation, b.systems.positions, atol=1e-8, rtol=0)


def test_finished_systems_leave_the_batch():
    model = MorseModel()
    optimize(batch(), model, fmax=0.01)
    sizes = model.calls[:-1]  # the last call is the final prediction
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == len(NAMES)
    assert sizes[-1] < len(NAMES) - 1
    assert all(model.starts[1:])


def test_step_limit_says_what_is_not_converged():
    result = optimize(batch(["CH4", "H"]), MorseModel(), fmax=1e-6, max_steps=2)
    assert result.converged.tolist() == [False, True]
    assert result.steps.tolist() == [2, 0]


def test_trajectories_hold_the_accepted_steps(tmp_path):
    result = optimize(batch(["CH4", "N2"]), MorseModel(), fmax=0.01, trajectory=True)
    for k, path in enumerate(result.trajectories):
        energies = [frame.get_potential_energy() for frame in path]
        assert energies == sorted(energies, reverse=True)
        assert np.linalg.norm(path[-1].get_forces(), axis=1).max() <= 0.01
        expected = result.systems.positions[result.systems.system_idx == k].numpy()
        np.testing.assert_allclose(path[-1].positions, expected, atol=1e-12)
    result.trajectories[0][0].write(tmp_path / "t.xyz")
    assert read(tmp_path / "t.xyz").get_potential_energy() == pytest.approx(
        result.trajectories[0][0].get_potential_energy()
    )


def nitrogen_fails_in(calls):
    """The systems with nitrogen do not converge in these calls."""

    def failing(call: int, systems: Systems) -> list[int]:
        return systems.system_idx[systems.numbers == 7].unique().tolist() if call in calls else []

    return failing


def test_failed_scf_takes_the_step_back():
    systems = batch(["H2O", "N2"], rattle=0.1)
    healthy = optimize(systems, MorseModel(), fmax=1e-3)
    model = MorseModel(failing=nitrogen_fails_in({2, 4}))
    result = optimize(systems, model, fmax=1e-3, trajectory=True)
    assert model.calls[1:4] == [2, 1, 2]  # N2 fails in the first step, water goes on, both try the next
    assert result.converged.all()
    assert int(result.steps[1]) > int(healthy.steps[1])
    torch.testing.assert_close(result.prediction.energy, healthy.prediction.energy, atol=1e-6, rtol=0)


def test_a_system_whose_scf_always_fails_is_given_up():
    systems = batch(["H2O", "N2"], rattle=0.1)
    length = float((systems.positions[3] - systems.positions[4]).norm())

    def failing(call: int, trial: Systems) -> list[int]:
        """Nitrogen converges at its starting geometry only."""
        nitrogen = torch.nonzero(trial.numbers == 7).squeeze(1)
        if not nitrogen.numel() or abs(torch.dist(*trial.positions[nitrogen]) - length) < 1e-9:
            return []
        return [int(trial.system_idx[nitrogen[0]])]

    result = optimize(systems, MorseModel(failing=failing), fmax=1e-3)
    assert result.converged.tolist() == [True, False]
    assert int(result.steps[1]) < 12
    start = systems.positions[systems.system_idx == 1]
    torch.testing.assert_close(result.systems.positions[systems.system_idx == 1], start)


def test_scf_failure_at_the_start_names_the_system():
    with pytest.raises(SCFConvergenceError) as failure:
        optimize(batch(["N2", "H2O"], rattle=0.0), MorseModel(failing=nitrogen_fails_in({1})))
    assert failure.value.systems == [0]


@pytest.mark.parametrize("options", [{"fmax": 0.0}, {"fmax": float("nan")}, {"max_steps": 0}])
def test_impossible_options(options):
    with pytest.raises(InputError, match=next(iter(options))):
        optimize(batch(["N2"]), MorseModel(), **options)


def _by_system(systems: Systems, values: torch.Tensor) -> list[torch.Tensor]:
    return [values[systems.system_idx == k] for k in range(systems.n_systems)]


def _hessian(systems: Systems) -> torch.Tensor:
    size = int(systems.atoms_per_system.max())
    slot = torch.cat([torch.arange(n) for n in systems.atoms_per_system.tolist()])
    return model_hessian(systems, slot, size)


def test_model_hessian_is_symmetric_and_positive():
    hessian = _hessian(batch())
    torch.testing.assert_close(hessian, hessian.transpose(1, 2))
    assert (torch.linalg.eigvalsh(hessian) > 1.0).all()


def test_model_hessian_turns_with_the_molecule():
    systems = batch(["CH4"])
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(1), dtype=torch.float64))[0]
    turned = _hessian(systems.with_positions(systems.positions @ rotation))
    big = torch.block_diag(*[rotation] * 5)
    torch.testing.assert_close(turned[0], big.T @ _hessian(systems)[0] @ big, atol=1e-9, rtol=0)


def test_model_hessian_of_a_straight_molecule_bends_alike_in_both_directions():
    systems = Systems.from_ase(molecule("CO2"))
    hessian = _hessian(systems)[0]
    bend = torch.zeros(3, 3, 3, dtype=torch.float64)  # direction, atom, component
    for direction in range(2):
        bend[direction, :, direction] = torch.tensor([2.0, -1.0, -1.0])
    energy = torch.einsum("dac,aceb,deb->d", bend, hessian.reshape(3, 3, 3, 3), bend)
    assert float(energy[0]) == pytest.approx(float(energy[1]), rel=1e-9)
    assert float(energy[0]) > 20.0


def test_a_jump_of_the_method_does_not_hold_a_relaxation() -> None:
    """PM7's energy rises by 0.02 eV on the way, where no force tells of it: the forces at both sides judge the step."""
    start = Systems.from_ase(read(Path(__file__).parents[1] / "data" / "pm7_jump.xyz"))
    assert bool(optimize(start, NDDO("PM7")).converged)


def test_restraints_hold_distances_and_their_gradient_is_that_of_their_energy() -> None:
    """Water's H···H at 1.8 Å and, in the same batch, ammonia's N–H at 1.2 and 1.1 Å; forces by finite differences."""
    held = Restraints.of([[(1, 2)], [(0, 1), (0, 2)]], [[1.8], [1.2, 1.1]])
    both = Systems.from_ase([molecule("H2O"), molecule("NH3")])
    found = optimize(both, NDDO("AM1"), fmax=0.01, restraints=held)
    assert bool(found.converged.all())
    water, ammonia = found.systems.to_ase()
    assert water.get_distance(1, 2) == pytest.approx(1.7, abs=0.05)  # 1.51 Å where nothing is held
    longest, middle, shortest = ammonia.get_distances(0, [1, 2, 3])
    assert longest > middle + 0.03 > shortest + 0.05
    held_water = held.select(torch.tensor([0])).energy_and_gradient(found.systems.positions[:3].reshape(1, 9))[1]
    assert found.prediction.forces[:3].reshape(1, 9).tolist()[0] == pytest.approx(held_water[0].tolist(), abs=0.01)
    x = torch.randn(2, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradient = held.energy_and_gradient(x)[1]
    for k in range(12):
        step = 1e-5 * torch.nn.functional.one_hot(torch.tensor(k), 12)
        up, down = (held.energy_and_gradient(x + s * step)[0] for s in (1, -1))
        assert ((up - down) / 2e-5).tolist() == pytest.approx(gradient[:, k].tolist(), abs=1e-5)
