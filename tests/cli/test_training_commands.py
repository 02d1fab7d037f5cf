"""The commands train, evaluate and solid, as a user calls them."""

from __future__ import annotations

import json

import pytest
from ase.build import bulk
from ase.io import read, write
from nnp_models import DATA, make_nnp

from nddo_ml import save_model
from nddo_ml.cli import main

CONFIG = """
[model]
cutoff = 3.5
size = "small"
hidden = [4]
[loss]
energy = 10.0
forces = 1.0
[[phases]]
epochs = 2
batch = 2
"""


def call(*arguments):
    """Run a command; its exit code."""
    try:
        main([str(a) for a in arguments])
    except SystemExit as error:
        return error.code or 0
    return 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "si.extxyz"
    write(file, sorted(read(DATA / "mlearn_si" / "train_sample.extxyz", ":"), key=len)[:6])
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("run")
    (folder / "c.toml").write_text(CONFIG)
    assert call("train", folder / "c.toml", "--train", data, "--test", data, "--output", folder / "out") == 0
    return folder / "out"


def test_train_leaves_model_log_and_figures(run):
    found = {p.name for p in run.iterdir()}
    figures = {"report.html", "learning_curves.png", "parity_train.png", "parity_test.png"}
    assert found == {"model.pt", "log.jsonl", "checkpoint.pt", "errors.json", "training.lock"} | figures
    assert all((run / name).stat().st_size > 10_000 for name in figures)


def test_evaluate_gives_json_and_a_table(run, data, tmp_path, capsys):
    assert call("evaluate", run / "model.pt", data, "--json", "-", "--plot", tmp_path / "p.png") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["structures"] == 6
    assert set(found["labels"]) == {"energy", "energy_per_atom", "forces", "stress"}
    assert found["labels"]["forces"]["unit"] == "eV/Å"
    assert found["labels"]["energy"]["mae"] > found["labels"]["energy_per_atom"]["mae"]
    assert found["labels"]["energy"]["rmse"] >= found["labels"]["energy"]["mae"]
    plain = {label: {k: v for k, v in e.items() if k != "with_fitted_zero"} for label, e in found["labels"].items()}
    assert json.loads((run / "errors.json").read_text())["labels"] == plain
    assert found["labels"]["energy"]["with_fitted_zero"]["rmse"] < found["labels"]["energy"]["rmse"]
    assert (tmp_path / "p.png").exists()
    assert call("evaluate", run / "model.pt", data, "--json", tmp_path / "e.json") == 0
    assert "energy per atom" in capsys.readouterr().out
    assert json.loads((tmp_path / "e.json").read_text())["labels"] == found["labels"]


def test_groups_are_told_apart(run, tmp_path, capsys):
    frames = read(DATA / "mlearn_si" / "train_sample.extxyz", ":")[-3:]
    write(tmp_path / "g.extxyz", frames)
    call("evaluate", run / "model.pt", tmp_path / "g.extxyz", "--json", "-")
    groups = json.loads(capsys.readouterr().out)["labels"]["forces"]["groups"]
    assert set(groups) == {"Surface", "Elastic"}
    assert sum(g["n"] for g in groups.values()) == 3 * sum(len(f) for f in frames)


