"""Data and models that the tests of the potential share."""

from __future__ import annotations

import pytest
from ase.io import read
from nnp_models import DATA

from nddo_ml.models.nnp import NNP


@pytest.fixture(scope="session")
def silicon_frames():
    """Four silicon cells: vacancy, surface, liquid, elastic."""
    return read(DATA / "mlearn_si" / "test_sample.extxyz", ":")


@pytest.fixture(scope="session")
def silicon():
    """The published silicon potential."""
    return NNP.from_n2p2(DATA / "mlearn_si" / "n2p2_model")
