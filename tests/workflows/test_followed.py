"""A structure followed from call to call: what has changed, and densities to start from."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from ase.build import molecule

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.workflows.followed import Densities, changes_between


def test_what_has_changed_is_named() -> None:
    old, new = molecule("CH4"), molecule("CH4")
    assert changes_between(old, new) == []
    new.positions[1, 2] += 1e-12
    new.set_masses([13.0, 1, 1, 1, 1])
    new.info["charge"] = 1
    assert changes_between(old, new) == ["positions", "masses", "info"]


def test_a_density_follows_the_geometry() -> None:
    """Densities that depend on time by a cubic are met where the positions do, and others are not combined."""
    systems, kept = Systems.from_ase(molecule("H2O")), Densities()
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(4, *s, dtype=torch.float64, generator=generator) for s in ((3, 3), (1, 1, 6, 6))]

    def at(t: float, coefficients: torch.Tensor) -> torch.Tensor:
        powers = torch.tensor([1.0, t, t**2, t**3], dtype=torch.float64)
        return torch.tensordot(powers, coefficients, dims=1)

    for t in (0.0, 0.1, 0.2, 0.3, 0.4):
        kept.add(systems.with_positions(at(t, drawn[0])), at(t, drawn[1]))
    start = kept.start(systems.with_positions(at(0.5, drawn[0])))
    assert start is not None
    torch.testing.assert_close(start, at(0.5, drawn[1]), rtol=0, atol=1e-4)
    assert kept.start(Systems.from_ase(molecule("H2O"), charge=2)) is None


def test_a_start_after_a_jump_is_the_density_of_the_nearest_geometry() -> None:
    systems, kept = Systems.from_ase(molecule("H2O")), Densities()
    kept.add(systems, torch.ones(1, 1, 6, 6, dtype=torch.float64))
    start = kept.start(systems.with_positions(systems.positions + 1.0))
    torch.testing.assert_close(start, torch.ones(1, 1, 6, 6, dtype=torch.float64))


def test_systems_that_move_are_checked_and_remember() -> None:
    systems = Systems.from_ase(molecule("H2O"))
    calls: list[int] = []
    found = [s.kept("count", lambda: calls.append(1) or 7) for s in (systems, systems.moved(systems.positions + 0.1))]
    assert found == [7, 7]
    assert len(calls) == 1
    assert pickle.loads(pickle.dumps(systems)).kept("count", lambda: 8) == 8
    with pytest.raises(InputError, match="on one spot"):
        systems.moved(torch.zeros_like(systems.positions))
    with pytest.raises(InputError, match="finite"):
        systems.moved(systems.positions * torch.nan)


def test_extrapolation_saves_iterations() -> None:
    """Along a smooth path, and results stay those of a fresh start."""
    model, systems, kept = NDDO("AM1"), Systems.from_ase(molecule("CH3CONH2")), Densities()
    shape = torch.randn(systems.n_atoms, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    counts = []
    for k in range(10):
        here = systems.moved(systems.positions + 0.02 * np.sin(0.15 * k) * shape)
        prediction = model(here, forces=True, start=kept.start(here))
        kept.add(here, prediction.scf.density)
        counts.append(int(prediction.scf.iterations))
    torch.testing.assert_close(prediction.forces, model(here, forces=True).forces, rtol=0, atol=1e-5)
    assert max(counts[-3:]) < counts[1] - 2
