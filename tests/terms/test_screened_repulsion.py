"""The screened repulsion of nuclei: the published function, where it ends, derivatives, cells."""

from __future__ import annotations

from math import exp

import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from nddo_ml import InputError, Systems
from nddo_ml.terms.screened_repulsion import ScreenedRepulsionZBL


def universal(z_i: int, z_j: int, r: float) -> float:
    """ZBL's energy in eV, written out with the constants of the book: e² = 14.3996 eV Å, a_0 = 0.529177 Å."""
    x = r * (z_i**0.23 + z_j**0.23) / (0.8854 * 0.529177)
    terms = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
    return 14.3996 * z_i * z_j / r * sum(a * exp(-b * x) for a, b in terms)


@pytest.mark.parametrize(("symbols", "r"), [("HH", 0.2), ("SiSi", 0.8), ("CO", 0.5)])
def test_published_function(symbols: str, r: float) -> None:
    atoms = Atoms(symbols, [[0, 0, 0], [0, 0, r]])
    energy = float(ScreenedRepulsionZBL().energy(Systems.from_ase(atoms)))
    assert energy == pytest.approx(universal(*atoms.numbers, r), rel=1e-5)


def test_bonds_are_left_alone() -> None:
    systems = Systems.from_ase([molecule(name) for name in ("CH3OH", "C2H2", "H2O", "N2")])
    assert ScreenedRepulsionZBL().energy(systems).tolist() == [0.0] * 4


def test_derivatives() -> None:
    term = ScreenedRepulsionZBL(begin=0.3, end=2.0)
    systems = Systems.from_ase([molecule("H2O"), bulk("Si")])
    positions, cell = systems.positions.clone().requires_grad_(), systems.cell.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, c: term.energy(systems.with_positions(x, c)), (positions, cell))
    assert torch.autograd.gradgradcheck(
        lambda x, c: term.energy(systems.with_positions(x, c)), (positions, cell), fast_mode=True
    )


def test_a_cell_and_its_multiple() -> None:
    term = ScreenedRepulsionZBL(end=2.0)
    one, eight = (float(term.energy(Systems.from_ase(bulk("Si") * (n, n, n)))) for n in (1, 2))
    assert eight == pytest.approx(8 * one, rel=1e-12)


def test_elements_without_a_radius_and_dtype() -> None:
    with pytest.raises(InputError, match="needs a covalent radius; U has none"):
        ScreenedRepulsionZBL().energy(Systems.from_ase(Atoms("U")))
    squeezed = Systems.from_ase(Atoms("HF", [[0, 0, 0], [0, 0, 0.3]]), dtype=torch.float32)
    assert ScreenedRepulsionZBL().energy(squeezed).dtype == torch.float32
