"""Newton minimisation of the field's energy, stability of its solutions and the search for lower ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from engines import torch_alone
from torch import Tensor

from nddo_ml import NDDO, SCFConvergenceError, Systems
from nddo_ml.methods.occupation import occupations
from nddo_ml.scf import search
from nddo_ml.scf.density import diagonalize, initial_density, shuffle_frontier
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import Iterate, SCFOptions, at_orbitals, iterate, start
from nddo_ml.scf.newton import lowest_curvature, minimize, rotated
from nddo_ml.units import EV_KCAL_MOL


def displaced(name: str, seed: int, deviation: float = 0.3) -> Atoms:
    """A molecule with normally distributed displacements, in Å."""
    atoms = molecule(name)
    atoms.positions += deviation * np.random.default_rng(seed).standard_normal(atoms.positions.shape)
    return atoms


def ion_pair(distance: float) -> Atoms:
    """NH4+ and Cl−, nitrogen and chlorine ``distance`` Å apart."""
    bond = 1.02 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    return Atoms("NH4Cl", [[0.0, 0.0, 0.0], *bond, [0.0, 0.0, distance]])


# the accelerated loop alone does not solve these
HARD = (displaced("CH3COCH3", 16), displaced("CH3COCH3", 26), displaced("C6H6", 2))


def at_start(frames: list[Atoms], spins: int) -> tuple[FockBuilder, Iterate, Tensor]:
    systems = Systems.from_ase(frames)
    model = NDDO("AM1")
    with torch.no_grad():
        field = model.hamiltonian(systems)
    builder = FockBuilder.from_integrals(field.integrals)
    n_occupied = occupations(systems, model.method)[:, :spins]
    density = initial_density(builder.layout, field.parameters.shell_populations, n_occupied)
    return builder, start(builder, density, n_occupied, 1, 1.5), n_occupied


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("uhf", [False, True])
def test_what_the_accelerated_loop_leaves_is_solved(uhf: bool) -> None:
    systems = Systems.from_ase(list(HARD))
    with pytest.raises(SCFConvergenceError):
        NDDO("AM1", scf=SCFOptions(max_descent=0, probe=False))(systems)
    solved = NDDO("AM1", uhf=uhf)(systems)
    assert float(solved.scf.residual.max()) < 1e-6
    one_by_one = torch.cat([NDDO("AM1", uhf=uhf)(Systems.from_ase(a)).energy for a in HARD])
    assert torch.allclose(one_by_one, solved.energy, atol=1e-8, rtol=0)


def test_a_round_that_finds_a_lower_solution_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch, whose iterations tell: stretched ethane beside a radical whose first solution is the lowest."""
    frames = [molecule("C2H6"), molecule("CH3CO")]
    frames[0].positions *= 2
    systems = Systems.from_ase(frames)
    with torch_alone():
        first = NDDO("AM1", uhf=True, scf=SCFOptions(solution="first"))(systems)
        whole = NDDO("AM1", uhf=True)(systems)
        monkeypatch.setattr(search, "ROUNDS", 1)
        once = NDDO("AM1", uhf=True)(systems)
    assert (once.energy < first.energy - 1e-3).tolist() == [True, False]
    assert (whole.scf.iterations > once.scf.iterations).tolist() == [True, False]


def test_the_search_goes_on_while_it_finds_lower_solutions() -> None:
    """By the core: stretched acetonitrile: one round leaves some of these copies a tenth of an eV or more too high."""
    frames = [molecule("CH3CN") for _ in range(6)]
    for seed, frame in enumerate(frames):
        frame.positions *= 1.6
        frame.rattle(1e-5, seed=seed)
    energy = NDDO("AM1", uhf=True)(Systems.from_ase(frames)).energy
    assert float((energy - energy.median()).abs().max()) < 0.01


@pytest.mark.parametrize("spins", [1, 2])
def test_newton_steps_lower_the_energy_and_end_quadratically(spins: int) -> None:
    builder, state, n_occupied = at_start(list(HARD), spins)
    one_step = SCFOptions(tolerance=1e-9, max_descent=1)
    states = [state]
    while float(states[-1].residual.max()) > 1e-9:
        states.append(minimize(builder, states[-1], n_occupied, one_step))
        assert len(states) < 60
    assert float(torch.stack([s.energy for s in states]).diff(dim=0).max()) < 1e-8
    size = torch.stack([s.residual for s in states])
    late = (size[:-1] < 1e-3) & (size[:-1] > 1e-6)
    assert bool(late.any())
    assert float((size[1:] / size[:-1])[late].max()) < 0.05


def test_a_newton_step_that_would_raise_the_energy_is_not_taken() -> None:
    """From shuffled orbitals, where the energy is far from its second order."""
    builder, state, n_occupied = at_start([molecule("ClF3")], 2)
    energies, orbitals = diagonalize(state.fock, builder.layout.real_rows)
    shuffled = shuffle_frontier(orbitals, n_occupied, builder.layout.n_orbitals, 8, 0)
    states = [at_orbitals(builder, shuffled, energies, n_occupied, state)]
    for _ in range(12):
        states.append(minimize(builder, states[-1], n_occupied, SCFOptions(max_descent=1)))
    change = torch.cat([s.energy for s in states]).diff()
    left = torch.cat([s.residual for s in states[:-1]]) > 1e-2
    assert bool(((change == 0) & left).any())  # a step was tried and not taken
    assert float(change.max()) < 1e-8


