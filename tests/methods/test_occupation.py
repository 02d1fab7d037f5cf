"""Electrons by spin, counted by hand."""

from __future__ import annotations

from ase import Atoms
from ase.build import molecule

from nddo_ml import Systems
from nddo_ml.methods.occupation import occupations, open_shells
from nddo_ml.methods.tables import load_method


def test_valence_electrons_by_charge_and_multiplicity() -> None:
    ammonium = molecule("NH3") + Atoms("H", [[0, 0, 1.2]])
    frames = [ammonium, molecule("OH"), molecule("CH3"), molecule("O2"), Atoms("Fe")]
    systems = Systems.from_ase(frames, charge=[1, -1, 0, 0, 2], multiplicity=[1, 1, 2, 3, 5])
    expected = [[4, 4], [4, 4], [4, 3], [7, 5], [5, 1]]  # iron: 3d⁶ of Fe²⁺
    assert occupations(systems, load_method("PM6")).tolist() == expected
    assert open_shells(systems, None).tolist() == [False, False, True, True, True]
    assert open_shells(systems, uhf=True).tolist() == [True] * 5
