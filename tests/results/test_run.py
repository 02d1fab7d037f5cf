"""Failures stay with their structure; runs that are interrupted and resumed."""

import json

import pytest
import torch
from ase.io import read, write
from command import call
from fake_model import MorseModel
from small_jobs import structures

from nddo_ml.cli import common


class Failing(MorseModel):
    """A model whose numerics fail for what has oxygen and nitrogen, in two ways."""

    def forward(self, systems, request):
        if bool((systems.numbers == 8).any()):
            raise torch.linalg.LinAlgError("the algorithm failed to converge")
        found = super().forward(systems, request)
        nitrogen = systems.system_idx[systems.numbers == 7]
        found.energy[nitrogen] = torch.nan
        return found


def test_what_fails_in_any_way_is_that_structures_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(common, "load_model", lambda *given, **options: Failing())
    source = structures(tmp_path / "in.xyz", 10)
    assert call("energy", source, "--json", "-") == 1
    captured = capsys.readouterr()
    assert [r["frame"] for r in json.loads(captured.out)] == [1, 2, 6, 7]
    error = " ".join(captured.err.split())
    for k in (0, 3, 5, 8):
        assert f"frame {k}: it could not be computed (_LinAlgError: the algorithm failed to converge)" in error
    for k in (4, 9):
        assert f"frame {k}: the SCF did not converge" in error


def test_json_has_no_bare_nan(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(common, "load_model", lambda *given, **options: MorseModel())
    assert call("energy", structures(tmp_path / "in.xyz", 2), "--json", "-") == 0

    def refuse(word: str) -> None:
        raise AssertionError(word)

    rows = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert rows[0]["lumo_eV"] is None
    assert rows[0]["elements"] == ["O", "H", "H"]


class Interrupting(MorseModel):
    """Ctrl-C at one of the calls."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, systems, request):
        if len(self.calls) + 1 == self.at:
            raise KeyboardInterrupt
        return super().forward(systems, request)


def test_ctrl_c_says_what_is_on_disk_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys, small):
    source, out, rows = structures(tmp_path / "in.xyz", 12), tmp_path / "out.xyz", tmp_path / "out.json"
    arguments = ["energy", source, "--output", out, "--json", rows]
    monkeypatch.setattr(common, "load_model", lambda *given, **options: MorseModel())
    assert call(*arguments) == 0
    expected = (out.read_bytes(), rows.read_bytes())
    out.write_text("old")
    monkeypatch.setattr(common, "load_model", lambda *given, **options: Interrupting(at=3))
    monkeypatch.setattr("nddo_ml.cli.produce.fingerprint", lambda model: "the same")
    capsys.readouterr()
    assert call(*arguments) == 130
    error = " ".join(capsys.readouterr().err.split())
    assert "energies are in" in error
    assert "the same command goes on from there" in error
    assert out.read_text() == "old"
    model = MorseModel()
    monkeypatch.setattr(common, "load_model", lambda *given, **options: model)
    assert call(*arguments) == 0
    assert 0 < sum(model.calls) < 12
    assert (out.read_bytes(), rows.read_bytes()) == expected
    assert not list(tmp_path.glob("*.part"))


def test_another_model_is_not_silently_resumed(tmp_path, monkeypatch, capsys, small):
    source, out = structures(tmp_path / "in.xyz", 12), tmp_path / "out.xyz"
    monkeypatch.setattr(common, "load_model", lambda *given, **options: Interrupting(at=3))
    assert call("energy", source, "--output", out) == 130
    assert call("energy", source, "--output", out, "--forces") == 2
    assert "with forces False; this run has True" in " ".join(capsys.readouterr().err.split())


def test_a_changed_structure_is_computed_anew_and_said(tmp_path, monkeypatch, capsys, small):
    source, out = structures(tmp_path / "in.xyz", 12), tmp_path / "out.xyz"
    monkeypatch.setattr("nddo_ml.cli.produce.fingerprint", lambda model: "the same")
    monkeypatch.setattr(common, "load_model", lambda *given, **options: Interrupting(at=3))
    assert call("energy", source, "--output", out) == 130
    frames = read(source, ":")
    frames[0].positions[1] += 0.1
    write(source, frames, format="xyz")
    monkeypatch.setattr(common, "load_model", lambda *given, **options: MorseModel())
    assert call("energy", source, "--output", out) == 0
    assert "structures that have changed" in " ".join(capsys.readouterr().err.split())
    expected = MorseModel()
    from nddo_ml import Systems

    assert [f.get_potential_energy() for f in read(out, ":")] == pytest.approx(
        expected(Systems.from_ase(frames)).energy.tolist()
    )
