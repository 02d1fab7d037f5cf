"""Corrections in closed form beside the torch code that defines them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from hybrid_models import hybrid, rattled

from nddo_ml import Prediction, Systems
from nddo_ml.core.closed import ClosedCorrections
from nddo_ml.core.committee import ClosedCommittee
from nddo_ml.core.library import library
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
            model.spread = spread
            found = model(systems, forces=True, stress=stress)
            with monkeypatch.context() as context:
                context.setattr(ClosedCommittee, "serves", lambda *_: False)
                expected = model(systems, forces=True, stress=stress)
            assert found.given.keys() == expected.given.keys()
            for name, value in expected.given.items():
                torch.testing.assert_close(found.given[name], value, rtol=0, atol=1e-11)


def test_atoms_with_d_orbitals_are_left_to_torch() -> None:
    model = hybrid(AtomFeatures.default(["H", "C", "S"], 3.5), "PM6")
    both = model([molecule("CH3SH"), molecule("CH4")], forces=True)
    alone = model(molecule("CH4"), forces=True)
    torch.testing.assert_close(both.forces[-5:], alone.forces, rtol=0, atol=1e-9)
