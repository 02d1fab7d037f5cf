"""The loss: its formula and derivatives, from cached descriptors and directly."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ase.io import read
from nnp_models import DATA, make_nnp

from nddo_ml import InputError
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.predictors.cached import CachedNNP
from nddo_ml.predictors.direct import DirectPredictor
from nddo_ml.training.loss import Loss


@pytest.fixture(scope="module")
def mixed():
    """Molecules and cells with different labels, and a model for them."""
    frames = sorted(read(DATA / "mlearn_si" / "train_sample.extxyz", ":"), key=len)[:3]
    bare = frames[1].copy()
    bare.info["energy"] = -60.0
    data = from_frames([frames[0], bare, frames[2]])
    return data, make_nnp(("Si",), frames=frames, seed=1, hidden=(6,), members=1)


def test_loss_is_the_weighted_mean_square(mixed):
    data, model = mixed
    index = torch.arange(3)
    prediction = DirectPredictor(model, data.systems)(index, forces=True, stress=True)
    loss = Loss({"energy": 2.0, "forces": 3.0}, {})
    labels = replace(data.labels, weights={**data.labels.weights, "energy": torch.tensor([1.0, 0.5, 0.0]).double()})
    sizes = data.systems.atoms_per_system
    value = loss(prediction, labels, data.systems, loss.normalizers(labels, sizes))
    per_atom = ((prediction.energy - data.labels.values["energy"]) / sizes).square()
    error = (prediction.forces - data.labels.values["forces"]).square()
    with_forces = torch.isin(data.systems.system_idx, torch.tensor([0, 2]))
    expected = 2 * (per_atom[0] + 0.5 * per_atom[1]) / 1.5 + 3 * error[with_forces].mean()
    assert float(value) == pytest.approx(float(expected))


def test_relative_energies_do_not_count_a_familys_mean_error(mixed):
    data, model = mixed
    prediction = DirectPredictor(model, data.systems)(torch.arange(3), forces=False, stress=False)
    loss = Loss({"forces": 1.0}, {"relative": 0.1}, relative=5.0)
    n = {"relative": loss.normalizers(data.labels, data.systems.atoms_per_system)["relative"]}
    error = prediction.energy - data.labels.values["energy"]
    half = 0.5 * (error[0] - error[2]).abs()  # both from their mean
    expected = 5.0 / 3 * 2 * torch.where(half < 0.1, half**2, 0.2 * half - 0.01)
    families = torch.tensor([4, 7, 4])
    assert float(loss(prediction, data.labels, data.systems, n, families)) == pytest.approx(float(expected))
    shifted = replace(prediction, energy=prediction.energy + torch.tensor([3.0, -2.0, 3.0]))
    assert float(loss(shifted, data.labels, data.systems, n, families)) == pytest.approx(float(expected))
    assert float(loss(prediction, data.labels, data.systems, n, torch.arange(3))) == pytest.approx(0.0)


def test_loss_rejects_unknown_and_missing_labels(mixed):
    data, model = mixed
    with pytest.raises(InputError, match="labels are energy"):
        Loss({"enrgy": 1.0}, {})
    with pytest.raises(InputError, match="positive for one label"):
        Loss({"energy": 0.0}, {})
    loss = Loss({"dipole": 1.0}, {})
    prediction = DirectPredictor(model, data.systems)(torch.arange(3), forces=False, stress=False)
    with pytest.raises(InputError, match="dipole, which this model does not predict"):
        loss(prediction, data.labels, data.systems, {"dipole": 1.0})


def test_huber_loss_grows_linearly(mixed):
    data, model = mixed
    prediction = DirectPredictor(model, data.systems)(torch.arange(3), forces=True, stress=False)
    plain, robust = Loss({"forces": 1.0}, {}), Loss({"forces": 1.0}, {"forces": 1e-3})
    n = plain.normalizers(data.labels, data.systems.atoms_per_system)
    error = (prediction.forces - data.labels.values["forces"]).abs()
    error = error[torch.isin(data.systems.system_idx, torch.tensor([0, 2]))]
    expected = torch.where(error < 1e-3, error**2, 2e-3 * error - 1e-6).mean()
    assert float(robust(prediction, data.labels, data.systems, n)) == pytest.approx(float(expected))


def test_cached_derivatives_equal_direct_ones(mixed):
    """Values, and gradients of a loss on energies, forces and stress with respect to the weights."""
    data, model = mixed
    needs = data.labels.has("forces")
    cached = CachedNNP(model, data.systems, needs, torch.float64)
    direct = DirectPredictor(model, data.systems)
    index = torch.tensor([2, 0])
    loss = Loss({"energy": 1.0, "forces": 1.0, "stress": 100.0}, {})
    some = data.select(index)
    gradients = []
    model.train()
    for predict in (cached, direct):
        model.zero_grad()
        prediction = predict(index, forces=True, stress=True)
        value = loss(
            prediction,
            some.labels,
            some.systems,
            loss.normalizers(some.labels, some.systems.atoms_per_system),
        )
        value.backward()
        gradients.append([float(value.detach()), *(p.grad.clone() for p in model.parameters())])
    model.eval()
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_loss_gradient_equals_finite_differences(mixed):
    data, model = mixed
    direct = DirectPredictor(model, data.systems)
    loss = Loss({"energy": 1.0, "forces": 1.0, "stress": 100.0}, {})
    n = loss.normalizers(data.labels, data.systems.atoms_per_system)

    def value():
        return loss(direct(torch.arange(3), forces=True, stress=True), data.labels, data.systems, n)

    model.train()
    model.zero_grad()
    value().backward()
    weight = next(p for p in model.parameters() if p.ndim == 2)
    gradient, h = float(weight.grad[2, 3]), 1e-5
    found = []
    for step in (h, -2 * h):
        with torch.no_grad():
            weight[2, 3] += step
        found.append(float(value().detach()))
    with torch.no_grad():
        weight[2, 3] += h
    model.eval()
    assert gradient == pytest.approx((found[0] - found[1]) / (2 * h), rel=1e-6)
