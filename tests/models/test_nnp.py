"""The potential: derivatives, invariances, batches, committees, extrapolation, dtype."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from nnp_models import make_nnp
from scipy.spatial.transform import Rotation

from nddo_ml import InputError, Systems
from nddo_ml.models.extrapolation import ExtrapolationError


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(1)
    made = [molecule(name) for name in ("H2O", "CH3OH", "CO2", "C2H2")]
    small = bulk("C", "diamond", a=3.6)  # cell smaller than the cut-off: atoms neighbour their own images
    skewed = Atoms("CO", [[0, 0, 0], [1.2, 0.3, 0.1]], cell=[[2.4, 0, 0], [1.1, 2.9, 0], [0.3, 0.8, 3.0]], pbc=True)
    slab = Atoms("C2", [[0, 0, 0], [0.7, 0.7, 1.3]], cell=[2.5, 2.5, 12.0], pbc=(True, True, False))
    made += [small, skewed, slab]
    for f in made:
        f.rattle(0.05, rng=rng)
    return made


@pytest.fixture(scope="module")
def model(frames):
    return make_nnp(frames=frames, seed=3)


def test_forces_equal_finite_differences(model, frames):
    systems = Systems.from_ase(frames)
    forces = model(systems, forces=True).forces
    h = 1e-5
    for atom in (0, 5, 14, 16, 19):
        for axis in range(3):
            moved = []
            for sign in (1, -1):
                x = systems.positions.clone()
                x[atom, axis] += sign * h
                moved.append(model(systems.with_positions(x)).energy.sum())
            assert float(forces[atom, axis]) == pytest.approx(float(moved[1] - moved[0]) / (2 * h), abs=1e-6)


def test_stress_and_virials(model, frames):
    systems = Systems.from_ase([f for f in frames if f.pbc.any()])
    result = model(systems, forces=True, stress=True)
    volume = torch.linalg.det(systems.cell).abs()
    h = 1e-5
    numeric = torch.zeros_like(result.stress)
    for a in range(3):
        for b in range(3):
            energies = []
            for sign in (1, -1):
                strain = torch.eye(3, dtype=torch.float64)
                strain[a, b] += sign * h
                energies.append(model(systems.with_positions(systems.positions @ strain, systems.cell @ strain)).energy)
            numeric[:, a, b] = (energies[0] - energies[1]) / (2 * h) / volume
    torch.testing.assert_close(result.stress, numeric, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(result.stress, result.stress.mT, atol=1e-12, rtol=0)
    total = torch.zeros_like(result.stress).index_add(0, systems.system_idx, result.virials)
    torch.testing.assert_close(-total / volume[:, None, None], result.stress)


def test_per_atom_virials_give_the_heat_current(model):
    """``Σ r_i (dE_i/dt + F_i·v_i) = Σ W_j v_j`` of a molecule that moves; the transposes of W_j do not."""
    atoms = molecule("CH3OH")
    atoms.rattle(0.1, seed=4)
    atoms.set_cell([20.0, 20.0, 20.0])
    atoms.pbc = True  # for the stress, which needs a volume; no neighbour is an image
    systems = Systems.from_ase(atoms)
    velocity = torch.randn(len(atoms), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    result = model(systems, forces=True, stress=True)
    h = 1e-5
    ahead, behind = (model(systems.with_positions(systems.positions + s * h * velocity)) for s in (1, -1))
    power = (ahead.atomic_energies - behind.atomic_energies) / (2 * h) + (result.forces * velocity).sum(dim=1)
    current = (systems.positions * power[:, None]).sum(dim=0)
    torch.testing.assert_close(torch.einsum("jab,jb->a", result.virials, velocity), current, atol=1e-7, rtol=1e-6)


def test_invariance(model, frames):
    systems = Systems.from_ase(frames)
    first = model(systems, forces=True)
    rotation = torch.as_tensor(Rotation.from_euler("xyz", [0.3, 1.1, -0.7]).as_matrix())
    turned = model(systems.with_positions(systems.positions @ rotation.T + 0.7, systems.cell @ rotation.T), forces=True)
    torch.testing.assert_close(turned.energy, first.energy, atol=1e-10, rtol=0)
    torch.testing.assert_close(turned.forces, first.forces @ rotation.T, atol=1e-9, rtol=0)
    moved = systems.positions.clone()
    last = systems.n_systems - 2
    moved[systems.system_idx == last] += systems.cell[last, 1]
    torch.testing.assert_close(model(systems.with_positions(moved)).energy, first.energy, atol=1e-10, rtol=0)
    order = torch.randperm(systems.n_atoms, generator=torch.Generator().manual_seed(2))
    shuffled = Systems.build(
        systems.numbers[order],
        systems.positions[order],
        systems.system_idx[order],
        cell=systems.cell,
        pbc=systems.pbc,
    )
    mixed = model(shuffled, forces=True)
    torch.testing.assert_close(mixed.energy, first.energy, atol=1e-10, rtol=0)
    torch.testing.assert_close(mixed.forces, first.forces[order], atol=1e-10, rtol=0)


def test_supercell_has_twice_the_energy(model):
    cell = bulk("C", "diamond", a=3.6)
    one = float(model(Systems.from_ase(cell)).energy)
    assert float(model(Systems.from_ase(cell * (2, 1, 3))).energy) == pytest.approx(6 * one, abs=1e-9)


def test_batch_equals_loop(model, frames):
    together = model(Systems.from_ase(frames), forces=True)
    alone = [model(Systems.from_ase(f), forces=True) for f in frames]
    torch.testing.assert_close(together.energy, torch.cat([p.energy for p in alone]), atol=1e-11, rtol=0)
    torch.testing.assert_close(together.forces, torch.cat([p.forces for p in alone]), atol=1e-11, rtol=0)
    assert float(together.atomic_energies.sum()) == pytest.approx(float(together.energy.sum()))


def test_committee_mean_and_spread(frames):
    members = [make_nnp(frames=frames, seed=k) for k in range(3)]
    committee = type(members[0]).committee(members)
    systems = Systems.from_ase(frames)
    single = [m(systems, forces=True, stress=False) for m in members]
    together = committee(systems, forces=True)
    energies = torch.stack([p.energy for p in single])
    forces = torch.stack([p.forces for p in single])
    torch.testing.assert_close(together.energy, energies.mean(0))
    torch.testing.assert_close(together.energy_spread, energies.std(0))
    torch.testing.assert_close(together.forces, forces.mean(0), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(together.forces_spread, forces.std(0).norm(dim=1), atol=1e-12, rtol=1e-10)
    assert single[0].energy_spread is None


def test_committee_of_different_functions_is_an_error(frames):
    with pytest.raises(InputError, match="share"):
        type(make_nnp()).committee([make_nnp(frames=frames), make_nnp(frames=frames, cutoff=4.5)])


def test_isolated_atom_and_no_neighbors(model):
    systems = Systems.from_ase([Atoms("O"), Atoms("H2", [[0, 0, 0], [0, 0, 30.0]])])
    result = model(systems, forces=True)
    assert bool(torch.isfinite(result.energy).all())
    assert float(result.forces.abs().max()) == 0.0


def test_extrapolation_report_and_stop(frames):
    model = make_nnp(frames=frames)
    systems = Systems.from_ase(frames)
    assert model.extrapolation(systems) == []
    squeezed = molecule("H2O")
    squeezed.positions *= 0.8
    found = model.extrapolation(Systems.from_ase([frames[0], squeezed]))
    assert found
    assert {f.system for f in found} == {1}
    assert all(not f.low <= f.value <= f.high for f in found)
    assert found[0].function in str(found[0])
    model.extrapolation_margin = 0.01
    model(systems)
    with pytest.raises(ExtrapolationError, match="system 1, atom") as caught:
        model(Systems.from_ase([frames[0], squeezed]), forces=True)
    assert caught.value.report


def test_unknown_element(model):
    with pytest.raises(InputError, match=r"system 1, atom 0: NNP has no element N; it has H, C, O"):
        model(Systems.from_ase([molecule("H2O"), molecule("NH3")]))


def test_stress_without_volume(model):
    with pytest.raises(InputError, match="volume"):
        model(Systems.from_ase(molecule("H2O")), stress=True)


def test_graph_in_training_mode_only(frames):
    model = make_nnp(frames=frames)
    systems = Systems.from_ase(frames[:3])
    assert not model(systems, forces=True).forces.requires_grad
    model.train()
    loss = model(systems, forces=True).forces.square().sum()
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert float(gradient.abs().max()) > 0
    weight = next(p for p in model.parameters() if p.ndim == 2)
    h, at = 1e-5, (0, 0)
    values = []
    for sign in (1, -2):
        with torch.no_grad():
            weight[at] += sign * h
        values.append(float(model(systems, forces=True).forces.square().sum().detach()))
    assert float(weight.grad[at]) == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-5, abs=1e-8)


def test_hessian_by_autograd_equals_differences_of_forces(model):
    systems = Systems.from_ase(molecule("H2O"))
    x = systems.positions.clone().requires_grad_()
    forces = model(systems.with_positions(x), forces=True).forces
    (row,) = torch.autograd.grad(forces[1, 0], x)
    h = 1e-5
    for axis in range(3):
        y = [systems.positions.clone() for _ in range(2)]
        y[0][2, axis] += h
        y[1][2, axis] -= h
        f = [model(systems.with_positions(z), forces=True).forces[1, 0] for z in y]
        assert float(row[2, axis]) == pytest.approx(float(f[0] - f[1]) / (2 * h), abs=1e-6)


def test_single_precision(model, frames):
    low = model(Systems.from_ase(frames, dtype=torch.float32), forces=True)
    high = model(Systems.from_ase(frames), forces=True)
    assert low.energy.dtype == low.forces.dtype == torch.float32
    torch.testing.assert_close(low.forces.double(), high.forces, atol=2e-4, rtol=1e-3)
