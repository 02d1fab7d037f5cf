"""Energy terms beside a potential: training, files, committees."""

from __future__ import annotations

import pytest
import torch
from ase.build import bulk, molecule
from kinds import CHNO, with_terms
from nnp_models import make_nnp

from nddo_ml import NNP, InputError, Systems
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.predictors.cached import CachedNNP
from nddo_ml.predictors.direct import DirectPredictor
from nddo_ml.terms.dispersion import DispersionD3
from nddo_ml.terms.screened_repulsion import ScreenedRepulsionZBL
from nddo_ml.training.build_nnp import build_nnp


def test_terms_add_their_energy() -> None:
    model, plain = with_terms(), make_nnp(CHNO)
    systems = Systems.from_ase([molecule("CH3OH"), molecule("HCN")])
    expected = plain(systems).energy + sum(term.energy(systems) for term in model.terms)
    torch.testing.assert_close(model(systems).energy, expected, rtol=0, atol=1e-10)


def test_stored_descriptors_know_the_terms() -> None:
    model = make_nnp(("Si",), [bulk("Si")])
    model.terms = (ScreenedRepulsionZBL(end=2.0),)
    frames = [bulk("Si", a=a) for a in (5.1, 5.3, 5.5)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=k)
    systems, index = Systems.from_ase(frames), torch.tensor([2, 0])
    needed = torch.ones(3, dtype=torch.bool)
    cached = CachedNNP(model, systems, needed, torch.float64)(index, forces=True, stress=True)
    direct = DirectPredictor(model, systems)(index, forces=True, stress=True)
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(getattr(cached, name), getattr(direct, name), rtol=0, atol=1e-8)


def test_terms_are_options_of_a_training() -> None:
    frames = [molecule(name) for name in ("H2O", "CH4", "CH3OH")]
    for atoms in frames:
        atoms.info["energy"] = -10.0 * len(atoms)
    data = from_frames(frames)
    model = build_nnp(data, 0, size="small", hidden=(4,), dispersion={"s8": 1.0}, screened_repulsion={})
    assert model.terms == (DispersionD3(s8=1.0), ScreenedRepulsionZBL())
    assert not model.ignore_charge_and_spin


def test_data_with_radicals_say_that_spin_is_to_be_ignored() -> None:
    model = build_nnp(from_frames([molecule("CH3"), molecule("CH4")]), 0, size="small", hidden=(4,))
    assert model.ignore_charge_and_spin
    assert bool(model(molecule("CH3")).energy.isfinite())


def test_terms_are_no_part_of_n2p2_and_must_be_shared(tmp_path) -> None:
    with pytest.raises(InputError, match="n2p2 has no energy terms"):
        with_terms().to_n2p2(tmp_path)
    with pytest.raises(InputError, match="must share"):
        NNP.committee([with_terms(), make_nnp(CHNO)])


def test_weights_of_older_files_have_another_name() -> None:
    model = make_nnp(CHNO)
    state = model.state_dict()
    state["reference"] = state.pop("reference_energies") + 1.0
    model.load_state_dict(state)
    assert float(model.reference_energies[8]) == -7.0


@pytest.mark.parametrize("charges", ["none", "qeq"])
def test_a_repulsion_of_pairs_keeps_the_shares_of_atoms(charges: str) -> None:
    """Energies and virials of atoms with ZBL, whose sums are energy and stress; without a graph and with one."""
    atoms = bulk("CO", "zincblende", a=3.2)
    atoms.rattle(0.1, seed=1)
    model, cell = make_nnp(charges=charges), Systems.from_ase(atoms)
    plain = model(cell, forces=True, stress=True)
    zbl = ScreenedRepulsionZBL(end=1.2)
    model.terms = (zbl,)
    assert "atomic_energies" in model.capabilities.properties
    found = model(cell, forces=True, stress=True)
    torch.testing.assert_close(found.energy - plain.energy, zbl.energy(cell), rtol=0, atol=1e-10)
    assert float(zbl.energy(cell)) > 0.1
    torch.testing.assert_close(found.atomic_energies.sum()[None], found.energy, rtol=0, atol=1e-10)
    graph = model.train()(cell, forces=True, stress=True).detached()
    for name in ("energy", "forces", "stress"):
        torch.testing.assert_close(getattr(graph, name), getattr(found, name), rtol=0, atol=1e-9)
    if charges == "none":
        volume = torch.linalg.det(cell.cell[0]).abs()
        torch.testing.assert_close(-found.virials.sum(0) / volume, found.stress[0], rtol=0, atol=1e-12)


def test_anchored_potentials_have_the_compiled_form() -> None:
    model, systems = make_nnp(CHNO, anchored=True), Systems.from_ase([molecule("CH3OH"), molecule("HCN")])
    without = model(systems, forces=True)
    graph = model.train()(systems, forces=True).detached()
    for name in ("energy", "forces"):
        torch.testing.assert_close(getattr(without, name), getattr(graph, name), rtol=0, atol=1e-9)
