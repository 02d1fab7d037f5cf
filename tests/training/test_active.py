"""Active learning: what is proposed, what is learned, and what a run that was stopped goes on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.io import read, write
from command import call

from nddo_ml import Systems, load_model

ARGUMENTS = {"sigma": 1.7, "epsilon": 0.05, "rc": 20.0}
CONFIG = """
committee = {members}
[data]
train = ["known.extxyz"]
[model]
cutoff = 4.0
size = "small"
hidden = [4]
[loss]
energy = 1.0
[[phases]]
epochs = 3
batch = 4
lr = 1e-2
"""


def _water_like(spread: float, rng: np.random.Generator) -> Atoms:
    corners = np.array([[0, 0, 0], [1.9, 0, 0], [0.9, 1.7, 0]])
    return Atoms("O3", corners + rng.normal(0, spread, (3, 3)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Structures with labels, and without."""
    rng = np.random.default_rng(0)
    known = [_water_like(0.05, rng) for _ in range(8)]
    for atoms in known:
        atoms.calc = LennardJones(**ARGUMENTS)
        atoms.get_potential_energy()
    write(tmp_path / "known.extxyz", known)
    write(tmp_path / "pool.xyz", [_water_like(0.15, rng) for _ in range(10)], format="xyz")
    for members, name in ((2, "several.toml"), (1, "single.toml")):
        (tmp_path / name).write_text(CONFIG.format(members=members))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _learn(
    *more: object,
    config: str = "several.toml",
    pool: str = "pool.xyz",
    calculator: str = "ase.calculators.lj:LennardJones",
) -> int:
    source = ("--calculator", calculator, "--calculator-args", json.dumps(ARGUMENTS))
    return call("learn", pool, "--config", config, "-o", "run", "--structures", 3, "--workers", 1, *source, *more)


def test_rounds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The structures with the largest spread are labelled and learned; a run goes on; another's folder is refused."""
    assert _learn("--rounds", 1, "--md-steps", 20, "--md-every", 10) == 0
    first = folder / "run" / "round_0"
    model = load_model(first / "model.pt")
    proposed = read(first / "proposed.extxyz", ":")
    pool = [*read(folder / "pool.xyz", ":"), *proposed]
    apart = model(Systems.from_ase(pool)).energy_spread.numpy() / np.sqrt(3)
    np.testing.assert_allclose([a.info["spread_eV"] for a in proposed], apart[10:], rtol=1e-5)
    assert apart[10:].min() >= np.sort(apart[:10])[-3] - 1e-9  # at least as doubtful as the pool's worst three
    for atoms in read(first / "labels.extxyz", ":"):
        expected = atoms.copy()
        expected.calc = LennardJones(**ARGUMENTS)
        assert atoms.get_potential_energy() == pytest.approx(expected.get_potential_energy(), abs=1e-7)
    rounds = json.loads((folder / "run" / "rounds.json").read_text())
    assert [(r["number"], r["learned"], r["proposed"], r["labelled"], r["failed"]) for r in rounds] == [
        (0, 0, 3, 3, 0),
        (1, 3, 0, 0, 0),
    ]
    assert rounds[0]["largest"] == pytest.approx(apart[10:].max(), rel=1e-5)

    kept = {name: (first / name).read_bytes() for name in ("proposed.extxyz", "labels.extxyz", "model.pt")}
    shutil.rmtree(folder / "run" / "round_1")
    (folder / "run" / "rounds.json").unlink()
    lines = kept["labels.extxyz"].splitlines(keepends=True)
    (first / "labels.extxyz").write_bytes(b"".join(lines[:7]))  # killed while the second label was written
    assert _learn("--rounds", 1, "--md-steps", 20, "--md-every", 10) == 0
    assert (first / "proposed.extxyz").read_bytes() == kept["proposed.extxyz"]
    assert (first / "labels.extxyz").read_bytes() == kept["labels.extxyz"]
    assert json.loads((folder / "run" / "rounds.json").read_text()) == rounds
    assert (folder / "run" / "rounds.png").is_file()

    write(folder / "other.xyz", pool[:4], format="xyz")
    capsys.readouterr()
    assert _learn("--rounds", 1, "--md-steps", 20, "--md-every", 10, pool="other.xyz") == 2
    assert "run holds a run with another pool; expected the same, or a new folder" in capsys.readouterr().err


def test_what_failed_is_tried_again_when_asked_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A round without labels is the last one; other data than a run began with are refused."""
    (folder / "moody.py").write_text(
        "from pathlib import Path\nfrom ase.calculators.lj import LennardJones\n\n\n"
        "class Moody(LennardJones):\n    def calculate(self, *given, **named):\n"
        "        assert not Path('ill').exists(), 'ill'\n        super().calculate(*given, **named)\n"
    )
    (folder / "ill").touch()
    assert _learn("--rounds", 1, calculator="moody.py:Moody") == 1
    assert "AssertionError: ill" in capsys.readouterr().err
    (folder / "ill").unlink()
    history = folder / "run" / "rounds.json"
    for more, failed in (((), [3]), (("--retry-failed",), [0, 0])):
        assert _learn("--rounds", 1, *more, calculator="moody.py:Moody") == 0
        assert [r["failed"] for r in json.loads(history.read_text())] == failed

    (folder / "run" / "round_0" / "proposed.json").write_text("nonsense")
    capsys.readouterr()
    assert _learn("--rounds", 1, calculator="moody.py:Moody") == 2
    assert "proposed.json: expected what an earlier call wrote" in capsys.readouterr().err
    write(folder / "known.extxyz", read(folder / "known.extxyz", ":7"))
    assert _learn("--rounds", 1, calculator="moody.py:Moody") == 2
    assert "another data; expected the same" in capsys.readouterr().err


def test_a_single_model_has_no_doubts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor has it a spread to propose by."""
    assert _learn(config="single.toml") == 2
    assert "expected a committee" in capsys.readouterr().err
    assert not (folder / "run" / "round_0" / "proposed.extxyz").exists()
