"""Structures that the descriptor tests share."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from bp_descriptors import SymmetryFunctions, neighbor_list, pair_vectors
from bp_descriptors.structures import structures_of


def rattled(atoms: Atoms, seed: int, size: float = 0.08) -> Atoms:
    atoms = atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(0.0, size, atoms.positions.shape)
    return atoms


@pytest.fixture(scope="session")
def molecules() -> list[Atoms]:
    names = ("CH3CONH2", "C2H6", "H2O", "CO", "N", "NH3")
    return [rattled(molecule(name), k) for k, name in enumerate(names)]


@pytest.fixture(scope="session")
def mixed(molecules) -> list[Atoms]:
    """Molecules, a skewed cell below the cut-off, a slab and a wire; H, C, N and O."""
    rng = np.random.default_rng(7)
    skewed = Atoms("CHON", rng.random((4, 3)) * 3.5, cell=[[3.4, 0, 0], [1.6, 3.0, 0], [-1.0, 1.2, 3.3]], pbc=True)
    slab = Atoms(
        "COC",
        rng.random((3, 3)) * 2.5,
        cell=[[2.5, 0, 0], [0.7, 2.6, 0], [0, 0, 20]],
        pbc=[True, True, False],
    )
    wire = Atoms("NHO", rng.random((3, 3)) * 3, cell=[[0, 0, 0], [0, 2.7, 0], [0, 0, 0]], pbc=[False, True, False])
    return [*molecules[:3], skewed, slab, molecules[4], wire]


@pytest.fixture(scope="session")
def silicon() -> Atoms:
    return rattled(bulk("Si", cubic=True), 3)


def description(sf: SymmetryFunctions, frames: list[Atoms]):
    """Numbers, vectors (with gradient) and pairs of a batch."""
    batch = structures_of(frames)
    pairs = neighbor_list(batch.positions, sf.cutoff, batch.system_idx, batch.cell, batch.pbc)
    vectors = pair_vectors(batch.positions, pairs, batch.system_idx, batch.cell)
    return batch.numbers, vectors.detach().requires_grad_(), pairs


@pytest.fixture(scope="session")
def describe_inputs():
    return description


@pytest.fixture(autouse=True)
def _one_seed():
    torch.manual_seed(0)
