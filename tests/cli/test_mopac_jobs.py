"""Inputs of MOPAC as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nddo_ml.cli import main
from nddo_ml.cli.mopac import read_keywords

WATER = "\nO 0 1 0 1 0 1\nH 0.9613 1 0 1 0 1\nH -0.2244 1 0.9347 1 0 1\n"
KNOWN = ("AM1", "PM6", "PM6-D3H4", "PM7")


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("words", "task", "options", "unknown"),
    [
        ("AM1 1SCF", "energy", {"model": "AM1"}, []),
        ("CHARGE=-1 PRECISE", "optimize", {"model": "PM7"}, []),
        ("PM6 FORCE THERMO(298,400,2)", "frequencies", {"model": "PM6", "temperature": "298:400:2"}, []),
        ("PM6-D3H4 TS UHF EPS=78.4", "ts", {"model": "PM6-D3H4", "uhf": True, "solvent": "eps=78.4"}, []),
        ("AM1 MOZYME LOCALIZE", "optimize", {"model": "AM1"}, ["MOZYME", "LOCALIZE"]),
    ],
)
def test_keywords(words: str, task: str, options: dict, unknown: list[str]) -> None:
    job = read_keywords(words.split(), KNOWN)
    assert (job.task, job.options, job.unknown) == (task, options, unknown)


def test_a_job_runs_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """MOPAC 22.0.6, AM1 1SCF at this geometry: −59.25067 kcal/mol."""
    job = tmp_path / "job.mop"
    job.write_text(f"AM1 1SCF PRECISE LOCALIZE\nwater\n{WATER}")
    assert call("mopac", job) == 0
    (record,) = json.loads((tmp_path / "job.json").read_text())
    assert record["method"] == "AM1"
    assert record["heat_of_formation_kcal_mol"] == pytest.approx(-59.25067, abs=1e-3)
    assert "LOCALIZE is not known here" in " ".join(capsys.readouterr().err.split())


def test_what_is_no_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mop").write_text("3\nwater\nO 0 0 0\n")
    assert call("mopac", tmp_path / "a.mop", tmp_path / "none.mop") == 2
    assert "expected an input of MOPAC" in " ".join(capsys.readouterr().err.split())
