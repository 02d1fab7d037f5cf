"""Several processes, a small disk, bounded memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.io import read
from command import call
from fake_model import MorseModel
from places import ROOT, TESTS
from small_jobs import structures

from nddo_ml import InputError
from nddo_ml.cli import common
from nddo_ml.results import pool


def test_workers_give_what_one_process_gives(tmp_path):
    source = structures(tmp_path / "in.xyz", 12)
    for workers in (1, 2):
        out = tmp_path / f"{workers}.json"
        assert call("energy", source, "--json", out, "--workers", workers) == 0
    same_records(tmp_path / "1.json", tmp_path / "2.json")


def same_records(one: Path, other: Path) -> None:
    left, right = json.loads(one.read_text()), json.loads(other.read_text())
    assert [r["frame"] for r in left] == [r["frame"] for r in right]
    assert [r["energy_eV"] for r in left] == pytest.approx([r["energy_eV"] for r in right], abs=1e-7)


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same(tmp_path):
    """Two workers of a Dask cluster, one killed in the middle."""
    pytest.importorskip("distributed")
    source = structures(tmp_path / "in.xyz", 200)
    assert call("energy", source, "--json", tmp_path / "1.json") == 0
    program = [sys.executable, str(TESTS / "lost_worker.py"), str(source), str(tmp_path / "2.json")]
    path = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=1200, env={**os.environ, **path})
    assert "killed" in done.stdout
    same_records(tmp_path / "1.json", tmp_path / "2.json")


@pytest.mark.slow
def test_a_cluster_without_workers_is_not_waited_for_for_ever(tmp_path, monkeypatch, capsys):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(pool, "PATIENCE", 2.0)
    monkeypatch.setattr(pool, "LOOK", 0.5)
    options = {"n_workers": 0, "processes": False, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster:
        source = structures(tmp_path / "in.xyz", 3)
        command = ["energy", source, "--json", tmp_path / "o.json", "--scheduler", cluster.scheduler_address]
        assert call(*command) == 2
    assert "there have been none for 2 s" in " ".join(capsys.readouterr().err.split())


def test_an_address_that_nothing_answers_at_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(pool, "ANSWER", 0.3)
    with pytest.raises(InputError, match=r"nothing answers at '127.0.0.1:9'"):
        list(pool.work(abs, [1], pool.Resources(scheduler="127.0.0.1:9")))


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        # a privilege that containers of continuous integration have and users need not
        pytest.skip("mounting a small disk is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_old_files_whole(tiny_disk, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(common, "load_model", lambda *given, **options: MorseModel())
    source, out, rows = structures(tmp_path / "in.xyz", 1000), tiny_disk / "out.xyz", tiny_disk / "out.json"
    out.write_text("old frames")
    rows.write_text("old rows")
    assert call("energy", source, "--forces", "--output", out, "--json", rows) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "No space left on device" in error
    assert "Traceback" not in error
    assert (out.read_text(), rows.read_text()) == ("old frames", "old rows")
    subprocess.run(["mount", "-o", "remount,size=20m", str(tiny_disk)], check=True)
    model = MorseModel()
    monkeypatch.setattr(common, "load_model", lambda *given, **options: model)
    assert call("energy", source, "--forces", "--output", out, "--json", rows) == 0
    assert sum(model.calls) < 1000
    assert len(json.loads(rows.read_text())) == len(read(out, ":")) == 1000
    assert sorted(os.listdir(tiny_disk)) == ["out.json", "out.xyz"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_structures(tmp_path):
    """Five thousand structures need hardly more than five hundred."""
    tests = str(TESTS)
    program = (
        f"import sys; sys.path.insert(0, {tests!r}); from killing import slow_model\n"
        "from benchmarks.common import peak_memory_mib; from nddo_ml.cli import common, main\n"
        "common.load_model = slow_model(0)\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\nprint(peak_memory_mib())"
    )
    peaks = []
    for n in (500, 5000):
        arguments = ["energy", str(structures(tmp_path / "in.xyz", n)), "--json", str(tmp_path / f"{n}.json")]
        done = subprocess.run([sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True)
        peaks.append(float(done.stdout.split()[-1]))
        assert len(json.loads((tmp_path / f"{n}.json").read_text())) == n
    assert peaks[1] < 1.1 * peaks[0]
