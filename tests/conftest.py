"""Data and models that several folders of tests share."""

from __future__ import annotations

import pytest
from ase import Atoms
from ase.io import read
from hybrid_models import CUTOFF
from places import DATA

from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.models.nnp import NNP


@pytest.fixture(scope="session")
def silicon_frames() -> list[Atoms]:
    """Four silicon cells: vacancy, surface, liquid, elastic."""
    return read(DATA / "mlearn_si" / "test_sample.extxyz", ":")


@pytest.fixture(scope="session")
def silicon() -> NNP:
    """The published silicon potential."""
    return NNP.from_n2p2(DATA / "mlearn_si" / "n2p2_model")


@pytest.fixture(scope="session")
def features() -> AtomFeatures:
    """Symmetry functions that hybrids of H, C, N and O share."""
    return AtomFeatures.default(["H", "C", "N", "O"], CUTOFF)
