"""Bonds by MOPAC's rule: distances in sums of covalent radii."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.data import atomic_numbers

from nddo_ml import Systems
from nddo_ml.elements import covalent_radii
from nddo_ml.terms.bonds import bonds_of


@pytest.mark.parametrize(
    ("pair", "factor"), [("CH", 1.25), ("NB", 1.0), ("CC", 1.2), ("CN", 1.2), ("SS", 1.2), ("NN", 1.1), ("OH", 1.1)]
)
def test_a_bond_ends_where_mopacs_does(pair: str, factor: float) -> None:
    numbers = [atomic_numbers[symbol] for symbol in pair]
    limit = factor * float(covalent_radii(torch.tensor(numbers), torch.float64).sum())
    for share, bonds in ((0.999, 1), (1.001, 0)):
        systems = Systems.from_ase(Atoms(numbers, [[0, 0, 0], [0, 0, share * limit]]))
        found = bonds_of(systems, numbers[0])
        assert int((found.i == 0).sum()) == bonds
