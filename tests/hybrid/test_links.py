"""Links: features that see an atom's own molecule and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.collections import s22
from finite_differences import force_from_energies
from hybrid_models import batch, hybrid, randomized, rattled

from nddo_ml import NDDO, load_model, save_model
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.scf.solve import SCFOptions

DIMERS = {"Water_dimer": 3, "Formic_acid_dimer": 5, "Benzene_dimer_parallel_displaced": 12}


@pytest.fixture(scope="module")
def bonded() -> AtomFeatures:
    return AtomFeatures.default(["H", "C", "N", "O"], 4.0, size="small", bonded=True)


def stretched(ratio: float) -> Atoms:
    """Methane with one bond as long as ``ratio`` times the sum of the covalent radii, 1.14 Å."""
    atoms = molecule("CH4")
    atoms.set_distance(0, 1, 1.14 * ratio, fix=0)
    return atoms


@pytest.mark.parametrize("name", DIMERS)
def test_molecules_do_not_see_each_other(bonded: AtomFeatures, name: str) -> None:
    dimer, n = s22[name], DIMERS[name]
    together, apart = bonded(batch(dimer)), bonded(batch(dimer[:n], dimer[n:]))
    torch.testing.assert_close(together.values, apart.values, rtol=0, atol=1e-12)
    torch.testing.assert_close(together.presence, apart.presence, rtol=0, atol=1e-12)


def test_added_energies_leave_the_interaction_to_the_parent(bonded: AtomFeatures) -> None:
    dimer, options = s22["Ammonia_dimer"], SCFOptions(tolerance=1e-10)
    model = randomized(NDDO("AM1", correction=AtomicEnergyCorrection(bonded, seed=1), scf=options))
    interactions = []
    for m in (model, NDDO("AM1", scf=options)):
        energy = m(batch(dimer, dimer[:4], dimer[4:])).energy
        interactions.append(energy[0] - energy[1] - energy[2])
    torch.testing.assert_close(*interactions, rtol=0, atol=1e-8)


def test_weights_follow_bonds(bonded: AtomFeatures) -> None:
    links = bonded(batch(molecule("trans-butane"), stretched(1.1), stretched(1.5))).links
    assert links is not None
    others = ~torch.eye(14, dtype=torch.bool)
    torch.testing.assert_close(links.weights[:14][others], torch.ones(14 * 13, dtype=torch.float64))
    assert float(links.weights[14, 1]) == pytest.approx(1.0)
    assert float(links.weights[19, 1]) == 0.0  # the hydrogen is gone


def test_hydrogens_part_slowly(bonded: AtomFeatures) -> None:
    lengths = torch.linspace(0.7, 2.2, 31).tolist()
    links = bonded(batch(*(Atoms("H2", [(0, 0, 0), (0, 0, r)]) for r in lengths))).links
    assert links is not None
    weights = links.weights[::2, 1]
    assert float(weights[0]) == 1.0
    assert float(weights[-1]) == 0.0
    steps = weights.diff()  # of 0.05 Å
    assert bool((steps <= 0).all())
    assert float(steps.min()) > -0.3


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.3, 1.4])
def test_forces_are_the_derivative_of_the_energy(bonded: AtomFeatures, ratio: float) -> None:
    model, atoms = hybrid(bonded), stretched(ratio)
    atoms.rattle(0.02, seed=3)
    systems = batch(atoms)
    forces = model(systems, forces=True).forces[1]
    expected = [force_from_energies(model, systems, 1, axis, step=1e-5) for axis in range(3)]
    assert forces.tolist() == pytest.approx(expected, abs=2e-6)


def test_they_are_saved(bonded: AtomFeatures, tmp_path: Path) -> None:
    model, systems = hybrid(bonded), batch(s22["Water_dimer"], rattled("CH3OH", 2))
    save_model(model, tmp_path / "model.pt")
    torch.testing.assert_close(load_model(tmp_path / "model.pt")(systems).energy, model(systems).energy)


def test_a_heavy_bond_is_let_go_gently(bonded: AtomFeatures) -> None:
    """N2's weight takes a quarter of an ångström from 0.9 to 0.1, without a step."""
    length = torch.arange(1.6, 2.8, 0.01, dtype=torch.float64)
    links = bonded(batch(*(Atoms("N2", [[0, 0, 0], [0, 0, float(r)]]) for r in length))).links
    assert links is not None
    weight = links.weights[::2, 1]
    assert bool((weight[1:] <= weight[:-1]).all())
    assert float((weight[:-1] - weight[1:]).max()) < 0.04
    between = length[(weight < 0.9) & (weight > 0.1)]
    assert float(between.max() - between.min()) > 0.25


def test_the_strongest_path_counts_and_not_their_number(bonded: AtomFeatures) -> None:
    """The methyl groups of ethane, with their many ways from one to the other, part like two bare atoms."""
    lengths = [1.9, 2.1, 2.3, 2.5, 2.65]
    ethane = []
    for length in lengths:
        atoms = molecule("C2H6")
        shift = length - atoms.get_distance(0, 1)
        away = [k for k in range(8) if atoms.get_distance(k, 0) > atoms.get_distance(k, 1)]
        along = atoms.positions[1] - atoms.positions[0]
        atoms.positions[away] += shift * along / (along @ along) ** 0.5
        ethane.append(atoms)
    pairs = [Atoms("C2", [[0, 0, 0], [0, 0, length]]) for length in lengths]
    links = bonded(batch(*ethane, *pairs)).links
    assert links is not None
    n = len(lengths)
    carbons, bare = links.weights[: 8 * n : 8, 1], links.weights[8 * n :: 2, 1]
    assert float(carbons[0]) > 0.99
    torch.testing.assert_close(carbons, bare, rtol=0.3, atol=0.05)
