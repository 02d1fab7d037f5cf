"""Configurations and data files that are wrong in any way end in one sentence, before training."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from fuzzing import COUNTS, FAST, MANY, command, examples, mutated_bytes, mutated_plain, mutated_words, outcome
from hypothesis import given
from hypothesis import strategies as st

from nddo_ml import InputError
from nddo_ml.datasets.dataset import load_dataset
from nddo_ml.datasets.write_n2p2_data import write_n2p2_data
from nddo_ml.errors import NDDOMLError
from nddo_ml.training.config import read_config
from nddo_ml.training.run import train
from nddo_ml.training.trainer import Trainer

CONFIG: dict[str, Any] = {
    "seed": 1,
    "output": "run",
    "committee": 1,
    "device": "cpu",
    "model": {"kind": "nnp", "size": "small", "cutoff": 3.0, "hidden": [4], "name": "m", "energy_scale": "auto"},
    "data": {
        "train": [{"path": "d.extxyz", "keys": {"energy": "energy"}, "weight": 1.0, "group": "a"}],
        "validation_fraction": 0.25,
        "group_weights": {"a": 1.0},
        "groups": ["a"],
        "check_units": True,
    },
    "loss": {"energy": 10.0, "forces": 1.0, "huber": {"energy": 0.1}, "l2": 0.0},
    "phases": [{"optimizer": "adam", "epochs": 1, "batch": 4, "lr": 0.001, "schedule": "cosine", "average": 0.9}],
    "card": {"source": "made up", "year": 2026},
}
HYBRID = {"kind": "nddo", "method": "AM1", "cutoff": 4.0, "size": "small"}
HYBRID |= {"parameters": {"hidden": [4], "bounds": {"U_ss": 0.02}}, "pairs": {"hidden": [4], "radial": 3}}
HYBRID |= {"energy": {"scale": 1.0}, "dispersion": {"s6": 1.0}}


def frames(n: int = 8) -> list[Atoms]:
    """Waters with made-up energies and forces."""
    random = np.random.default_rng(0)
    made = []
    for k in range(n):
        atoms = molecule("H2O")
        atoms.positions += random.normal(scale=0.05, size=(3, 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - 0.05 * k, forces=random.normal(size=(3, 3)))
        made.append(atoms)
    return made


def toml(value: Any) -> str:
    """Plain data as TOML on one line; JSON's strings and lists are TOML's."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if value is None:
        return datetime.date(2026, 1, 1).isoformat()
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) or "." in repr(value) else repr(value).replace("e", ".0e")
    return json.dumps(value) if isinstance(value, str) else str(value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, in which a training is not carried out but for all that comes before it."""
    write(tmp_path / "d.extxyz", frames())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Trainer, "run", lambda self: self.model.eval())
    monkeypatch.setattr("nddo_ml.training.summary.parity", lambda *_, **__: None)
    monkeypatch.setattr("nddo_ml.training.summary.learning_curves", lambda *_: None)
    monkeypatch.setattr("nddo_ml.training.summary.read_log", lambda *_: [])
    monkeypatch.setattr("nddo_ml.training.summary.save_figure", lambda *_: None)
    monkeypatch.setattr("nddo_ml.training.summary.write_report", lambda *_: None)
    return tmp_path


def _configurations(folder: Path, n: int) -> None:
    for good in (CONFIG, {**CONFIG, "model": HYBRID}):  # and what is compiled once is compiled now
        train(read_config(_written(folder, good)))

    @examples(n)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        base = CONFIG if data.draw(st.booleans()) else {**CONFIG, "model": HYBRID}
        table = data.draw(st.composite(lambda draw: mutated_plain(draw, base))())
        if not isinstance(table, dict):
            table = {"seed": table}
        if table.get("committee") in range(3, 101):  # allowed, and long
            table["committee"] = 2
        text = _written(folder, table).read_bytes()
        if data.draw(st.integers(0, 4)) == 0:
            text = data.draw(st.composite(lambda draw: mutated_bytes(draw, text))())
        (folder / "c.toml").write_bytes(text)
        command("configuration", ["train", "c.toml", "--restart"])

    check()


def _written(folder: Path, table: dict[str, Any]) -> Path:
    text = "\n".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in table.items())
    (folder / "c.toml").write_text(text, encoding="utf-8", errors="replace")
    return folder / "c.toml"


def test_configurations(folder: Path) -> None:
    _configurations(folder, FAST)


@pytest.mark.slow
def test_many_configurations(folder: Path) -> None:
    _configurations(folder, 2 * MANY)
    print({k: v for k, v in COUNTS.items() if k.startswith("configuration")})


def _data_files(folder: Path, n: int) -> None:
    made = frames()
    for suffix in ("extxyz", "xyz", "json", "traj"):
        write(folder / f"good.{suffix}", made)
    database = connect(folder / "good.db")
    for atoms in made:
        database.write(atoms)
    write_n2p2_data(load_dataset([folder / "good.extxyz"]), folder / "good.data")
    with h5py.File(folder / "good.h5", "w") as file:
        group = file.create_group("water")
        group["species"] = made[0].numbers
        group["coordinates"] = np.array([a.positions for a in made])
        group["energy"] = np.array([a.get_potential_energy() for a in made])
        group["forces"] = np.array([a.get_forces() for a in made])
    good = {p.suffix: p.read_bytes() for p in folder.glob("good.*")}
    config = _written(folder, CONFIG)
    train(read_config(config))  # what is compiled once is compiled now

    @examples(n)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        suffix = data.draw(st.sampled_from(sorted(good)))
        whole = good[suffix]
        if suffix in (".extxyz", ".xyz", ".json", ".data") and data.draw(st.booleans()):
            bad = data.draw(st.composite(lambda draw: mutated_words(draw, whole.decode()))()).encode(errors="replace")
        else:
            bad = data.draw(st.composite(lambda draw: mutated_bytes(draw, whole))())
        file = folder / f"bad{suffix}"
        file.write_bytes(bad)
        outcome(f"data {suffix}", lambda: load_dataset([file]), InputError)
        given = {"data.train": str(file), "data.groups": [], "data.group_weights": {}}
        outcome(f"data {suffix}, trained", lambda: train(read_config(config, given), restart=True), NDDOMLError)

    check()


def test_data_files(folder: Path) -> None:
    _data_files(folder, 2 * FAST)


@pytest.mark.slow
def test_many_data_files(folder: Path) -> None:
    _data_files(folder, 2 * MANY)
    print({k: v for k, v in sorted(COUNTS.items()) if k.startswith("data")})


SHAPES = st.sampled_from(
    [(), (0,), (2,), (8,), (3,), (8, 3), (8, 3, 3), (3, 8), (8, 2, 3), (8, 9), (1, 3, 3), (8, 3, 3, 1)]
)


def _hdf5_shapes(folder: Path, n: int) -> None:
    @examples(n)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        names = ["species", "coordinates", "energy", "forces", "cell", "stress", "dipole", "charges"]
        right = {"species": (3,), "coordinates": (8, 3, 3), "energy": (8,), "forces": (8, 3, 3)}
        changed = set(data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3)))
        kinds = st.sampled_from([float, int, "S2", np.complex128, bool, np.float32])
        with h5py.File(folder / "s.h5", "w") as file:
            group = file.create_group("m")
            for name in sorted({*right, *changed}):
                shape, kind = right.get(name), float
                if name in changed:
                    shape, kind = data.draw(SHAPES), data.draw(kinds)
                fill = np.random.default_rng(0).uniform(1, 5, size=shape)
                group[name] = np.round(fill).astype(kind) if name == "species" else fill.astype(kind)
        outcome("HDF5 shapes", lambda: load_dataset([folder / "s.h5"]), InputError)

    check()


def test_hdf5_shapes(folder: Path) -> None:
    _hdf5_shapes(folder, FAST)


@pytest.mark.slow
def test_many_hdf5_shapes(folder: Path) -> None:
    _hdf5_shapes(folder, MANY)
    print({k: v for k, v in COUNTS.items() if k.startswith("HDF5")})
