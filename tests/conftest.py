"""Data and models that several folders of tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ase import Atoms
from ase.io import read
from engines import torch_alone
from hybrid_models import CUTOFF
from places import DATA

from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.models.nnp import NNP


@pytest.fixture(params=["torch", "core"])
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both who may have the fields, one after the other: the core hides faults of the torch code."""
    if request.param == "core":
        yield
        return
    with torch_alone():
        yield


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
