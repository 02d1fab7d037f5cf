"""Relaxed scans go on where they stopped, point by point."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from command import call

from nddo_ml.cli import curves
from nddo_ml.compare import scan


def without_times(path: Path) -> str:
    """The JSON of a scan but for seconds."""
    return json.dumps(
        json.loads(path.read_text(), object_hook=lambda d: {k: v for k, v in d.items() if "seconds" not in k})
    )


def test_a_relaxed_scan_goes_on_at_its_point(tmp_path, monkeypatch, capsys):
    write(tmp_path / "in.xyz", molecule("H2O2"))
    options = ["--torsion", 2, 0, 1, 3, "--from", 100, "--to", 130, "--steps", 4, "--relaxed"]
    command = ["scan", tmp_path / "in.xyz", *options, "-m", "AM1", "-m", "PM3"]
    assert call(*command, "--json", tmp_path / "whole.json", "-o", tmp_path / "whole.xyz") == 0
    made: list[float] = []

    def counted(*arguments, **options):
        if len(made) == 5:
            made.clear()
            raise KeyboardInterrupt
        made.append(arguments[3])
        return scan.relaxed_point(*arguments, **options)

    monkeypatch.setattr(curves, "relaxed_point", counted)
    again = [*command, "--json", tmp_path / "again.json", "-o", tmp_path / "again.xyz"]
    assert call(*again) == 130
    assert "5 points are in" in " ".join(capsys.readouterr().err.split())
    assert call(*again) == 0
    assert len(made) == 2 * 4 - 5
    assert without_times(tmp_path / "again.json") == without_times(tmp_path / "whole.json")
    assert (tmp_path / "again.xyz").read_bytes() == (tmp_path / "whole.xyz").read_bytes()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_relaxed_scans_by_several_processes(tmp_path):
    write(tmp_path / "in.xyz", molecule("H2O2"))
    options = ["--torsion", 2, 0, 1, 3, "--from", 100, "--to", 130, "--steps", 3, "--relaxed", "-m", "AM1", "-m", "PM3"]
    found = []
    for workers in (1, 3):
        out = tmp_path / f"{workers}.json"
        assert call("scan", tmp_path / "in.xyz", *options, "--json", out, "-j", workers) == 0
        found.append([c["energy_eV"] for c in json.loads(out.read_text())["models"]])
    np.testing.assert_allclose(*found, atol=1e-7)
