"""The fit of the shipped model ``hybrid``: what its loss compares."""

import importlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

NAMES = ("CH3OH", "CH3CONH2", "CH3SH", "CH3Cl", "PH3", "C2H6CHOH", "CF4", "H2CO")
HALIDES = ("Br", "I")


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ...]]:
    """``labels``, ``fit`` and ``make``, which import each other by these names."""
    folder = str(Path(__file__).parent.parent / "recipes" / "wide")
    sys.path.insert(0, folder)
    yield tuple(importlib.import_module(name) for name in ("labels", "fit", "make"))
    sys.path.remove(folder)
    for name in ("labels", "fit", "make"):
        del sys.modules[name]


def structures() -> list[Atoms]:
    """Every element of the model in more than one environment."""
    rng = np.random.default_rng(0)
    halides = []
    for symbol in HALIDES:
        made = molecule("CH3Cl")
        made.symbols[[a.index for a in made if a.symbol == "Cl"]] = symbol
        halides.append(made)
    frames = [a.copy() for a in (*map(molecule, NAMES), *halides) for _ in range(3)]
    for atoms in frames:
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
    return frames


def test_changes_along_a_displacement_are_those_of_energies(modules: tuple[ModuleType, ...]) -> None:
    labels, fit, make = modules
    frames, plain = structures(), make.plain_features()
    seen = [g for g in map(str, range(2 * len(frames))) if zlib.crc32(g.encode()) % labels.FOLDS]
    numbers, atoms = np.concatenate([a.numbers for a in frames]), np.array([len(a) for a in frames])
    positions = np.concatenate([a.positions for a in frames])
    push = np.random.default_rng(1).normal(size=positions.shape) * fit.PUSH

    def moved(sign: int) -> object:
        at, charge = positions + sign * push, np.zeros(len(frames), dtype=int)
        values = plain(labels.systems_of(numbers, at, atoms, charge)).values.detach().numpy().astype(np.float32)
        known = {"energy": np.zeros(len(frames)), "base": np.zeros(len(frames)), "missed": np.zeros_like(at)}
        group = np.array(seen[: len(frames)])
        return labels.Labelled("more", atoms, numbers, at, charge, group=group, values=values, **known)

    made = fit.Fit(fit.Data([moved(0), moved(1), moved(-1)]), plain)
    with torch.no_grad():
        for network in made.networks.values():
            network.last *= 20.0  # networks start with small energies
        here = np.arange(len(frames))
        change = made.added(here, push)
        expected = (made.added(here + len(frames)) - made.added(here + 2 * len(frames))) / 2
    assert expected.abs().max() > 0.05
    torch.testing.assert_close(change, expected, rtol=0.0, atol=0.05 * float(expected.abs().max()))
