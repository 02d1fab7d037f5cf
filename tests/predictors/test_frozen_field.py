"""Delta learning: a field that stays, computed once, and committees of what is trained beside it."""

from __future__ import annotations

import json

import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from hybrid_models import batch, randomized, rattled

from nddo_ml import NDDO, InputError, load_model
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.models.saved import save_model
from nddo_ml.predictors.choose import predictor_for
from nddo_ml.predictors.frozen_field import FrozenField
from nddo_ml.predictors.warm_starts import WarmStarts
from nddo_ml.training.build import build_model
from nddo_ml.training.config import read_config
from nddo_ml.training.run import train

OPTIONS = {"base": "AM1", "cutoff": 3.5, "hidden": [4]}


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    """Small molecules with the energies of PM3, forces for every other one."""
    frames = [rattled(name, k, 0.08) for k in range(6) for name in ("H2O", "CH4")]
    prediction = NDDO("PM3")(batch(*frames), forces=True)
    first = 0
    for k, atoms in enumerate(frames):
        labels = {"energy": float(prediction.energy[k])}
        if k % 2:
            labels["forces"] = prediction.forces[first : first + len(atoms)].numpy()
        first += len(atoms)
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return frames


@pytest.fixture
def model(frames) -> NDDO:
    return build_model("delta", OPTIONS, from_frames(frames), seed=1)


def test_the_predictor_gives_what_the_model_gives(frames, model):
    randomized(model)
    data = from_frames(frames)
    cached = predictor_for(model, data)
    assert isinstance(cached, FrozenField)
    for index, forces in ((torch.tensor([4, 0, 3]), False), (torch.tensor([5, 1]), True)):
        fast = cached(index, forces=forces, stress=False)
        direct = model(batch(*[frames[k] for k in index]), forces=forces)
        assert torch.allclose(fast.energy, direct.energy, atol=1e-9)
        assert torch.allclose(fast.dipole, direct.dipole, atol=1e-7)
        assert torch.allclose(fast.charges, direct.charges, atol=1e-7)
        if forces:
            assert torch.allclose(fast.forces, direct.forces, atol=1e-7)


def test_gradients_of_a_force_loss_equal_finite_differences(frames, model):
    randomized(model)
    model.train()
    data = from_frames(frames)
    cached = predictor_for(model, data)
    weight = next(p for p in model.parameters() if p.requires_grad)

    def loss() -> torch.Tensor:
        prediction = cached(torch.tensor([1, 3]), forces=True, stress=False)
        return prediction.energy.square().sum() * 1e-4 + prediction.forces.square().sum()

    (analytic,) = torch.autograd.grad(loss(), [weight])
    step, at = 1e-5, (0, 0)
    with torch.no_grad():
        weight[at] += step
    above = loss()
    with torch.no_grad():
        weight[at] -= 2 * step
    below = loss()
    assert float(analytic[at]) == pytest.approx(float((above - below).detach()) / (2 * step), rel=1e-5, abs=1e-9)


def test_only_atomic_energies_are_trained_beside_a_hybrid(frames, tmp_path):
    data = from_frames(frames)
    field = build_model("nddo", {"cutoff": 3.5, "parameters": {"hidden": [4]}}, data, seed=1)
    assert isinstance(predictor_for(field, data), WarmStarts)
    save_model(randomized(field), tmp_path / "field.pt")
    model = build_model("delta", {"base": str(tmp_path / "field.pt"), "hidden": [4]}, data, seed=1)
    trained = [p for p in model.parameters() if p.requires_grad]
    added = list(model.corrections)[-1]
    assert isinstance(added, AtomicEnergyCorrection)
    assert {id(p) for p in trained} == {id(p) for p in added.parameters() if p.requires_grad}
    water = batch(frames[0])
    assert float(model(water).energy) == pytest.approx(float(field(water).energy), abs=1e-9)


def test_training_lowers_the_errors_and_makes_a_committee(frames, tmp_path):
    write(tmp_path / "train.extxyz", frames)
    (tmp_path / "delta.toml").write_text(
        f"""
committee = 2
[model]
kind = "delta"
base = "AM1"
cutoff = 3.5
hidden = [8]
[data]
train = [{{ path = "{tmp_path / "train.extxyz"}" }}]
[loss]
energy = 1000.0
forces = 1.0
[[phases]]
epochs = 15
batch = 4
lr = 0.02
"""
    )
    result = train(read_config(tmp_path / "delta.toml", {"output": str(tmp_path / "run")}))
    for member in (1, 2):
        log = [json.loads(s) for s in (tmp_path / "run" / f"member_{member}" / "log.jsonl").read_text().splitlines()]
        assert log[-1]["valid_loss"] < 0.7 * log[0]["valid_loss"]
    again = load_model(result.path)
    systems = batch(*frames[:2])
    assert torch.allclose(again(systems).energy, result.model(systems).energy, atol=1e-9)


def test_a_checkpoint_belongs_to_the_base_it_was_trained_beside(frames, model, tmp_path):
    write(tmp_path / "train.extxyz", frames)
    (tmp_path / "delta.toml").write_text(
        f"""
[model]
kind = "delta"
base = "{tmp_path / "base.pt"}"
hidden = [4]
[data]
train = [{{ path = "{tmp_path / "train.extxyz"}" }}]
[loss]
energy = 1000.0
[[phases]]
epochs = 1
"""
    )
    config = read_config(tmp_path / "delta.toml", {"output": str(tmp_path / "run")})
    save_model(randomized(model), tmp_path / "base.pt")
    first = train(config).model.state_dict()
    again = train(config).model.state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in first.items())
    save_model(randomized(model, 0.5), tmp_path / "base.pt")
    with pytest.raises(InputError, match="another"):
        train(config)


def test_bad_bases_are_refused(frames, tmp_path):
    data = from_frames(frames)
    with pytest.raises(InputError, match="no such file, method"):
        build_model("delta", {**OPTIONS, "base": "AM7"}, data, seed=1)
