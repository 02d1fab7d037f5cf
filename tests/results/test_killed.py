"""Runs that are killed at random moments."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from places import ROOT, TESTS
from small_jobs import structures


def killed(
    command: list[object], option: str, out: Path, kills: list[tuple[int, float]], **plan: object
) -> tuple[list[int], str]:
    """Exit codes of a command that is killed some times at random moments and then left alone; what it said.

    With ``option`` it writes ``out``, and an undisturbed run ``whole`` of the same ending before it.
    """
    undisturbed, line = ([*map(str, command), option, str(path)] for path in (whole(out), out))
    journal = out if command[0] == "label" else Path(f"{out}.part")
    plan |= {"undisturbed": undisturbed, "command": line, "grows": str(journal), "signals": kills}
    program = [sys.executable, str(TESTS / "killing.py"), json.dumps(plan)]
    path = {"PYTHONPATH": str(ROOT)}  # this tree's package, whatever is installed
    done = subprocess.run(program, capture_output=True, text=True, check=True, env={**os.environ, **path})
    first, *codes = json.loads(done.stdout.splitlines()[-1])
    assert first == 0, done.stderr
    return codes, " ".join(done.stderr.split())


def whole(out: Path) -> Path:
    """What an undisturbed run writes."""
    return out.with_name(f"whole{out.suffix}")


@pytest.mark.parametrize(("command", "pause"), [("energy", 0.02), ("optimize", 0.001)])
def test_killed_three_times(tmp_path, command, pause):
    source, out, rng = structures(tmp_path / "in.xyz", 24), tmp_path / "out.xyz", np.random.default_rng(1)
    arguments = [command, source, "--json", tmp_path / "out.json"]
    out.write_text("old")
    kills = [(n, float(rng.uniform(0, 0.05))) for n in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)]
    codes, said = killed(arguments, "--output", out, kills, pause=pause, pairs=20)
    assert codes == [-signal.SIGKILL, 130, 130, 0], said
    assert "the same command goes on" in said
    assert out.read_bytes() == whole(out).read_bytes()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["energy", "optimize"])
def test_killed_twenty_times(tmp_path, command):
    """Two thousand structures by AM1: nothing is lost or doubled, the result is that of an undisturbed run."""
    source, out, rng = structures(tmp_path / "in.xyz", 2000), tmp_path / "out.xyz", np.random.default_rng(2)
    arguments = [command, source, "--json", tmp_path / "out.json"]
    kills = [(signal.SIGKILL, float(rng.uniform(0, 0.3))) for _ in range(20)]
    codes, said = killed(arguments, "--output", out, kills, pairs=1500)
    assert codes[-1] == 0, said
    assert codes.count(-signal.SIGKILL) > 5
    assert out.read_bytes() == whole(out).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "n"),
    [
        (["frequencies"], 20),
        (["md", "--steps", 300, "--every", 10, "--seed", 1], 2),
    ],
    ids=["frequencies", "md"],
)
def test_longer_work_killed_three_times(tmp_path, command, n):
    """Vibrations and dynamics go on where they were, and end where an undisturbed run ends."""
    source = structures(tmp_path / "in.xyz", n)
    rng, out = np.random.default_rng(4), tmp_path / "out.json"
    line = [command[0], source, *command[1:], "--model", "AM1"]
    kills = [(signal.SIGKILL, float(rng.uniform(0, 0.05))) for _ in range(3)]
    codes, said = killed(line, "--json", out, kills, pairs=20)
    assert codes[-1] == 0, said
    assert -signal.SIGKILL in codes
    assert out.read_bytes() == whole(out).read_bytes()


@pytest.mark.slow
def test_a_reaction_killed_during_its_stages(tmp_path):
    """Paths, saddle points and ways down: each stage is killed at a random moment after the one before was kept."""
    for name, x in (("hcn", [-1.07, 0, 0]), ("hnc", [2.16, 0.1, 0])):
        write(tmp_path / f"{name}.xyz", Atoms("HCN", [x, [0, 0, 0], [1.16, 0, 0]]))
    rng, out = np.random.default_rng(5), tmp_path / "out.json"
    line = ["reaction", tmp_path / "hcn.xyz", tmp_path / "hnc.xyz", "--model", "AM1"]
    kills = [(signal.SIGKILL, float(rng.uniform(0, 0.3))) for _ in range(3)]
    codes, said = killed(line, "--json", out, kills)
    assert codes[-1] == 0, said
    assert -signal.SIGKILL in codes
    assert out.read_bytes() == whole(out).read_bytes()


@pytest.mark.slow
def test_labels_killed_twenty_times(tmp_path):
    """Two thousand structures by a cheap calculator: the labels are those of an undisturbed run."""
    frames = [Atoms("H2", [[0, 0, 0], [0, 0, 0.9 + 1e-4 * k]]) for k in range(2000)]
    write(tmp_path / "in.xyz", frames, format="xyz")
    rng, source = np.random.default_rng(3), ["--calculator", "ase.calculators.lj:LennardJones", "--workers", 1]
    command, out = ["label", tmp_path / "in.xyz", *source], tmp_path / "labels.extxyz"
    kills = [(signal.SIGKILL, float(rng.uniform(0, 0.1))) for _ in range(20)]
    codes, said = killed(command, "--output", out, kills)
    assert codes[-1] == 0, said
    assert codes.count(-signal.SIGKILL) > 5
    ours, theirs = ({f.info["frame"]: f for f in read(file, ":")} for file in (out, whole(out)))
    assert len(read(out, ":")) == len(ours) == 2000
    assert all(ours[k].get_potential_energy() == theirs[k].get_potential_energy() for k in theirs)
