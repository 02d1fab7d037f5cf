"""Mixtures of hybrids: one field with the weighted mean of several corrections."""

from __future__ import annotations

import pytest
import torch
from finite_differences import force_from_energies
from hybrid_models import CUTOFF, batch, hybrid, randomized, rattled

from nddo_ml import NDDO, InputError, load_model
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.models.mixture import merged, mixture
from nddo_ml.models.saved import save_model

MOLECULES = [rattled(name, 3, 0.1) for name in ("H2O", "CH4", "CH3OH")]


@pytest.fixture(scope="module")
def features() -> AtomFeatures:
    return AtomFeatures.default(["H", "C", "O"], CUTOFF)


def added(features: AtomFeatures, scale: float) -> NDDO:
    return randomized(NDDO("AM1", correction=AtomicEnergyCorrection(features, hidden=(4,))), scale)


def test_energies_are_the_weighted_mean(features):
    one, other = added(features, 0.2), added(AtomFeatures.default(["H", "C", "O"], 3.0), 0.4)
    systems = batch(*MOLECULES)
    energies = [m(systems).energy for m in (one, other, mixture([one, other], [0.3, 0.7]))]
    torch.testing.assert_close(energies[2], 0.3 * energies[0] + 0.7 * energies[1], rtol=0, atol=1e-9)


def test_shifts_are_the_weighted_mean_to_first_order(features):
    systems = batch(*MOLECULES)
    parent = NDDO("AM1")(systems).energy
    errors = []
    for scale in (0.02, 0.01):
        one = hybrid(features, scale=scale)
        half = mixture([one, NDDO("AM1")], [0.5, 0.5])(systems).energy
        errors.append((half - 0.5 * (one(systems).energy + parent)).abs().max())
    assert float(errors[1]) < 0.4 * float(errors[0])


def test_a_mixture_of_one_model_with_itself_is_the_model(features):
    model = hybrid(features)
    same = mixture([model, model])
    assert len(same.corrections) == len(model.corrections)
    systems = batch(*MOLECULES)
    torch.testing.assert_close(same(systems).energy, model(systems).energy, rtol=0, atol=1e-9)


def test_forces_are_derivatives_and_a_file_keeps_everything(features, tmp_path):
    model = mixture([hybrid(features), added(features, 0.3)], [0.4, 0.6], name="mixed")
    save_model(model, tmp_path / "mixed.pt")
    loaded = load_model(tmp_path / "mixed.pt")
    assert loaded.name == "mixed"
    systems = batch(MOLECULES[2])
    force = float(loaded(systems, forces=True).forces[1, 2])
    assert force == pytest.approx(force_from_energies(loaded, systems, 1, 2), abs=1e-6)


def test_members_that_differ_in_added_energies_only_are_a_committee(features):
    field = list(hybrid(features).corrections)[:2]
    members = []
    for scale in (0.2, 0.3, 0.4):
        model = randomized(NDDO("AM1", correction=AtomicEnergyCorrection(features, hidden=(4, 3))), scale)
        members.append(model.with_corrections([*field, *model.corrections]))
    together, systems = merged(members), batch(*MOLECULES)
    energies = torch.stack([model(systems).energy for model in members])
    result = together(systems)
    torch.testing.assert_close(result.energy, energies.mean(0), rtol=0, atol=1e-9)
    torch.testing.assert_close(result.energy_spread, energies.std(0), rtol=1e-7, atol=1e-9)
    assert len(together.corrections) == 3
    assert merged([members[0], hybrid(features)])(systems).energy_spread is None


def test_what_does_not_fit_is_refused(features):
    with pytest.raises(InputError, match="at least one"):
        mixture([])
    with pytest.raises(InputError, match="expected 2 weights"):
        mixture([added(features, 0.1), added(features, 0.2)], [1.5, 0.5])
    pair = [AtomicEnergyCorrection(features, hidden=(n,)) for n in (4, 5)]
    with pytest.raises(InputError, match="alike"):
        AtomicEnergyCorrection.committee(pair)
    with pytest.raises(InputError, match="share method"):
        mixture([added(features, 0.1), NDDO("PM3")])
