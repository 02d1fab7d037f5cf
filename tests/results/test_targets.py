"""Outputs that are refused before any work, and whole or not there."""

import contextlib
import io
import os
import sys
from pathlib import Path

import pytest
from command import call
from fake_model import MorseModel
from small_jobs import structures

from nddo_ml import InputError
from nddo_ml.cli import common
from nddo_ml.results.records import write_records
from nddo_ml.results.targets import check_targets


def test_targets_that_would_destroy_something(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.xyz").write_text("x")
    Path("link.xyz").symlink_to("in.xyz")
    os.link("in.xyz", "hard.xyz")
    Path("folder").mkdir()
    for target, message in [
        ("in.xyz", "another file than the input"),
        ("link.xyz", "another file than the input"),
        ("hard.xyz", "another file than the input"),
        ("folder/../in.xyz", "another file than the input"),
        ("folder", "this is a folder"),
        ("nowhere/out.xyz", "there is no"),
        ("-", "only --json may be standard output"),
    ]:
        with pytest.raises(InputError, match=message):
            check_targets(["in.xyz"], output=target)
    with pytest.raises(InputError, match="another file than the input"):
        check_targets(["in.xyz@0:3"], output="in.xyz")
    with pytest.raises(InputError, match="another file than the input"):
        check_targets(["out.xyz.part"], output="out.xyz")
    with pytest.raises(InputError, match="another file than --output out"):
        check_targets(["in.xyz"], output="out.xyz", json="folder/../out.xyz")
    assert check_targets(["in.xyz", "AM1"], output="out.xyz", json="-").journal == tmp_path / "out.xyz.part"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "in.xyz"], "another file than the input"),
        (["--output", "out.foo"], "expected a suffix that names a format"),
        (["--output", "out.json"], "records go to --json"),
        (["--output", "out.vasp"], "expected one structure"),
        (["--output", "o.xyz", "--json", "o.xyz"], "another file than --"),
        (["--json", "nowhere/o.json"], "there is no"),
    ],
)
def test_commands_refuse_before_any_work(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        common, "load_model", lambda *given, **options: MorseModel(failing=lambda *a: pytest.fail("worked"))
    )
    before = structures(Path("in.xyz"), 3).read_bytes()
    assert call("energy", "in.xyz", *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert Path("in.xyz").read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_device_or_standard_output_is_a_sentence(monkeypatch):
    with pytest.raises(InputError, match="No space left on device"):
        write_records([{"a": 1}], Path("/dev/full"))
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"))  # closing it fails
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(InputError, match="standard output: expected room"):
        write_records([{"a": 1}], None)
    with contextlib.suppress(OSError):
        full.close()
