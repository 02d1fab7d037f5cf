"""Known reactions from their reactants and products, against saddle points of MOPAC."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from ase import Atoms
from places import REFERENCES

from nddo_ml import NDDO, Systems
from nddo_ml.workflows.driven import changed_bonds, drive, driven_lengths
from nddo_ml.workflows.elastic_band import Band
from nddo_ml.workflows.normal_modes import free_motions, normal_modes
from nddo_ml.workflows.reaction_path import descend
from nddo_ml.workflows.reactions import ended_at, relaxed_ends, relaxed_paths, saddles_on
from nddo_ml.workflows.saddle import find_saddles
from nddo_ml.workflows.second_derivatives import second_derivatives

RECORDS = {r["name"]: r for r in json.loads((REFERENCES / "reactions.json").read_text())["records"]}
MODEL = NDDO("AM1")


def side(record: dict, name: str) -> Systems:
    return Systems.from_ase(Atoms(record["symbols"], record[name]), charge=record["charge"])


def at_mopacs_saddle(record: dict) -> Systems:
    return side(record | record["mopac"], "positions")


def test_saddle_points_are_those_of_mopac_from_beside_them() -> None:
    """Heats within 0.001 kcal/mol, the imaginary mode within MOPAC's differences of gradients."""
    records = [r for r in RECORDS.values() if len(r["symbols"]) <= 6]
    one = [at_mopacs_saddle(r) for r in records]
    batch = Systems.from_ase([s.to_ase()[0] for s in one], charge=[r["charge"] for r in records])
    noise = torch.randn(batch.positions.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found = find_saddles(batch.with_positions(batch.positions + 0.02 * noise), MODEL)
    assert bool(found.converged.all())
    heats = MODEL(found.systems).heat_of_formation
    for k, (record, derivatives) in enumerate(zip(records, second_derivatives(MODEL, found.systems), strict=True)):
        assert float(heats[k]) == pytest.approx(record["mopac"]["heat_of_formation"], abs=1e-3)
        frequencies = normal_modes(found.systems[k], derivatives, free_motions(MODEL)).frequencies
        assert int((frequencies < -20).sum()) == 1
        assert float(frequencies[0]) == pytest.approx(record["mopac"]["frequency"], abs=6)


def test_forces_of_a_band_by_hand() -> None:
    """Springs of 2 eV/Å² along a straight band, true forces across it; the image that climbs has no springs."""
    band = Band(np.array([[[0.0, 0, 0]], [[1.0, 0, 0]], [[3.0, 0, 0]]]), np.array([0.0, 1.0, 0.5]))
    true = np.array([[[0.3, 0.4, 0.0]]])
    assert band.forces(true)[0, 0].tolist() == pytest.approx([2.0 * (2.0 - 1.0), 0.4, 0.0])
    band.climbing = True
    assert band.forces(true)[0, 0].tolist() == pytest.approx([-0.3, 0.4, 0.0])


def test_a_path_downhill_has_the_steps_asked_for() -> None:
    """From a saddle point of MOPAC: steps of one length in √u Å, across which the energy falls."""
    saddle = at_mopacs_saddle(min(RECORDS.values(), key=lambda r: len(r["symbols"])))
    (derivatives,) = second_derivatives(MODEL, saddle)
    modes = normal_modes(saddle, derivatives, free_motions(MODEL)).modes
    (branches,) = descend(saddle, MODEL, [modes[0]], step=0.1, max_steps=6)
    weights = saddle.to_ase()[0].get_masses()[:, None]
    for branch in branches:
        lengths = [float(((b - a) ** 2 * weights).sum() ** 0.5) for a, b in pairwise(branch.positions)]
        assert all(0.08 < x < 0.1005 for x in lengths)
        assert (np.diff(branch.energies) < 0).all()


def test_bonds_are_driven_from_either_end() -> None:
    """A bond's order changes evenly; what is held stays near its length, and both ends come out at the other."""
    record = RECORDS["hydrogen cyanide to isocyanide"]
    reactant, product = side(record, "reactant"), side(record, "product")
    a, b = reactant.to_ase()[0], product.to_ase()[0]
    assert changed_bonds(a, b) == [(0, 1), (0, 2)]
    lengths = driven_lengths(a, b)
    assert lengths[0] == pytest.approx([1.07, 2 * (0.31 + 0.71)])  # ASE's covalent radii of H and N
    orders = np.exp(-(lengths - lengths.min(0)) / (0.35 * np.array([0.31 + 0.76, 0.31 + 0.71])))
    assert np.ptp(np.diff(orders, axis=0), axis=0) == pytest.approx([0, 0], abs=1e-12)
    ((ahead, back),) = drive(reactant, product, MODEL)
    assert back.bonds == ({(0, 1), (1, 2)}, {(0, 2), (1, 2)})
    assert 0 < back.highest < len(back.energies) - 1
    assert len(ahead.energies) == len(back.energies) == len(lengths) + 2


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDS)
def test_bands_lead_to_mopacs_saddle_points_and_these_to_both_ends(name: str) -> None:
    record = RECORDS[name]
    reactant, product = side(record, "reactant"), side(record, "product")
    relaxed = relaxed_ends(reactant, product, MODEL)
    (paths,) = relaxed_paths(reactant, product, MODEL, relaxed, images=11, fmax=0.2, max_steps=200)
    found = saddles_on(reactant[[0] * len(paths)], MODEL, paths, fmax=0.005)
    heats = MODEL(found.systems).heat_of_formation
    near = found.converged & ((heats - record["mopac"]["heat_of_formation"]).abs() < 0.01)
    assert bool(near.any())
    saddle = found.systems[int(near.nonzero()[0])]
    (derivatives,) = second_derivatives(MODEL, saddle)
    vibrations = normal_modes(saddle, derivatives, free_motions(MODEL))
    assert int((vibrations.frequencies < -20).sum()) == 1
    (branches,) = descend(saddle, MODEL, [vibrations.modes[0]])
    ends = torch.as_tensor(np.concatenate([b.positions[-1] for b in branches]))
    given = (reactant.to_ase()[0], product.to_ase()[0])
    named = ended_at(reactant[[0, 0]].with_positions(ends), MODEL, given, *relaxed)
    assert {n.split()[-1] for n in named} == {"reactant", "product"}
