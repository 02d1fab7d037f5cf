"""Errors of a model on labelled structures."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms

from nddo_ml.datasets.dataset import from_frames
from nddo_ml.evaluation.tables import Table, zero_fitted_errors


def test_zeros_are_fitted_with_weights_of_one_over_the_size() -> None:
    """Of H2 off by −2 eV and H4 by −8 eV: Σ ΔE / Σ N = −10/6 an atom, which leaves −2 + 20/6 and −8 + 40/6."""
    data = from_frames([Atoms("H2", [[0, 0, 0], [0, 0, 0.8]]), Atoms("H4", [[0, 0, k] for k in range(4)])])
    reference, predicted = torch.tensor([-12.0, -28.0]).double(), torch.tensor([-10.0, -20.0]).double()
    found = zero_fitted_errors({"energy": Table(predicted, reference, torch.arange(2))}, data)
    assert found["energy"]["mae"] == pytest.approx(4 / 3)
    assert found["energy_per_atom"]["mae"] == pytest.approx((2 / 3 + 1 / 3) / 2)
