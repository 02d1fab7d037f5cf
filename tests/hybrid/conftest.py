"""What the tests of the hybrid share."""

from __future__ import annotations

import pytest
from hybrid_models import CUTOFF

from nddo_ml.hybrid.features import AtomFeatures


@pytest.fixture(scope="session")
def features() -> AtomFeatures:
    return AtomFeatures.default(["H", "C", "N", "O"], CUTOFF)
