"""Potentials with electrostatics: charges, forces and stress, long range, files, n2p2's fourth generation."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from finite_differences import force_from_energies
from nnp_models import make_nnp

from nddo_ml import NNP, InputError, Systems, load_model, save_model
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.derivatives import gradient
from nddo_ml.predictors.cached import CachedNNP
from nddo_ml.predictors.direct import DirectPredictor
from nddo_ml.training.build_nnp import build_nnp
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

KINDS = ("fixed", "charges", "qeq")


def crystal() -> Atoms:
    """A skewed cell of six atoms, rattled."""
    atoms = bulk("CO", "rocksalt", a=4.2) * (3, 1, 1)
    atoms.set_cell(np.asarray(atoms.cell) + np.array([[0.2, 0, 0.1], [0, -0.1, 0.3], [0.1, 0.2, 0]]), scale_atoms=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def slab() -> Atoms:
    atoms = crystal()
    atoms.pbc = [True, True, False]
    return atoms


def ion() -> Atoms:
    atoms = molecule("CH3OH") + Atoms("H", [[0.0, 1.2, 1.5]])
    atoms.info.update(charge=1)
    return atoms


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [crystal, slab, ion])
def test_forces_are_differences_and_charges_add_up(kind: str, make) -> None:
    model, systems = make_nnp(charges=kind), Systems.from_ase(make())
    found = model(systems, forces=True)
    assert abs(float(found.charges.sum()) - int(systems.charge)) < 1e-12
    assert found.charges.std() > 0.01
    for atom, axis in ((0, 1), (4, 2)):
        expected = force_from_energies(model, systems, atom, axis, step=2e-4)
        assert float(found.forces[atom, axis]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("make", [crystal, slab])
def test_stress_is_a_difference(make) -> None:
    model, systems = make_nnp(charges="qeq"), Systems.from_ase(make())
    stress = model(systems, stress=True).stress[0]
    torch.testing.assert_close(stress, stress.T, rtol=0, atol=1e-10)
    volume, step = float(torch.linalg.det(systems.cell[0]).abs()), 1e-4
    for i, j in ((0, 0), (0, 1)) if not bool(systems.pbc.all()) else ((0, 0), (2, 2), (1, 2)):
        energies = []
        for sign in (-1, 1):
            strain = torch.eye(3, dtype=torch.float64)
            strain[i, j] += sign * step
            moved = systems.with_positions(systems.positions @ strain, systems.cell @ strain)
            energies.append(float(model(moved).energy))
        assert float(stress[i, j]) == pytest.approx((energies[1] - energies[0]) / (2 * step * volume), abs=1e-6)


def test_training_on_forces_has_exact_gradients() -> None:
    """Second derivatives: of a loss on forces, charges and dipoles by weights of both kinds of networks."""
    model, systems = make_nnp(charges="qeq").train(), Systems.from_ase([molecule("H2O"), ion()])

    def loss() -> torch.Tensor:
        found = model(systems, forces=True)
        return found.forces.square().sum() + found.charges.square().sum() + found.dipole.square().sum()

    far = model.electrostatics.members[0]
    layers = [networks.of(8).linears[0].weight for networks in (far.networks, model.members[0])]
    chosen = [far.log_hardness, *layers]
    for parameter, slope in zip(chosen, gradient(loss(), chosen), strict=True):
        at = int(slope.abs().argmax())
        values = []
        for sign in (-1, 1):
            with torch.no_grad():
                parameter.view(-1)[at] += sign * 1e-5
                values.append(sign * float(_value(loss)))
                parameter.view(-1)[at] -= sign * 1e-5
        assert float(slope.view(-1)[at]) == pytest.approx(sum(values) / 2e-5, rel=1e-5)


def _value(loss) -> torch.Tensor:
    with torch.enable_grad():
        return loss().detach()


def test_stored_descriptors_know_the_charges() -> None:
    model, frames = make_nnp(charges="qeq"), [crystal(), slab(), crystal()]
    frames[2].rattle(0.05, seed=9)
    systems, index = Systems.from_ase(frames), torch.tensor([2, 0])
    cached = CachedNNP(model, systems, torch.ones(3, dtype=torch.bool), torch.float64)(index, forces=True, stress=True)
    direct = DirectPredictor(model, systems)(index, forces=True, stress=True)
    for name in ("energy", "forces", "stress", "charges", "dipole"):
        torch.testing.assert_close(getattr(cached, name), getattr(direct, name), rtol=0, atol=1e-8)


def test_polar_fragments_beyond_two_cutoffs_attract_as_their_dipoles() -> None:
    """Where the local network has exactly nothing."""
    local, far = make_nnp(), make_nnp(charges="charges")
    water = molecule("H2O")

    def interaction(model: NNP, distance: float) -> float:
        other = water.copy()
        other.positions += [0, 0, distance]
        pair, alone = model(water + other), model([water, other])
        return float(pair.energy - alone.energy.sum())

    dipole = float(far(water).dipole[0, 2])
    assert abs(dipole) > 0.05
    for distance in (12.0, 20.0):
        expected = -2 * HARTREE_EV * BOHR_ANGSTROM * dipole**2 / distance**3
        assert interaction(far, distance) == pytest.approx(expected, rel=0.02)
        assert interaction(local, distance) == pytest.approx(0.0, abs=1e-12)


def test_charges_move_over_any_distance() -> None:
    """A proton at one end of a chain changes the charge at the other when charges equilibrate, and only then."""
    chain = Atoms("HC8H", [[0, 0, 1.25 * k] for k in range(10)])
    longer = chain + Atoms("H", [[0.9, 0, -0.6]])
    longer.info["charge"] = 1
    changes = {}
    for kind in ("charges", "qeq"):
        model = make_nnp(charges=kind)
        before, after = model(chain).charges, model(longer).charges[:-1]
        changes[kind] = (after - before)[-3:]
    assert float(changes["charges"].std()) < 1e-12  # all alike: the shift to the total
    assert float(changes["qeq"].std()) > 1e-3


def test_isolated_atoms_have_the_reference_energies() -> None:
    for model in (make_nnp(anchored=True), make_nnp(charges="qeq")):
        with torch.no_grad():
            for name, weights in model.named_parameters():
                weights += 0.3 * name.endswith("bias")  # of a lone atom the networks know nothing else
        assert model.isolated_energies() == pytest.approx({1: -1.0, 6: -6.0, 8: -8.0}, abs=1e-12)


@pytest.mark.parametrize("kind", [*KINDS, "eeq"])
def test_files_keep_charges_and_committees_join(kind: str, tmp_path: Path) -> None:
    if kind == "eeq":
        pytest.importorskip("tad_multicharge")
    models = [make_nnp(charges=kind, seed=k) for k in (0, 5)]
    both = NNP.committee(models)
    save_model(both, tmp_path / "model.pt")
    atoms, read = molecule("CH3OH"), load_model(tmp_path / "model.pt")
    expected = [model(atoms, forces=True) for model in models]
    found = read(atoms, forces=True)
    for name in ("energy", "forces", "charges", "dipole"):
        mean = sum(getattr(one, name) for one in expected) / 2
        torch.testing.assert_close(getattr(found, name), mean, rtol=0, atol=1e-10)
    with pytest.raises(InputError, match="must share"):
        NNP.committee([models[0], make_nnp()])


def test_trainings_build_each_kind() -> None:
    frames = [molecule(name) for name in ("H2O", "CH4", "CH3OH")]
    for atoms in frames:
        atoms.info["energy"] = -10.0 * len(atoms)
        atoms.set_initial_charges(None)
        atoms.arrays["charges"] = np.where(atoms.numbers == 1, 0.1, -0.2)
    alone = Atoms("O", info={"energy": -8.5, "multiplicity": 3})
    for kind in KINDS:
        model = build_nnp(from_frames([*frames, alone]), 0, size="small", hidden=(4,), electrostatics=kind)
        assert model.isolated_energies([8]) == {8: -8.5}
        assert float(model(frames[0]).charges.sum()) == pytest.approx(0.0, abs=1e-12)
        assert set(model.parts) == {"short", "charges"}


def test_n2p2_round_trip(tmp_path: Path) -> None:
    model = make_nnp(charges="qeq")
    model.to_n2p2(tmp_path)
    read, atoms = NNP.from_n2p2(tmp_path), ion()
    expected, found = model(atoms, forces=True), read(atoms, forces=True)
    for name in ("energy", "forces", "charges"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-9)
    with pytest.raises(InputError, match=r"equilibrated charges that the networks see; got 'fixed'"):
        make_nnp(charges="fixed").to_n2p2(tmp_path)


EXAMPLES = Path(os.environ.get("N2P2_4G_EXAMPLES", "n2p2_4g"))  # n2p2's examples (GPL) are no part of the project


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="N2P2_4G_EXAMPLES does not lead to n2p2's potentials")
@pytest.mark.filterwarnings("ignore:.*the others are taken as 0")
@pytest.mark.parametrize(("name", "energy", "charge"), [("chain", 1e-10, 1e-12), ("water", 5e-6, 1e-6)])
def test_n2p2_itself(name: str, energy: float, charge: float) -> None:
    """n2p2 2.3 on its own examples; its lattice sums of water end at 1e-5."""
    model = NNP.from_n2p2(EXAMPLES / name / "model")
    for one in json.loads((EXAMPLES / name / "reference.json").read_text()):
        cell = one["cell_A"]
        atoms = Atoms(one["symbols"], one["positions_A"], cell=cell, pbc=cell is not None)
        atoms.info["charge"] = int(one["charge"])
        found = model(atoms, forces=True)
        assert float(found.energy) / HARTREE_EV == pytest.approx(one["energy_hartree"], abs=energy)
        assert np.abs(found.charges.numpy() - one["charges_e"]).max() < charge
        forces = found.forces.numpy() * BOHR_ANGSTROM / HARTREE_EV
        assert np.abs(forces - one["forces_hartree_per_bohr"]).max() < energy
