"""Charges and screening of two atoms, by hand."""

from __future__ import annotations

from math import cos, erf, pi

import pytest
import torch
from ase import Atoms

from nddo_ml import Systems
from nddo_ml.electrostatics.charges import EquilibratedCharges, Surroundings
from nddo_ml.electrostatics.rows import AtomRows
from nddo_ml.electrostatics.screening import screened_part
from nddo_ml.networks import ElementNetworks, NetworkShape

COULOMB = 14.3996455  # eV Å


def test_equilibrated_charges_of_a_pair() -> None:
    """``q = (Q (J_2 + A_22 − A_12) + χ_2 − χ_1) / (J_1 + J_2 + A_11 + A_22 − 2 A_12)`` on the first atom."""
    shape = NetworkShape.uniform(1, (2,))
    networks = ElementNetworks({1: shape, 17: shape}, seed=3)
    systems = Systems.from_ase(Atoms("HCl", [[0, 0, 0], [0, 0, 1.3]]), charge=1)
    scaled, coulomb = torch.tensor([[0.3], [-0.8]]).double(), torch.tensor([[[9.0, 6.0], [6.0, 8.0]]]).double()
    model = EquilibratedCharges(networks, {1: 7.0, 17: 5.0}, scale=2.0)
    with torch.no_grad():
        chi = 2.0 * networks(scaled, systems.numbers)[:, 0]
        charges = model(Surroundings(systems, scaled, AtomRows.of(systems), coulomb)).tolist()
    first = (1.0 * (5.0 + 8.0 - 6.0) + float(chi[1] - chi[0])) / (7.0 + 5.0 + 9.0 + 8.0 - 12.0)
    assert charges == pytest.approx([first, 1 - first], abs=1e-12)


def test_screening_of_a_pair() -> None:
    """Of two Gaussian charges a quarter of the way from where screening takes all to where it takes nothing."""
    systems = Systems.from_ase(Atoms("HCl", [[0, 0, 0], [0, 0, 2.0]]))
    charges, widths = torch.tensor([0.4, -0.3]).double(), torch.tensor([0.5, 1.2]).double()
    found = float(screened_part(systems, charges, widths, 1.5, 3.5).sum())
    between = 0.4 * -0.3 * erf(2.0 / (2 * (0.5**2 + 1.2**2)) ** 0.5) / 2.0 * (0.5 + 0.5 * cos(pi / 4))
    alone = 0.5 * (0.4**2 / 0.5 + 0.3**2 / 1.2) / pi**0.5
    assert found == pytest.approx(COULOMB * (between + alone), rel=1e-6)
