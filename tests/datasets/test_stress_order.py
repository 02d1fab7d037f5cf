"""Exchanged components of stress labels are found by group, said, and put right on demand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from nddo_ml import Systems
from nddo_ml.datasets.checks import UnitsWarning, check_against_forces, check_dataset
from nddo_ml.datasets.dataset import from_frames, split
from nddo_ml.datasets.stress_order import find_order, orders_by_forces, reordered
from nddo_ml.evaluation.tables import summarize, tabulate
from nddo_ml.predictors.choose import predictor_for
from nddo_ml.training.build_nnp import build_nnp
from nddo_ml.training.config import DataConfig
from nddo_ml.training.linear import predict_from_forces


@pytest.fixture(scope="module")
def data(silicon):
    """Sheared silicon labelled by the published potential; the second group's xz and yz exchanged."""
    rng = np.random.default_rng(3)
    frames = []
    for k in range(24):
        atoms = bulk("Si", cubic=True, a=5.45)
        atoms.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.1, seed=k)
        found = silicon(Systems.from_ase(atoms), forces=True, stress=True)
        stress = found.stress[0].numpy().copy()
        atoms.info["group"] = "good" if k < 12 else "exchanged"
        if k >= 12:
            stress[[0, 1], 2] = stress[2, [0, 1]] = stress[2, [1, 0]]
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, energy=float(found.energy), forces=found.forces.numpy(), stress=voigt)
        frames.append(atoms)
    return from_frames(frames)


def said_by_forces(data):
    model = build_nnp(data, 0, cutoff=5.0, angular_cutoff="full", size="small", hidden=(4,))
    return predict_from_forces(predictor_for(model, data), data)


def test_strained_perfect_crystals_say_too_little(data):
    """Their forces move two sublattices against each other, whatever the strain: nothing is said of the energies."""
    frames = []
    for atoms in data.systems.to_ase()[:12]:
        perfect = bulk("Si", cubic=True, a=5.45)
        perfect.set_cell(atoms.cell, scale_atoms=True)
        forces = np.outer([1, -1] * 4, np.ones(3))
        perfect.calc = SinglePointCalculator(perfect, energy=-40.0, forces=forces)
        frames.append(perfect)
    assert said_by_forces(data) is not None
    assert said_by_forces(from_frames(frames)) is None


def scaled(data, **factors):
    values = {name: factors.get(name, 1.0) * v for name, v in data.labels.values.items()}
    return replace(data, labels=replace(data.labels, values=values))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"energy": 1 / 27.2114}, "energies in hartree"),
        ({"energy": 23.06}, "energies in kcal/mol"),
        ({"forces": 1 / 51.422}, "forces in hartree/bohr"),
        ({"forces": 23.06}, "forces in kcal/mol/Å"),
        ({"forces": -1.0}, "gradients instead of forces"),
        ({"stress": -1.0}, "opposite sign"),
        ({"stress": 160.2}, "GPa"),
    ],
)
def test_labels_that_contradict_the_forces(data, factors, message):
    wrong = scaled(data, **factors)
    with pytest.warns(UnitsWarning, match=message):
        found = check_dataset(wrong) or [check_against_forces(said_by_forces(wrong), wrong)]
    assert len(found) == 1
    assert check_against_forces(said_by_forces(data), data) is None


def test_a_linear_potential_finds_the_exchange(data):
    assert orders_by_forces(said_by_forces(data), data) == {"exchanged": (1, 0, 2)}


def test_evaluation_notes_it_and_gives_the_errors_in_order(silicon, data):
    entry = summarize(tabulate(silicon, data), data)["labels"]["stress"]
    assert "group exchanged: xz where yz belongs, yz where xz belongs" in entry["note"]
    assert entry["mae"] > 1e-3
    assert entry["with_components_in_order"]["mae"] < 1e-9
    fine = data.select(range(12))
    assert "note" not in summarize(tabulate(silicon, fine), fine)["labels"]["stress"]


def test_training_warns_and_puts_it_right_on_demand(data):
    from nddo_ml.training.run import compared_with_forces

    model = build_nnp(data, 0, cutoff=5.0, angular_cutoff="full", size="small", hidden=(4,))
    cached = predictor_for(model, data)
    train, valid = split(data, 0.2, seed=0)
    given, auto = (SimpleNamespace(data=DataConfig(stress_order=order)) for order in ("given", "auto"))
    with pytest.warns(UnitsWarning, match=r"exchanged.*stress_order = \"auto\" puts them right"):
        same, _ = compared_with_forces(cached, data, valid, given)
    assert same is data
    with pytest.warns(UnitsWarning, match="put right for this training"):
        fixed, fixed_valid = compared_with_forces(cached, data, valid, auto)
    model_stress = fixed.labels.values["stress"]
    assert torch.equal(model_stress[:12], data.labels.values["stress"][:12])
    assert torch.equal(model_stress[12:, 0, 2], data.labels.values["stress"][12:, 1, 2])
    assert torch.equal(model_stress[12:, 0, 1], data.labels.values["stress"][12:, 0, 1])
    assert fixed_valid.groups == valid.groups
    assert len(train) + len(valid) == len(data)


def test_order_and_its_inverse():
    stress = torch.randn(8, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stress = stress + stress.mT
    groups = ["a"] * 8
    cyclic = reordered(stress, groups, {"a": (1, 2, 0)})
    order = find_order(stress, cyclic)
    assert torch.equal(reordered(cyclic, groups, {"a": order}), stress)
    assert find_order(stress, stress) is None
    assert find_order(stress[:3], cyclic[:3]) is None