def test_settings_from_the_command_line(data, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(CONFIG)
    arguments = ("train", tmp_path / "c.toml", "--train", data, "--output", tmp_path / "o")
    assert call(*arguments, "--set", "loss.forces=0.5", "--set", "model.name=mine") == 0
    assert call(*arguments, "--set", "loss.forces=1.0") == 2
    assert "another configuration" in capsys.readouterr().err
    assert call(*arguments, "--set", "loss.forces=1.0", "--restart") == 0
    assert call(*arguments, "--set", "nonsense") == 2


@pytest.mark.filterwarnings("always")
def test_doubts_about_data_are_told_in_one_sentence(tmp_path, capsys):
    frames = sorted(read(DATA / "mlearn_si" / "train_sample.extxyz", ":"), key=len)[:6]
    for frame in frames:
        frame.calc.results["stress"] = frame.calc.results["stress"] * 0 + 5.0
    write(tmp_path / "gpa.extxyz", frames)
    (tmp_path / "c.toml").write_text(CONFIG)
    assert call("train", tmp_path / "c.toml", "--train", tmp_path / "gpa.extxyz", "--output", tmp_path / "o") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "GPa" in line]
    assert len(told) == 1
    assert told[0].startswith(f"warning: {tmp_path / 'gpa.extxyz'}: stresses of ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "nowhere.pt", "a.xyz"), "no such file"),
        (("train", "nowhere.toml"), "no such configuration"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, message, capsys):
    assert call(*arguments) == 2
    assert message in capsys.readouterr().err


def test_unknown_element_is_named_by_file_and_frame(run, tmp_path, capsys):
    atoms = bulk("Ge")
    atoms.info["energy"] = -8.0
    write(tmp_path / "ge.extxyz", [atoms])
    assert call("evaluate", run / "model.pt", tmp_path / "ge.extxyz") == 2
    assert "ge.extxyz, frame 0: the model has no element Ge" in capsys.readouterr().err.replace("\n", " ")


def test_solid(silicon, tmp_path, capsys):
    save_model(silicon, tmp_path / "si.pt")
    write(tmp_path / "si.cif", bulk("Si", a=5.45))
    assert call("solid", tmp_path / "si.pt", tmp_path / "si.cif", "--json", "-") == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["stable"]
    assert 60 < record["bulk_modulus_eos_GPa"] < 130
    assert call("solid", tmp_path / "si.pt", tmp_path / "si.cif") == 0
    assert "elastic constants, relaxed, GPa" in capsys.readouterr().out


def test_energy_of_a_cell_by_model_file(tmp_path, capsys):
    model = make_nnp(("Si",), frames=[bulk("Si")])
    save_model(model, tmp_path / "m.pt")
    write(tmp_path / "si.cif", bulk("Si"))
    assert call("energy", tmp_path / "si.cif", "--model", tmp_path / "m.pt", "--forces", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)[0]["natoms"] == 2


@pytest.mark.slow
def test_surface(tmp_path, capsys):
    model = DATA / "mlearn_si" / "model.pt"
    assert call("surface", model, "--layers", "6", "--json", "-") == 0
    rows = json.loads(capsys.readouterr().out)[str(model)]
    assert [r["name"] for r in rows] == ["1×1", "p(2×1) symmetric", "p(2×1) buckled", "p(2×2)", "c(4×2)"]
    assert [len(r["dimers"]) for r in rows] == [0, 2, 2, 4, 8]
    assert call("surface", model, "--layers", "6", "--anneal", "0.1", "--figure", tmp_path / "s.png") == 0
    assert "annealed" in capsys.readouterr().out
    assert (tmp_path / "s.png").stat().st_size > 10_000


def test_surface_refuses_slabs_of_unlike_faces(capsys):
    assert call("surface", DATA / "mlearn_si" / "model.pt", "--layers", "8") == 2
    assert "6, 10, 14, … layers" in capsys.readouterr().err


@pytest.mark.parametrize(("kept", "words"), [(True, "goes on from there"), (False, "there is no checkpoint yet")])
def test_an_interrupted_training_says_what_is_left(data, kept, words, tmp_path, monkeypatch, capsys):
    def interrupted(*given, **options):
        (tmp_path / "run").mkdir()
        if kept:
            (tmp_path / "run" / "checkpoint.pt").write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr("nddo_ml.training.run.train", interrupted)
    (tmp_path / "c.toml").write_text(CONFIG)
    assert call("train", tmp_path / "c.toml", "--train", data, "--output", tmp_path / "run") == 130
    assert words in " ".join(capsys.readouterr().err.split())
