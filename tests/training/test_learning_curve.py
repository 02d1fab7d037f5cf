"""Learning curves: nested subsets of all groups, labels left out of the loss, members that are read back."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.io import read, write
from nnp_models import DATA

from nddo_ml import InputError
from nddo_ml.datasets.dataset import Source, load_dataset
from nddo_ml.training.config import DataConfig, LossConfig, ModelConfig, PhaseConfig, TrainConfig
from nddo_ml.training.learning_curve import CurvePoint, draw_learning_curve, learning_curve, nested

SAMPLE = DATA / "mlearn_si" / "train_sample.extxyz"


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    file = tmp_path / "si.extxyz"
    write(file, sorted(read(SAMPLE, ":"), key=len)[:5])
    return TrainConfig(
        data=DataConfig(train=(Source(str(file)),), test=(Source(str(file)),), check_units=False),
        loss=LossConfig(energy=10.0, forces=1.0),
        phases=(PhaseConfig(epochs=2, batch=2),),
        model=ModelConfig("nnp", {"cutoff": 3.0, "size": "small", "hidden": [3]}),
        output=str(tmp_path / "run"),
        committee=2,
    )


def test_points_and_their_members(config: TrainConfig, tmp_path: Path) -> None:
    seen: list[CurvePoint] = []
    points = learning_curve(config, (3, 5), (("energy",), ("energy", "forces")), seen.append)
    assert seen == points
    assert [(p.labels, p.size) for p in points] == [
        (("energy",), 3),
        (("energy",), 5),
        (("energy", "forces"), 3),
        (("energy", "forces"), 5),
    ]
    assert all(len(p.errors["forces"]) == 2 and p.spread("forces") > 0 for p in points)
    assert points[1].errors != points[3].errors
    times = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("log.jsonl")}
    assert learning_curve(config, (3, 5), (("energy",), ("energy", "forces"))) == points
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("log.jsonl")} == times
    draw_learning_curve(points, ["energy_per_atom", "forces"], tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_subsets_are_nested_and_have_every_group_in_its_share() -> None:
    data = load_dataset([Source(str(SAMPLE))])
    small, half = nested(data, (2, 4))
    assert set(small.origins) < set(half.origins)
    for group in set(data.groups):
        assert abs(half.groups.count(group) - data.groups.count(group) / 2) <= 1


def test_what_has_no_curve_is_refused(config: TrainConfig) -> None:
    with pytest.raises(InputError, match="from 2 to the data's 5 structures; got 6"):
        learning_curve(config, (6,), (("energy",),))
    with pytest.raises(InputError, match="need a positive weight in the loss; got 'stress'"):
        learning_curve(config, (3,), (("energy", "stress"),))
