"""Curves of two atoms: bond, wall and tail of known functions, spins, the command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from nnp_models import DATA
from torch import Tensor

from nddo_ml import NDDO, NNP, InputError, Prediction, Systems
from nddo_ml.cli import main
from nddo_ml.compare.dimers import dimer_curve
from nddo_ml.models.base import AbstractModel, Capabilities, Request
from nddo_ml.terms.screened_repulsion import ScreenedRepulsionZBL


class Pairs(AbstractModel):
    """Two atoms with the energy f(r, 2S + 1); an atom alone has 1 eV."""

    name, elements, periodic = "pairs", frozenset({7, 8}), False

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(self.elements, False, charge=True, spin=True, properties=frozenset({"energy"}))

    def forward(self, systems: Systems, request: Request) -> Prediction:
        if systems.n_atoms == systems.n_systems:
            return Prediction(torch.ones(systems.n_systems, dtype=torch.float64))
        r = (systems.positions[1::2] - systems.positions[::2]).norm(dim=1)
        return Prediction(2.0 + self.function(r, systems.multiplicity))


def test_a_morse_curve() -> None:
    """N2's constants: ω_e = a sqrt(2 D/μ)/(2πc), in closed form."""
    depth, width, bond = 9.9, 2.7, 1.098
    curve = dimer_curve(Pairs(lambda r, s: depth * ((1 - torch.exp(-width * (r - bond))) ** 2 - 1)), "N", "N")
    assert curve.bond == pytest.approx(bond, abs=1e-5)
    assert curve.depth == pytest.approx(depth, abs=1e-5)
    mass, charge, light = 14.007 / 2 * 1.66053906660e-27, 1.602176634e-19, 2.99792458e10
    expected = width * 1e10 * math.sqrt(2 * depth * charge / mass) / (2 * math.pi * light)
    assert curve.wavenumber == pytest.approx(expected, rel=1e-3)
    assert len(curve.minima) == 1
    assert curve.wall
    assert curve.tail is None or curve.tail > 20


def test_a_tail_and_a_hole() -> None:
    well = dimer_curve(Pairs(lambda r, s: 4e-3 * ((3.5 / r) ** 12 - (3.5 / r) ** 6)), "N", "O")
    assert well.tail == pytest.approx(6.0, abs=1e-2)
    assert well.wall
    hole = dimer_curve(Pairs(lambda r, s: -torch.exp(-((r - 1.2) ** 2) / 0.1) - 3 * torch.exp(-(r**2) / 0.2)), "N", "N")
    assert not hole.wall
    assert hole.tail is None


def test_the_lowest_spin_at_every_distance() -> None:
    model = Pairs(lambda r, s: torch.where(s == 1, 3.0 * (r - 2.0).square() - 1.0, 1.0 / r**6))
    curve = dimer_curve(model, "N", "N", distances=np.arange(1.2, 4.0, 0.1))
    assert set(curve.multiplicities[np.abs(curve.distances - 2.0) < 0.3]) == {1}
    assert set(curve.multiplicities[curve.distances > 3.0]) == {3}
    fixed = dimer_curve(model, "N", "N", multiplicity=3)
    assert fixed.bond is None
    assert fixed.wall


def test_a_potential_gets_its_wall_from_zbl() -> None:
    silicon = NNP.from_n2p2(DATA / "mlearn_si" / "n2p2_model")
    assert dimer_curve(silicon, "Si", "Si").energies[0] < 20
    silicon.terms = (ScreenedRepulsionZBL(),)
    curve = dimer_curve(silicon, "Si", "Si")
    assert curve.energies[0] > 1000
    assert (np.diff(curve.energies[curve.distances < 1.6]) < 0).all()


def test_hydrogen_comes_apart_into_atoms() -> None:
    curve = dimer_curve(NDDO("RM1"), "H", "H", distances=[0.5, 0.6, 0.7, 0.8, 1.0, 1.5, 2.0, 4.0, 8.0])
    assert abs(curve.limit) < 1e-3
    assert 0.6 < curve.bond < 0.8
    assert curve.depth > 4


def test_the_command_and_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["dimer", "H", "H", "-m", "RM1", "--json", "-", "--multiplicity", "1"])
    assert not left.value.code
    (record,) = json.loads(capsys.readouterr().out)
    assert record["model"] == "RM1"
    assert record["bond_angstrom"] == pytest.approx(0.7, abs=0.1)
    with pytest.raises(InputError, match="expected two elements; got 'Xx'"):
        dimer_curve(NDDO("RM1"), "H", "Xx")
    with pytest.raises(InputError, match="distances of a dimer must be positive"):
        dimer_curve(NDDO("RM1"), "H", "H", distances=[0.0, 1.0])
