"""A committee within one field says how uncertain an energy is."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from hybrid_models import batch, randomized, rattled

from nddo_ml import NDDO, InputError, load_model, save_model
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.domain import Domain
from nddo_ml.hybrid.features import AtomFeatures

A, B = 1.7, 0.3  # eV


@pytest.fixture(scope="module")
def fading() -> AtomFeatures:
    data = batch(*(rattled(name, k) for name in ("H2O", "CH3OH") for k in range(12)))
    plain = AtomFeatures.default(["H", "C", "O"], 4.0, data=[data])
    with torch.no_grad():
        domain = Domain.fit(plain(data).values, data.numbers, directions=5, centers=12)
    return AtomFeatures(plain.functions, plain.scaler, plain.bonded, domain)


def model_of(features: AtomFeatures, members: int = 3) -> NDDO:
    added = AtomicEnergyCorrection(features, hidden=(4,), members=members, uncertainty=(A, B))
    return randomized(NDDO("RM1", correction=added))


def test_it_is_the_standard_deviation_of_the_members(fading: AtomFeatures) -> None:
    model, systems = model_of(fading), batch("H2O", "CH3OH")
    result, parent = model(systems), NDDO("RM1")(systems)
    seen = fading(systems)
    members = next(iter(model.corrections)).member_energies(seen)
    totals = torch.stack([members[:3].sum(0), members[3:].sum(0)])
    torch.testing.assert_close(result.energy - parent.energy, totals.mean(1), rtol=0, atol=1e-9)
    outside = B * (1 - seen.trust)
    of_systems = torch.stack([outside[:3].norm(), outside[3:].norm()])
    torch.testing.assert_close(result.energy_spread, torch.hypot(A * totals.std(1), of_systems), rtol=1e-9, atol=0)
    torch.testing.assert_close(result.atomic_spread, torch.hypot(A * members.std(1), outside), rtol=1e-9, atol=0)


def test_outside_the_data_it_is_that_of_the_parent(fading: AtomFeatures) -> None:
    far = batch(Atoms("OH2", [[0, 0, 0], [0, 0, 0.6], [0, 0, -0.6]]), Atoms("N2", [[0, 0, 0], [0, 0, 1.1]]))
    result = model_of(fading)(far)
    assert result.energy_spread.tolist() == pytest.approx([B * 3**0.5, B * 2**0.5])
    assert result.atomic_spread.tolist() == pytest.approx([B] * 5)


def test_with_a_graph_it_is_the_same(fading: AtomFeatures) -> None:
    model, systems = model_of(fading), batch("H2O", rattled("CH3OH", 3))
    moving = systems.with_positions(systems.positions.clone().requires_grad_())
    one, other = model(systems), model(moving)
    torch.testing.assert_close(other.energy_spread.detach(), one.energy_spread, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(other.atomic_spread.detach(), one.atomic_spread, rtol=1e-9, atol=1e-12)


def test_it_is_saved_and_a_single_member_has_none(fading: AtomFeatures, tmp_path) -> None:
    model, systems = model_of(fading), batch("H2O")
    save_model(model, tmp_path / "committee.pt")
    again = load_model(tmp_path / "committee.pt")
    torch.testing.assert_close(again(systems).energy_spread, model(systems).energy_spread, rtol=0, atol=0)
    single = model_of(fading, members=1)
    assert single(systems).energy_spread is None
    assert "energy_spread" in model.capabilities.properties
    assert "energy_spread" not in single.capabilities.properties


def test_no_members_are_refused(fading: AtomFeatures) -> None:
    with pytest.raises(InputError, match="got 0"):
        AtomicEnergyCorrection(fading, members=0)
