"""Training: its phases, optimisers, exact resuming, two processes, the commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ase.build import bulk
from ase.io import read, write
from nnp_models import DATA
from places import ROOT

from nddo_ml import InputError, load_model
from nddo_ml.datasets.dataset import from_frames, load_dataset
from nddo_ml.training.build_nnp import build_nnp
from nddo_ml.training.config import read_config
from nddo_ml.training.run import train
from nddo_ml.training.state import read_log

CONFIG = """
seed = 4
checkpoint_seconds = 0.0
[model]
cutoff = 3.5
size = "small"
hidden = [6]
[data]
validation_fraction = 0.25
[loss]
energy = 10.0
forces = 1.0
stress = 100.0
[[phases]]
optimizer = "adam"
epochs = 4
batch = 2
lr = 0.01
average = 0.9
[[phases]]
optimizer = "lbfgs"
epochs = 3
inner = 3
batch = 4
[[phases]]
optimizer = "kalman"
epochs = 2
batch = 3
[[phases]]
optimizer = "soap"
epochs = 5
batch = 2
"""


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    """The six smallest silicon slabs and cells with all labels."""
    frames = sorted(read(DATA / "mlearn_si" / "train_sample.extxyz", ":"), key=len)[:6]
    file = tmp_path_factory.mktemp("data") / "si.extxyz"
    write(file, frames)
    return file


@pytest.fixture
def config(tmp_path, small_data):
    (tmp_path / "config.toml").write_text(CONFIG)
    overrides = {"data.train": str(small_data), "output": str(tmp_path / "run")}
    return read_config(tmp_path / "config.toml", overrides)


def test_training_runs_through_its_phases(config):
    seen = []
    result = train(config, on_epoch=seen.append)
    log = read_log(Path(config.output) / "log.jsonl")
    assert [e["optimizer"] for e in log] == ["adam"] * 4 + ["lbfgs"] * 3 + ["kalman"] * 2 + ["soap"] * 5
    assert [e["epoch"] for e in log] == list(range(1, 15))
    assert log == seen
    best = min(log, key=lambda e: e["valid_loss"])
    assert best["valid_loss"] < log[0]["valid_loss"]
    assert log[-1]["best_epoch"] == best["epoch"]
    assert set(best["valid_mae"]) == {"energy", "forces", "stress"}
    again = load_model(result.path)
    data = load_dataset(config.data.train)
    torch.testing.assert_close(again(data.systems).energy, result.model(data.systems).energy)


@pytest.mark.parametrize("optimizer", ["adam", "soap", "lbfgs", "kalman"])
def test_every_optimizer_lowers_the_training_loss(config, optimizer):
    phase = replace(config.phases[0], optimizer=optimizer, epochs=8, average=0.0, schedule="constant")
    log = []
    train(replace(config, phases=(phase,), output=f"{config.output}-{optimizer}"), on_epoch=log.append)
    assert log[-1]["train_loss"] < 0.8 * log[0]["train_loss"]


def test_early_stopping(config):
    phase = replace(config.phases[0], epochs=50, lr=1e-9, final_lr=1e-9, average=0.0, patience=3)
    log = []
    worse = replace(config, phases=(replace(phase, lr=2.0, schedule="constant"),), output=f"{config.output}-stop")
    train(worse, on_epoch=log.append)
    assert len(log) < 50
    assert log[-1]["epoch"] - log[-1]["best_epoch"] == 3


def _command(config, folder):
    return [
        sys.executable,
        "-c",
        "import sys; from nddo_ml.training.config import read_config; from nddo_ml.training.run import train;"
        "c = read_config(sys.argv[1], {'data.train': sys.argv[2], 'output': sys.argv[3]});"
        "train(c, on_epoch=lambda e: print(e['epoch'], flush=True))",
        str(Path(config.output).parent / "config.toml"),
        config.data.train[0].path,
        str(folder),
    ]


def _environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("kill_after", [2, 5, 8, 10], ids=["adam", "lbfgs", "kalman", "soap"])
def test_a_killed_training_goes_on_exactly(config, tmp_path, kill_after):
    """Killed in any phase and started again, a run ends with the same bits as one that was not disturbed."""
    torch.set_num_threads(1)
    undisturbed = train(config)
    folder = tmp_path / "killed"
    process = subprocess.Popen(_command(config, folder), stdout=subprocess.PIPE, env=_environment(), text=True)
    for line in process.stdout:
        if int(line) >= kill_after:
            break
    time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (folder / "model.pt").exists()
    resumed = train(replace(config, output=str(folder)))
    for key, value in undisturbed.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    drop = ("seconds",)
    logs = [
        [{k: v for k, v in e.items() if k not in drop} for e in read_log(Path(f) / "log.jsonl")]
        for f in (config.output, folder)
    ]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_two_processes_give_the_single_process_result(config, tmp_path):
    """Shares of the batches summed by gloo: the same weights to rounding through all optimisers."""
    alone = train(config)
    code = Path(config.output).parent / "job.py"
    code.write_text(
        "import sys\nfrom nddo_ml.training.config import read_config\nfrom nddo_ml.training.run import train\n"
        "train(read_config(sys.argv[1], {'data.train': sys.argv[2], 'output': sys.argv[3]}))\n"
    )
    arguments = _command(config, tmp_path / "two")[3:]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            str(code),
            *arguments,
        ],
        check=True,
        env=_environment(),
        capture_output=True,
    )
    both = load_model(tmp_path / "two" / "model.pt")
    for key, value in alone.model.state_dict().items():
        torch.testing.assert_close(both.state_dict()[key], value, rtol=1e-6, atol=1e-8)


def test_checkpoint_of_another_training_or_a_corrupt_one(config):
    short = replace(config, phases=config.phases[:1])
    train(short)
    with pytest.raises(InputError, match="another configuration"):
        train(replace(short, seed=5))
    file = Path(config.output) / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"checkpoint.pt: corrupt"):
        train(short)
    train(short, restart=True)


@pytest.mark.slow
def test_committee_with_two_workers(config):
    short = replace(config, phases=config.phases[:1], committee=2, workers=2)
    result = train(short)
    assert len(result.model.members) == 2
    data = load_dataset(config.data.train)
    assert float(result.model(data.systems).energy_spread.max()) > 0
    sequential = train(replace(short, workers=1, output=f"{config.output}-sequential"))
    torch.testing.assert_close(
        sequential.model(data.systems).energy, result.model(data.systems).energy, rtol=1e-7, atol=1e-6
    )


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(config, tmp_path):
    """At once, in the midst of an epoch: their standard output, which they share with the parent, is closed."""
    text = CONFIG.replace("inner = 3", "inner = 100_000").replace("epochs = 4", "epochs = 1")
    (tmp_path / "config.toml").write_text("committee = 2\nworkers = 2\n" + text)
    folder = tmp_path / "killed"
    process = subprocess.Popen(_command(config, folder), stdout=subprocess.PIPE, env=_environment(), text=True)
    for _ in range(2):
        assert int(process.stdout.readline()) == 1  # each member's Adam epoch is over, L-BFGS has begun
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=3)
    assert not list(folder.glob("member_*/model.pt"))


def test_training_on_energies_alone(config, tmp_path):
    frames = []
    for f in read(config.data.train[0].path, ":"):
        g = f.copy()
        g.info["energy"] = f.get_potential_energy()
        frames.append(g)
    write(tmp_path / "e.extxyz", frames)
    data = replace(config.data, train=load_sources(tmp_path / "e.extxyz"))
    log = []
    train(replace(config, data=data, phases=config.phases[:1]), on_epoch=log.append)
    assert set(log[-1]["valid_mae"]) == {"energy"}


def load_sources(path):
    from nddo_ml.datasets.dataset import Source

    return (Source(str(path)),)


def test_test_errors_by_group(config, small_data):
    with_test = replace(config, data=replace(config.data, test=load_sources(small_data)), phases=config.phases[:1])
    errors = train(with_test).test_errors
    assert errors == json.loads((Path(config.output) / "errors.json").read_text())
    assert set(errors["labels"]) == {"energy", "energy_per_atom", "forces", "stress"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[loss]\nenergy = 1.0\n", "at least one"),
        ("[loss]\nenrgy = 1.0\n[[phases]]\n", r"bad.toml, line 2: loss.enrgy is unknown"),
        ("[loss]\nenergy = 'a'\n[[phases]]\n", "line 2: loss.energy must be a number; got 'a'"),
        ("[[phases]]\noptimizer = 'sgd'\n", r"line 2: phases.0.optimizer must be 'adam', 'soap', 'lbfgs' or 'kalman'"),
        ("[[phases]\n", "not valid TOML"),
        ("[[phases]]\nlr = 0.0\n", "line 2: phases.0.lr must be greater than 0"),
        ("[model]\nkind = 'gap'\n[loss]\nenergy=1.0\n[[phases]]\nepochs=1\n", "line 2: model.kind must be 'nnp'"),
        ("[model]\nwidth = 3\n[loss]\nenergy=1.0\n[[phases]]\nepochs=1\n", "line 2: model.width is unknown"),
    ],
)
def test_bad_configurations(text, message, tmp_path, small_data):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        train(read_config(tmp_path / "bad.toml", {"data.train": str(small_data), "output": str(tmp_path / "run")}))


def test_grids_begin_where_atoms_are():
    def built(a, **options):
        frames = [bulk("Mo", "bcc", a=a, cubic=True) for _ in range(4)]
        for k, frame in enumerate(frames):
            frame.rattle(0.02, seed=k)
            frame.info["energy"] = -20.0 - k
        model = build_nnp(from_frames(frames), 0, hidden=(4,), **options)
        return min(f.r_s for f in model.functions.functions["Mo"])

    assert built(2.5) == pytest.approx(2.1, abs=0.051)  # √3/2 · 2.5 Å
    assert built(3.16) == pytest.approx(1.6 * 1.54)
    assert built(3.16, closest=2.0) == 2.0
