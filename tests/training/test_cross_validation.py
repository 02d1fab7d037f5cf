"""benchmarks/cross_validation.py: folds that share nothing, settings, and a run that is not repeated."""

from __future__ import annotations

import importlib
import json
import sys
from collections import Counter

import pytest
from nnp_models import DATA
from places import ROOT

from nddo_ml.datasets.dataset import load_dataset

SAMPLE = DATA / "mlearn_si" / "train_sample.extxyz"
RECIPE = """
[model]
cutoff = 3.5
size = "small"
hidden = [4]
[data]
validation_fraction = 0.2
[loss]
energy = 1.0
forces = 1.0
stress = 1.0
[[phases]]
epochs = 1
"""


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.cross_validation")


def test_folds_are_a_partition_by_group(script):
    data = load_dataset([SAMPLE])
    parts = script.folds(data, 3)
    held = [origin for _, fold in parts for origin in fold.origins]
    assert sorted(held) == sorted(data.origins)
    for train, fold in parts:
        assert not set(train.origins) & set(fold.origins)
        assert len(train) + len(fold) == len(data)
    counts = [Counter(fold.groups) for _, fold in parts]
    assert all(max(c[g] for c in counts) - min(c[g] for c in counts) <= 1 for g in set(data.groups))
    assert [f.origins for _, f in script.folds(data, 3)] == [f.origins for _, f in parts]


def test_settings(script):
    assert script.settings('loss.energy=3 model.hidden=[2,3] a="x" b=auto') == {
        "loss.energy": 3,
        "model.hidden": [2, 3],
        "a": "x",
        "b": "auto",
    }


def test_errors_are_pooled_over_values(script):
    records = [{"labels": {"stress": {"mae": 1.0, "n": 3}}}, {"labels": {"stress": {"mae": 2.0, "n": 1}}}]
    assert script.pooled(records, "stress") == pytest.approx(1.25)
    records[1]["labels"]["stress"]["with_components_in_order"] = {"mae": 1.0, "n": 1}
    assert script.pooled(records, "stress") == pytest.approx(1.0)


def test_a_second_call_goes_on(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    arguments = ["x", str(tmp_path / "recipe.toml"), "--train", str(SAMPLE), "--folds", "2"]
    arguments += ["--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    script.main()
    first = capsys.readouterr().out
    assert first.count("the recipe") == 1
    monkeypatch.setattr(sys, "argv", [*arguments, "--setting", "", "--setting", "loss.energy=2"])
    script.main()
    second = capsys.readouterr().out
    assert first.splitlines()[-1] in second
    assert "loss.energy=2" in second
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert sum(r["structures"] for r in results["loss.energy=2"]) == len(load_dataset([SAMPLE]))
