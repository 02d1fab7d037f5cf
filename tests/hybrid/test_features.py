"""What a hybrid's networks see of an atom."""

from __future__ import annotations

from math import exp

import pytest
from ase import Atoms
from hybrid_models import CUTOFF

from nddo_ml import AtomFeatures, Systems


def test_presence_by_hand(features: AtomFeatures) -> None:
    """``1 − exp[−(2 Σ f(r))²]`` with the polynomial f of the cut-off: 0 for a lone atom, near 1 for a bonded one."""
    for share in (0.3, 0.5, 0.8, 0.95, 1.01):
        found = features(Systems.from_ase(Atoms("H2", [[0, 0, 0], [0, 0, share * CUTOFF]]))).presence
        x = min(share, 1.0)
        expected = 1 - exp(-((2 * (1 - x**3 * (10 - 15 * x + 6 * x**2))) ** 2))
        assert found.tolist() == pytest.approx([expected, expected], abs=1e-12)
