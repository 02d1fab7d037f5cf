"""The benchmark of relative energies: its sets, reactions and errors."""

from __future__ import annotations

import importlib
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from places import ROOT

HARTREE = 627.5094740631  # kcal/mol
WATER = {"elements": ["O", "H", "H"], "positions": [[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]]}


def write(folder: Path, name: str, data: object) -> None:
    with lzma.open(folder / f"{name}.json.xz", "wt") as file:
        json.dump(data, file)


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.relative_energies")


def test_errors_of_sets_and_reactions(script, tmp_path: Path) -> None:
    kcal = [v / HARTREE for v in (0.0, 2.0, 7.0)]
    triple = [{**WATER, "charge": 0, "energies": {"best": e}} for e in kcal]
    pair = [{**WATER, "charge": 1, "energies": {"best": e}} for e in kcal[:2]]
    write(tmp_path, "conformers", {"reference": "best", "sets": [triple, pair]})
    molecules = {"a": {**WATER, "charge": 0}, "b": {**WATER, "charge": 0, "multiplicity": 3}}
    write(tmp_path, "reactions", {"reactions": {"R1": [[["a", "b"], [-1, 2], 5.0]]}, "molecules": molecules})
    structures, comparisons = script.read(tmp_path)
    assert len(structures) == 7
    assert structures[6].info["multiplicity"] == 3
    energies = np.array([1.0, 3.0, 5.0, 10.0, 15.0, 1.0, 4.0])
    errors, counts = script.errors_of(comparisons, {"one": energies})
    found = errors["one"]
    assert found["conformers, neutral"] == pytest.approx(4 / 3)  # 1, 1 and 2 from the means
    assert found["conformers, ions"] == pytest.approx(3.0)  # the pair's difference is 5 instead of 2
    assert found["R1"] == pytest.approx(2.0)  # -1 + 8 instead of 5
    assert set(counts.values()) == {"1 of 1"}
    energies[6] = np.nan
    assert np.isnan(script.errors_of(comparisons, {"one": energies})[0]["one"]["R1"])


def test_models_are_compared_on_what_all_can_do(script, tmp_path: Path) -> None:
    sets = [[{**WATER, "charge": 0, "energies": {"best": e / HARTREE}} for e in (0.0, 2.0)] for _ in range(2)]
    write(tmp_path, "conformers", {"reference": "best", "sets": sets})
    _, comparisons = script.read(tmp_path)
    all_of_it, half = np.array([0.0, 3.0, 0.0, 12.0]), np.array([0.0, 4.0, np.nan, np.nan])
    errors, counts = script.errors_of(comparisons, {"one": all_of_it, "other": half})
    assert {name: found["conformers, neutral"] for name, found in errors.items()} == pytest.approx(
        {"one": 1.0, "other": 2.0}
    )
    assert counts["conformers, neutral"] == "1 of 2"
