"""Corrections in closed form beside the torch code that defines them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from hybrid_models import corrections, hybrid, randomized, rattled

from nddo_ml import NDDO, Prediction, Systems
from nddo_ml.core.closed import ClosedCorrections
from nddo_ml.core.committee import ClosedCommittee
from nddo_ml.core.library import library
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.domain import Domain
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.models.open import open_model

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled core was not built")


def _assert_equal(one: Prediction, other: Prediction) -> None:
    for name in ("energy", "forces", "charges", "dipole"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-9)


def _systems() -> Systems:
    other = molecule("H2O")
    other.translate([0.3, 0.4, 2.9])
    pair = molecule("H2O") + other
    frames = [rattled("CH3CONH2", 1), Atoms("C"), molecule("H2"), pair, rattled("C2H2", 2)]
    return Systems.from_ase(frames, multiplicity=[1, 3, 1, 1, 1])


@pytest.mark.parametrize("bonded", [False, True])
def test_molecules(bonded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shifts, factors and energies, their derivatives, an atom alone, pairs that are not linked."""
    model, systems = hybrid(AtomFeatures.default(["H", "C", "N", "O"], 3.5, bonded=bonded), scale=0.4), _systems()
    model.scf_options = replace(model.scf_options, solution="first")
    found = model(systems, forces=True)
    with monkeypatch.context() as context:
        context.setattr(ClosedCorrections, "batch", lambda *_: None)
        _assert_equal(found, model(systems, forces=True))


def _with_domain(bonded: bool) -> NDDO:
    """A hybrid with all corrections, a committee among them, whose domain ends amid the systems."""
    plain = AtomFeatures.default(["H", "C", "N", "O"], 3.5, bonded=bonded)
    data = Systems.from_ase([rattled(name, k) for name in ("CH3OH", "CH3CONH2", "C2H2", "H2O") for k in range(6)])
    with torch.no_grad():
        domain = Domain.fit(plain(data).values, data.numbers, 3.0, directions=5, centers=9, breaking=True)
    features = AtomFeatures(plain.functions, plain.scaler, bonded, domain)
    members = [AtomicEnergyCorrection(features, hidden=(3, 2)) for _ in range(3)]
    model = randomized(NDDO("AM1", correction=[*corrections(features), *members]), 0.4)
    *others, one, two, three = model.corrections
    committee = AtomicEnergyCorrection.committee([one, two, three])
    return model.with_corrections([*others, committee])


@pytest.mark.parametrize("bonded", [False, True])
def test_domains_and_committees(bonded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust inside, at the border and outside, a committee whose members stand apart, and its spread."""
    model = _with_domain(bonded)
    systems = Systems.from_ase([rattled("CH3CONH2", k, a) for k, a in enumerate((0.05, 0.1, 0.15))] + [Atoms("C")])
    trust = next(iter(model.corrections)).features(systems).trust
    assert bool(((trust > 0.01) & (trust < 0.99)).any())
    assert bool((trust == 1).any())
    found = model(systems, forces=True)
    with monkeypatch.context() as context:
        context.setattr(ClosedCorrections, "batch", lambda *_: None)
        expected = model(systems, forces=True)
    _assert_equal(found, expected)
    for name in ("energy_spread", "atomic_spread"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=1e-9)


def test_the_shipped_hybrid_has_a_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    model, systems = open_model("hybrid"), Systems.from_ase([rattled("CH3CONH2", 1), rattled("CH3SH", 2, 0.2)])
    batches = []
    by_closed_form = ClosedCorrections.batch

    def counted(closed: ClosedCorrections, *given: Any) -> Any:
        batches.append(by_closed_form(closed, *given))
        return batches[-1]

    monkeypatch.setattr(ClosedCorrections, "batch", counted)
    found = model(systems, forces=True)
    assert None not in batches
    monkeypatch.setattr(ClosedCorrections, "batch", lambda *_: None)
    _assert_equal(found, model(systems, forces=True))


def test_elements_that_a_domain_lacks_are_left_to_torch() -> None:
    model = _with_domain(bonded=True)
    both = model([molecule("CH3Cl"), molecule("CH4")], forces=True)
    alone = model(molecule("CH4"), forces=True)
    torch.testing.assert_close(both.forces[-5:], alone.forces, rtol=0, atol=1e-9)


def test_new_weights_and_statistics_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    model, systems = hybrid(AtomFeatures.default(["H", "C", "N", "O"], 3.5)), Systems.from_ase(rattled("CH3OH", 1))
    before = model(systems, forces=True)
    state = {k: 0.9 * v if v.is_floating_point() else v for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    found = model(systems, forces=True)
    assert float((found.energy - before.energy).abs()) > 1e-6
    with monkeypatch.context() as context:
        context.setattr(ClosedCorrections, "batch", lambda *_: None)
        _assert_equal(found, model(systems, forces=True))


def test_potentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A committee, molecules and a periodic cell, each with and without its spread."""
    model = open_model("nnp-chno")
    cell = molecule("CH4", cell=[6, 6.5, 7], pbc=[True, True, False])
    for systems, stress in ((_systems(), False), (Systems.from_ase([cell, cell.repeat([1, 1, 1])]), False)):
        model.ignore_charge_and_spin = True
        for spread in (True, False):
            found = model(systems, forces=True, stress=stress, spread=spread)
            assert (found.energy_spread is not None) == spread
            with monkeypatch.context() as context:
                context.setattr(ClosedCommittee, "serves", lambda *_: False)
                expected = model(systems, forces=True, stress=stress, spread=spread)
            assert found.given.keys() == expected.given.keys()
            for name, value in expected.given.items():
                torch.testing.assert_close(found.given[name], value, rtol=0, atol=1e-11)


def test_atoms_with_d_orbitals_are_left_to_torch() -> None:
    model = hybrid(AtomFeatures.default(["H", "C", "S"], 3.5), "PM6")
    both = model([molecule("CH3SH"), molecule("CH4")], forces=True)
    alone = model(molecule("CH4"), forces=True)
    torch.testing.assert_close(both.forces[-5:], alone.forces, rtol=0, atol=1e-9)