def test_newton_finds_what_the_accelerated_loop_finds() -> None:
    builder, state, n_occupied = at_start([molecule(name) for name in ("CH4", "C6H6", "CH3CONH2")], 1)
    options = SCFOptions()
    newton, accelerated = (f(builder, state, n_occupied, options) for f in (minimize, iterate))
    assert float((newton.energy - accelerated.energy).abs().max()) < 1e-9
    given_up = minimize(builder, state, n_occupied, options, newton.energy - 1.0)
    assert float(given_up.residual.min()) > options.tolerance


@pytest.mark.parametrize("spins", [1, 2])
def test_lowest_curvature_is_the_lowest_eigenvalue_of_second_differences(spins: int) -> None:
    """A dense Hessian from energies of rotated orbitals; HF beside stretched H2, in UHF a saddle."""
    builder, state, n_occupied = at_start([molecule("HF"), Atoms("H2", [[0, 0, 0], [0, 0, 2.5]])], spins)
    state = iterate(builder, state, n_occupied, SCFOptions(tolerance=1e-9))
    value, vector, ref = lowest_curvature(builder, state, n_occupied)
    unit = torch.eye(vector[0].numel(), dtype=torch.float64).view(-1, *vector.shape[1:])
    step = 0.01

    def energy(x: Tensor) -> Tensor:
        return rotated(builder, state, ref, x.expand_as(vector).contiguous()).energy / (4 / spins)

    n = unit.shape[0]
    hessian = torch.zeros(2, n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(i + 1):
            plus, minus = step * (unit[i] + unit[j]), step * (unit[i] - unit[j])
            mixed = energy(plus) + energy(-plus) - energy(minus) - energy(-minus)
            hessian[:, i, j] = hessian[:, j, i] = mixed / (4 * step**2)
    present = torch.isfinite(ref.gap).flatten(1)
    for k in range(2):
        dense = torch.linalg.eigvalsh(hessian[k][present[k]][:, present[k]])[0]
        assert float(value[k]) == pytest.approx(float(dense), abs=0.02)
    assert torch.allclose(vector.flatten(1).norm(dim=1), torch.ones(2, dtype=torch.float64))
    assert float(value[0]) > 1
    assert (float(value[1]) < 0) == (spins == 2)


@pytest.mark.usefixtures("engine")
def test_closed_shell_of_separated_ions_moves_a_part_of_an_electron() -> None:
    """From NH4+ … Cl− at 10 Å a closed shell goes down in energy by a part of an electron, as in MOPAC."""
    frames = [ion_pair(10.0), ion_pair(3.5)]
    turned = ion_pair(10.0)
    turned.rotate(50.0, (1.0, 2.0, 3.0))
    first = NDDO("PM3", scf=SCFOptions(probe=False))(Systems.from_ase([*frames, turned]))
    tight = SCFOptions(tolerance=1e-8)  # the energy hardly depends on that part
    lowest = NDDO("PM3", scf=tight)(Systems.from_ase([*frames, turned]))
    gain = (first.energy - lowest.energy) * EV_KCAL_MOL
    assert 0.3 < float(gain[0]) < 3
    assert float(gain[1]) == pytest.approx(0.0, abs=1e-6)
    assert float(lowest.energy[2]) == pytest.approx(float(lowest.energy[0]), abs=1e-7)
    assert abs(float(lowest.charges[5])) < abs(float(first.charges[5])) - 0.01


def test_shuffled_orbitals_are_orthonormal_and_stay_in_their_window() -> None:
    builder, state, n_occupied = at_start([molecule("C6H6"), molecule("H2"), Atoms("H")], 1)
    n_orbitals = builder.layout.n_orbitals
    energies, orbitals = diagonalize(state.fock, builder.layout.real_rows)
    shuffled = shuffle_frontier(orbitals, n_occupied, n_orbitals, 3, 7)
    unit = torch.eye(orbitals.shape[2], dtype=torch.float64)
    assert torch.allclose(shuffled.transpose(2, 3) @ shuffled, unit.expand_as(shuffled), atol=1e-12)
    outside = [k for k in range(orbitals.shape[2]) if not 12 <= k < 18]
    assert torch.equal(shuffled[0, 0][:, outside], orbitals[0, 0][:, outside])
    assert not torch.allclose(shuffled[0, 0][:, 14], orbitals[0, 0][:, 14], atol=0.1)
    assert torch.equal(shuffled[2], orbitals[2])  # one orbital
    again = shuffle_frontier(orbitals[1:2], n_occupied[1:2], n_orbitals[1:2], 3, 7)
    assert torch.allclose(again, shuffled[1:2])  # whatever the batch
    trial = at_orbitals(builder, shuffled, energies, n_occupied, state)
    assert float((trial.density @ trial.density - trial.density).abs().max()) < 1e-12


def test_single_precision() -> None:
    systems = Systems.from_ase(list(HARD))
    exact = NDDO("AM1")(systems).energy
    single = NDDO("AM1", scf=SCFOptions(tolerance=2e-3))(systems.to(dtype=torch.float32)).energy
    assert single.dtype == torch.float32
    assert np.allclose(single.numpy(), exact.numpy(), rtol=1e-5)


@pytest.mark.usefixtures("engine")
def test_whether_a_small_molecule_is_searched_depends_neither_on_orientation_nor_on_company() -> None:
    """Be2's first solution has equal orbitals, whose diagonal gap depends on which of them the reference has."""
    alone = NDDO("AM1")(Systems.from_ase(Atoms("Be2", [(0, 0, 0), (1.92, 0, 0)]))).energy
    for turn in range(8):
        atoms = Atoms("Be2", [(0, 0, 0), (1.92, 0, 0)])
        atoms.rotate(37 * turn + 5, (1, 0.3, turn))
        energy = NDDO("AM1")(Systems.from_ase([atoms, molecule("C6H6")])).energy
        assert float(energy[0]) == pytest.approx(float(alone[0]), abs=1e-6)
