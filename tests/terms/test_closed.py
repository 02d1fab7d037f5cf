"""Closed forms of energy terms beside torch's definitions."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import molecule

from nddo_ml import Systems
from nddo_ml.terms.catalog import EnergyTerm
from nddo_ml.terms.closed import CLOSED
from nddo_ml.terms.dispersion import DispersionD3
from nddo_ml.terms.hydrogen_bonds import SoftHydrogenRepulsion


def _systems() -> Systems:
    far = molecule("CH4")
    far.translate([25.0, 0, 0])
    frames = [molecule("CH3CONH2"), Atoms("Fe"), molecule("CH4") + far, Atoms("AuCl", [[0, 0, 0], [0, 0, 2.2]])]
    crowded = Atoms(
        "CH8", [[0, 0, 0], *[[0.7 * a, 0.7 * b, 0.7 * c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]]
    )
    batch = Systems.from_ase([*frames, crowded])
    mixed = torch.randperm(batch.n_atoms, generator=torch.Generator().manual_seed(1))
    return Systems.build(batch.numbers[mixed], batch.positions[mixed], batch.system_idx[mixed])


@pytest.mark.parametrize(
    "term",
    [DispersionD3(), DispersionD3(s6=1.0, s8=0.9, s_r6=1.1, alpha=14.0), SoftHydrogenRepulsion(0.3, 4.46, 2.11)],
)
def test_energies_and_gradients(term: EnergyTerm) -> None:
    systems = _systems()
    moved = systems.with_positions(systems.positions.clone().requires_grad_())
    expected = term.energy(moved)
    (slope,) = torch.autograd.grad(expected.sum(), moved.positions)
    found = CLOSED[type(term)](term, systems)
    assert found is not None
    torch.testing.assert_close(found[0], expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1], slope, rtol=0, atol=1e-12)


def test_large_molecules_are_left_to_torch() -> None:
    chain = Atoms("C" * 151, [[1.5 * k, 0, 0] for k in range(151)])
    assert CLOSED[DispersionD3](DispersionD3(), Systems.from_ase(chain)) is None
