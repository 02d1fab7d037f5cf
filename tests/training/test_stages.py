"""Phases that train a part of the weights on some of the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import write

from nddo_ml import InputError, load_model
from nddo_ml.training.config import read_config
from nddo_ml.training.run import train
from nddo_ml.training.state import read_log

CONFIG = """
seed = 4
[model]
cutoff = 3.5
size = "small"
hidden = [4]
electrostatics = "{kind}"
[loss]
energy = 10.0
forces = 1.0
charges = 100.0
[[phases]]
part = "{part}"
labels = ["charges"]
epochs = 12
batch = 4
lr = 0.05
[[phases]]
part = "short"
labels = ["energy", "forces"]
epochs = 2
batch = 4
"""


def configured(folder: Path, kind: str = "qeq", part: str = "charges"):
    frames = []
    for k in range(8):
        atoms = molecule("CH3OH")
        atoms.rattle(0.05, seed=k)
        atoms.info["energy"] = -30.0 + 0.1 * k
        atoms.arrays["forces"] = np.zeros((len(atoms), 3))
        atoms.arrays["charges"] = np.where(atoms.numbers == 8, -0.5, 0.1)
        frames.append(atoms)
    write(folder / "train.xyz", frames, format="extxyz")
    (folder / "train.toml").write_text(CONFIG.format(kind=kind, part=part), encoding="utf-8")
    return read_config(
        folder / "train.toml", {"data.train": [str(folder / "train.xyz")], "output": str(folder / "run")}
    )


def test_stages_move_their_weights_and_keep_the_others(tmp_path: Path) -> None:
    config = configured(tmp_path)
    states, losses = {}, {}

    def watch(entry) -> None:
        losses.setdefault(entry["phase"], []).append(entry)

    result = train(config, on_epoch=watch)
    assert losses[0][-1]["train_loss"] < 0.3 * losses[0][0]["train_loss"]
    assert set(losses[0][-1]["valid_mae"]) == {"charges"}
    assert set(losses[1][-1]["valid_mae"]) == {"energy", "forces"}
    assert losses[1][-1]["best_epoch"] > 12  # not compared with the losses of other labels
    log = read_log(tmp_path / "run" / "log.jsonl")
    assert [entry["phase"] for entry in log] == [0] * 12 + [1] * 2
    before = train(_first_phase(tmp_path), on_epoch=lambda entry: None).model
    for name, value in result.model.state_dict().items():
        states[name] = torch.equal(value, before.state_dict()[name])
    assert all(same for name, same in states.items() if name.startswith("electrostatics"))
    assert not all(same for name, same in states.items() if name.startswith("members"))
    found = load_model(tmp_path / "run" / "model.pt")(molecule("CH3OH"))
    assert abs(float(found.charges.sum())) < 1e-12


def _first_phase(folder: Path):
    text = (folder / "train.toml").read_text(encoding="utf-8")
    (folder / "first.toml").write_text(text[: text.rindex("[[phases]]")], encoding="utf-8")
    return read_config(
        folder / "first.toml", {"data.train": [str(folder / "train.xyz")], "output": str(folder / "first")}
    )


def test_a_part_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"phases.part: this model has the parts all, short; got 'charges'"):
        train(configured(tmp_path, kind="none"))
