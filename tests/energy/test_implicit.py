"""The gradient rule, three ways: finite differences, an unrolled loop, the adjoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from ase.build import molecule
from hybrid_models import batch, hybrid, rattled
from torch import Tensor

from nddo_ml import NDDO, Systems
from nddo_ml.energy.adjoint import ResponseOptions
from nddo_ml.energy.functional import electronic_energy, energy_weights
from nddo_ml.energy.properties import coulson_charges
from nddo_ml.errors import ResponseError
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.models.base import Prediction
from nddo_ml.workflows.response import orbital_energies

Loss = Callable[[Prediction], Tensor]
LABELS = ("energy", "forces", "charges", "dipole")


def loss_of(label: str, prediction: Prediction) -> Tensor:
    """Squared differences from random targets, so that every component counts and no symmetry cancels."""
    value = getattr(prediction, label)
    target = torch.randn(value.shape, generator=torch.Generator().manual_seed(7), dtype=value.dtype)
    return (value - 0.3 * target).square().sum()


def by_weights(model: NDDO, systems: Systems, label: str) -> tuple[float, float]:
    """Derivative of a loss along a random direction in the space of weights: adjoint and finite difference."""
    weights = list(model.parameters())
    generator = torch.Generator().manual_seed(11)
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    forces = label == "forces"
    model.train()
    prediction = model(systems, forces=forces)
    slopes = torch.autograd.grad(loss_of(label, prediction), weights, allow_unused=True)
    analytic = sum(float((g * d).sum()) for g, d in zip(slopes, direction, strict=True) if g is not None)
    model.eval()
    values, step, old = [], 1e-3, [w.detach().clone() for w in weights]
    with torch.no_grad():
        for k in (2, 1, -1, -2):
            for w, o, d in zip(weights, old, direction, strict=True):
                w.copy_(o + k * step * d)
            values.append(float(loss_of(label, model(systems, forces=forces, start=prediction.scf.density))))
        for w, o in zip(weights, old, strict=True):
            w.copy_(o)
    return analytic, (8 * (values[1] - values[2]) - (values[0] - values[3])) / (12 * step)


SETS = {
    "closed shells": lambda: batch("H2O", rattled("HCN", 1), rattled("CH3OH", 2)),
    "open shells": lambda: batch(rattled("CH3", 3), rattled("NH2", 4), "NO", multiplicity=[2, 2, 2]),
    "degenerate": lambda: batch("CH4", rattled("CH4", 5, 0.1)),
    "ions": lambda: batch(rattled("H2O", 6), rattled("CH3", 7), charge=[-1, 1], multiplicity=[2, 1]),
}


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("name", SETS)
def test_gradient_by_weights_is_that_of_finite_differences(features: AtomFeatures, name: str, label: str) -> None:
    analytic, numerical = by_weights(hybrid(features), SETS[name](), label)
    assert analytic == pytest.approx(numerical, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("label", ["forces", "dipole", "charges"])
@pytest.mark.parametrize("amplitude", [0.0, 0.05])
def test_benzene(features: AtomFeatures, label: str, amplitude: float) -> None:
    systems = batch(rattled("C6H6", 8, amplitude))
    analytic, numerical = by_weights(hybrid(features), systems, label)
    assert analytic == pytest.approx(numerical, rel=1e-5, abs=1e-8)


def test_degenerate_orbitals_give_finite_gradients(features: AtomFeatures) -> None:
    model = hybrid(features).train()
    prediction = model(batch("CH4", "C6H6", "N2"), forces=True)
    loss = sum(loss_of(label, prediction) for label in LABELS)
    for slope in torch.autograd.grad(loss, list(model.parameters()), allow_unused=True):
        assert slope is None or bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("charge", [0, 1])
def test_gradient_is_that_of_an_unrolled_loop(features: AtomFeatures, charge: int) -> None:
    model = hybrid(features).train()
    systems = batch(rattled("H2O", 9), charge=[charge])
    weights = list(model.parameters())
    target = torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    prediction = model(systems)
    adjoint = torch.autograd.grad((prediction.charges * target).sum(), weights, allow_unused=True)

    field = model.hamiltonian(systems)
    density, n_occupied = prediction.scf.density.detach(), prediction.scf.n_occupied
    # start a little off, so that the loop has something to do
    density = 0.99 * density + 0.01 * torch.eye(density.shape[-1], dtype=density.dtype)
    for _ in range(60):
        leaf = density if density.requires_grad else density.requires_grad_()
        energy = electronic_energy(field.integrals, energy_weights(field.integrals, leaf)).sum()
        (fock,) = torch.autograd.grad(energy, leaf, create_graph=True)
        fock = 0.5 * (fock + fock.transpose(2, 3))
        columns = torch.arange(fock.shape[-1]) < n_occupied[..., None]
        occupied = torch.linalg.eigh(fock)[1] * columns[:, :, None, :]
        density = 0.7 * occupied @ occupied.transpose(2, 3) + 0.3 * density
    total = 2 * density[:, 0] if density.shape[1] == 1 else density.sum(dim=1)
    charges = coulson_charges(field.layout, field.parameters, total)
    torch.testing.assert_close(charges, prediction.charges, atol=1e-8, rtol=0)
    unrolled = torch.autograd.grad((charges * target).sum(), weights, allow_unused=True)
    for one, other in zip(adjoint, unrolled, strict=True):
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-9)


def test_gradients_of_a_batch_are_those_of_its_members(features: AtomFeatures) -> None:
    model = hybrid(features).train()
    frames = [molecule("H2O"), molecule("CH4"), molecule("CH3"), molecule("C2H4")]
    weights = list(model.parameters())

    def slopes(systems: Systems) -> list[Tensor]:
        p = model(systems, forces=True)
        loss = p.forces.square().sum() + p.charges.square().sum() + p.energy.sum()
        return [
            torch.zeros_like(w) if g is None else g
            for w, g in zip(weights, torch.autograd.grad(loss, weights, allow_unused=True), strict=True)
        ]

    together = slopes(batch(*frames))
    apart = [slopes(batch(f)) for f in frames]
    for k, one in enumerate(together):
        torch.testing.assert_close(one, sum(a[k] for a in apart), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["closed shells", "open shells"])
def test_orbital_energies_by_weights(features: AtomFeatures, name: str) -> None:
    model, systems = hybrid(features).train(), SETS[name]().select(torch.tensor([0, 1]))
    weights = list(model.parameters())
    generator = torch.Generator().manual_seed(11)
    direction = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    levels = orbital_energies(model, systems)
    scf = model(systems).scf
    torch.testing.assert_close(levels.detach(), scf.orbital_energies, rtol=0, atol=1e-7)

    def gap(energies: Tensor) -> Tensor:
        column = scf.n_occupied[..., None]
        return (energies.gather(2, column) - 0.5 * energies.gather(2, column - 1)).sum()

    slopes = torch.autograd.grad(gap(levels), weights, allow_unused=True)
    analytic = sum(float((g * d).sum()) for g, d in zip(slopes, direction, strict=True) if g is not None)
    ends, step = [], 1e-4
    with torch.no_grad():
        for shift in (step, -2 * step):
            for w, d in zip(weights, direction, strict=True):
                w.add_(shift * d)
            ends.append(float(gap(model(systems, start=scf.density).scf.orbital_energies)))
    assert analytic == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5)


def test_fullerene(features: AtomFeatures) -> None:
    analytic, numerical = by_weights(hybrid(features), batch("C60"), "charges")
    assert analytic == pytest.approx(numerical, rel=1e-5, abs=1e-8)


def test_dipole_and_charges_by_positions(features: AtomFeatures) -> None:
    model = hybrid(features)
    systems = batch(rattled("CH3OH", 10))
    x = systems.positions.clone().requires_grad_()
    pick = torch.tensor([0.3, -0.8, 0.5], dtype=torch.float64)
    slope = torch.autograd.grad((model(systems.with_positions(x)).dipole * pick).sum(), x)[0]
    step, (atom, axis) = 1e-4, (2, 1)
    shift = torch.zeros_like(systems.positions)
    shift[atom, axis] = step
    ends = [(model(systems.with_positions(systems.positions + s * shift)).dipole * pick).sum() for s in (1, -1)]
    assert float(slope[atom, axis]) == pytest.approx(float(ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_an_energy_loss_needs_no_response(features: AtomFeatures) -> None:
    model = hybrid(features, response=ResponseOptions(max_iterations=0)).train()
    prediction = model(batch("H2O"))
    torch.autograd.grad(prediction.energy.sum(), list(model.parameters()), allow_unused=True, retain_graph=True)
    with pytest.raises(ResponseError, match=r"systems \[0\]"):
        torch.autograd.grad(prediction.charges.square().sum(), list(model.parameters()), allow_unused=True)


def test_a_response_that_fails_may_be_logged_instead(features: AtomFeatures, caplog) -> None:
    model = hybrid(features, response=ResponseOptions(max_iterations=0, strict=False)).train()
    slopes = torch.autograd.grad(
        model(batch("H2O")).charges.square().sum(), list(model.parameters()), allow_unused=True
    )
    assert "systems [0]" in caplog.text
    assert all(s is None or bool((s == 0).all()) for s in slopes)


def test_evaluation_mode_gives_plain_numbers(features: AtomFeatures) -> None:
    prediction = hybrid(features)(batch("H2O"), forces=True)
    for name in LABELS:
        assert not getattr(prediction, name).requires_grad
