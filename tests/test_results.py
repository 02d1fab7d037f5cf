"""Results that outlive interruptions: journal, targets refused before any work, resumed runs, failures by structure."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write
from fake_model import MorseModel
from nnp_models import make_nnp

from nddo_ml import InputError, NDDOCalculator, load_model
from nddo_ml.cli import common, main
from nddo_ml.results import run as results_run
from nddo_ml.results.journal import Journal
from nddo_ml.results.targets import check_targets, whole

NAMES = ["H2O", "CH4", "H2", "CH3OH", "NH3"]


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


def structures(path: Path, n: int) -> Path:
    """A file of n small molecules, no two alike."""
    rng = np.random.default_rng(0)
    frames = [molecule(NAMES[k % len(NAMES)]) for k in range(n)]
    for frame in frames:
        frame.positions += rng.normal(0, 0.02, frame.positions.shape)
    write(path, frames, format="xyz")
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few structures."""
    monkeypatch.setattr(results_run, "CHUNK_PAIRS", 60)


class Interrupting(MorseModel):
    """Ctrl-C at one of the calls."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, systems, request):
        if len(self.calls) + 1 == self.at:
            raise KeyboardInterrupt
        return super().forward(systems, request)


# the journal


def test_a_journal_keeps_what_is_finished(tmp_path):
    path = tmp_path / "out.xyz.part"
    with Journal(path, {"model": "AM1"}) as journal:
        journal.append("a", [{"record": {"energy": -1.5, "homo": float("nan")}}])
        journal.append("b", [{"complaints": [[1, "no"]]}, {"record": {"name": "µ 1"}}])
    with Journal(path, {"model": "AM1"}) as journal:
        assert len(journal) == 2
        assert journal.read("a") == [{"record": {"energy": -1.5, "homo": None}}]
        assert journal.read("b")[1]["record"]["name"] == "µ 1"
        assert (journal.complaints("a"), journal.complaints("b")) == (0, 1)
        assert journal.unused(["a"]) == 1
        journal.remove()
    assert not path.exists()


@pytest.mark.parametrize("lost", [1, 7, 30])
def test_a_journal_loses_at_most_its_last_line(tmp_path, lost):
    path = tmp_path / "out.part"
    with Journal(path, {}) as journal:
        for key in "abc":
            journal.append(key, [{"record": {"key": key, "values": list(range(20))}}])
    path.write_bytes(path.read_bytes()[:-lost])
    with Journal(path, {}) as journal:
        assert [k in journal for k in "abc"] == [True, True, False]
        journal.append("c", [{"record": {}}])
    with Journal(path, {}) as journal:
        assert [k in journal for k in "abc"] == [True, True, True]


def test_a_damaged_line_is_not_believed(tmp_path):
    path = tmp_path / "out.part"
    with Journal(path, {}) as journal:
        for key in "abc":
            journal.append(key, [{"record": {"energy": 123.25}}])
    content = path.read_bytes()
    where = content.index(b"123.25", content.index(b"123.25") + 1)
    path.write_bytes(content[:where] + b"9" + content[where + 1 :])
    with Journal(path, {}) as journal:
        assert [k in journal for k in "abc"] == [True, False, True]
        assert journal.damaged == 1


def test_a_journal_of_other_settings_or_another_file_is_refused_and_stays(tmp_path):
    path = tmp_path / "out.part"
    with Journal(path, {"model": "AM1", "forces": False}) as journal:
        journal.append("a", [{}])
        with pytest.raises(InputError, match="another run"):
            Journal(path, {"model": "AM1", "forces": False})
    before = path.read_bytes()
    with pytest.raises(InputError, match="with forces False; this run has True"):
        Journal(path, {"model": "AM1", "forces": True})
    assert path.read_bytes() == before
    path.write_text("my notes\nof today\n")
    with pytest.raises(InputError, match="got another file, which stays"):
        Journal(path, {})
    assert path.read_text() == "my notes\nof today\n"


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(LookupError), whole(path) as made:
        half_written(made)
    assert path.read_text() == "old"
    with whole(path) as made:
        made.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["out.txt"]


def half_written(path: Path) -> None:
    path.write_text("half")
    raise LookupError


# refused before any work


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
    monkeypatch.setattr(common, "load_model", lambda *given: MorseModel(failing=lambda *a: pytest.fail("worked")))
    before = structures(Path("in.xyz"), 3).read_bytes()
    assert call("energy", "in.xyz", *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert Path("in.xyz").read_bytes() == before


# formats


@pytest.mark.parametrize("suffix", ["xyz", "extxyz", "traj", "db"])
def test_formats_keep_energies(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(common, "load_model", lambda *given: MorseModel())
    source, out = structures(tmp_path / "in.xyz", 4), tmp_path / f"out.{suffix}"
    assert call("energy", source, "--forces", "--output", out, "--json", tmp_path / "out.json") == 0
    rows, frames = json.loads((tmp_path / "out.json").read_text()), read(out, ":")
    assert [f.get_potential_energy() for f in frames] == pytest.approx([r["energy_eV"] for r in rows])
    for row, frame in zip(rows, frames, strict=True):
        np.testing.assert_allclose(frame.get_forces(), row["forces_eV_A"], atol=1e-7)
        np.testing.assert_allclose(frame.positions, row["positions_A"], atol=1e-7)
        assert list(frame.symbols) == row["elements"]
    assert set(os.listdir(tmp_path)) == {"in.xyz", "out.json", f"out.{suffix}"}


CHARGES = {"acetate": [-1], "methylammonium": [1], "glycine_zwitterion": [-1, 1], "benzene": [], "caffeine": []}


def test_bond_orders_and_formal_charges_of_sdf(tmp_path):
    """Lewis structures from PM6's bond orders; RDKit, where it is there, reads the molecules that they are."""
    names = [f"examples/molecules/{name}.xyz" for name in CHARGES]
    assert call("energy", *(Path(__file__).parents[1] / n for n in names), "-m", "PM6", "-o", tmp_path / "o.sdf") == 0
    records = (tmp_path / "o.sdf").read_text().split("$$$$\n")[:-1]
    for record, charges in zip(records, CHARGES.values(), strict=True):
        told = [line.split() for line in record.splitlines() if line.startswith("M  CHG")]
        assert sorted(int(q) for line in told for q in line[4::2]) == charges
        assert "<energy_eV>" in record
    chem = pytest.importorskip("rdkit.Chem")
    molecules = list(chem.SDMolSupplier(str(tmp_path / "o.sdf"), removeHs=False))
    assert [chem.MolToSmiles(chem.RemoveHs(m)) for m in molecules] == [
        chem.CanonSmiles(s)
        for s in ("CC(=O)[O-]", "C[NH3+]", "[NH3+]CC(=O)[O-]", "c1ccccc1", "Cn1c(=O)c2c(ncn2C)n(C)c1=O")
    ]


def test_bonds_of_the_input_are_kept(tmp_path):
    """Kekulé's benzene of a record stays as it is written; a PDB file has the ammonium ion's charge."""
    ring = molecule("C6H6")
    write(tmp_path / "in.xyz", ring)
    assert call("energy", tmp_path / "in.xyz", "-o", tmp_path / "a.sdf") == 0
    assert call("optimize", tmp_path / "a.sdf", "-o", tmp_path / "b.sdf") == 0
    first, second = ((tmp_path / f"{n}.sdf").read_text().splitlines()[16:28] for n in "ab")
    assert first == second
    assert sorted(line.split()[2] for line in first) == ["1"] * 9 + ["2"] * 3
    ammonium = molecule("CH4")
    ammonium.numbers[0] = 7
    ammonium.info["charge"] = 1
    write(tmp_path / "n.extxyz", ammonium)
    assert call("energy", tmp_path / "n.extxyz", "-o", tmp_path / "n.pdb") == 0
    lines = (tmp_path / "n.pdb").read_text().splitlines()
    assert lines[0].rstrip().endswith("N1+")
    assert sum(line.startswith("CONECT") for line in lines) == 5


def test_one_output_that_fails_does_not_take_the_others(tmp_path, monkeypatch, capsys):
    from nddo_ml.results import frames

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(common, "load_model", lambda *given: MorseModel())
    monkeypatch.setitem(frames.STREAMED, ".traj", full)
    source = structures(tmp_path / "in.xyz", 3)
    (tmp_path / "out.traj").write_text("old")
    assert call("energy", source, "--output", tmp_path / "out.traj", "--json", tmp_path / "out.json") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "No space left on device" in error
    assert "writes what is missing" in error
    assert (tmp_path / "out.traj").read_text() == "old"
    assert len(json.loads((tmp_path / "out.json").read_text())) == 3
    monkeypatch.undo()
    silent = MorseModel(failing=lambda *a: pytest.fail("computed again"))
    monkeypatch.setattr(common, "load_model", lambda *given: silent)
    assert call("energy", source, "--output", tmp_path / "out.traj", "--json", tmp_path / "out.json") == 0
    assert len(read(tmp_path / "out.traj", ":")) == 3


# failures stay with their structure


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
    monkeypatch.setattr(common, "load_model", lambda *given: Failing())
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
    monkeypatch.setattr(common, "load_model", lambda *given: MorseModel())
    assert call("energy", structures(tmp_path / "in.xyz", 2), "--json", "-") == 0

    def refuse(word: str) -> None:
        raise AssertionError(word)

    rows = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert rows[0]["lumo_eV"] is None
    assert rows[0]["elements"] == ["O", "H", "H"]


# interrupted and resumed


def test_ctrl_c_says_what_is_on_disk_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys, small):
    source, out, rows = structures(tmp_path / "in.xyz", 12), tmp_path / "out.xyz", tmp_path / "out.json"
    arguments = ["energy", source, "--output", out, "--json", rows]
    monkeypatch.setattr(common, "load_model", lambda *given: MorseModel())
    assert call(*arguments) == 0
    expected = (out.read_bytes(), rows.read_bytes())
    out.write_text("old")
    monkeypatch.setattr(common, "load_model", lambda *given: Interrupting(at=3))
    monkeypatch.setattr("nddo_ml.cli.produce.fingerprint", lambda model: "the same")
    capsys.readouterr()
    assert call(*arguments) == 130
    error = " ".join(capsys.readouterr().err.split())
    assert "energies are in" in error
    assert "the same command goes on from there" in error
    assert out.read_text() == "old"
    model = MorseModel()
    monkeypatch.setattr(common, "load_model", lambda *given: model)
    assert call(*arguments) == 0
    assert 0 < sum(model.calls) < 12
    assert (out.read_bytes(), rows.read_bytes()) == expected
    assert not list(tmp_path.glob("*.part"))


def test_another_model_is_not_silently_resumed(tmp_path, monkeypatch, capsys, small):
    source, out = structures(tmp_path / "in.xyz", 12), tmp_path / "out.xyz"
    monkeypatch.setattr(common, "load_model", lambda *given: Interrupting(at=3))
    assert call("energy", source, "--output", out) == 130
    assert call("energy", source, "--output", out, "--forces") == 2
    assert "with forces False; this run has True" in " ".join(capsys.readouterr().err.split())


def test_a_changed_structure_is_computed_anew_and_said(tmp_path, monkeypatch, capsys, small):
    source, out = structures(tmp_path / "in.xyz", 12), tmp_path / "out.xyz"
    monkeypatch.setattr("nddo_ml.cli.produce.fingerprint", lambda model: "the same")
    monkeypatch.setattr(common, "load_model", lambda *given: Interrupting(at=3))
    assert call("energy", source, "--output", out) == 130
    frames = read(source, ":")
    frames[0].positions[1] += 0.1
    write(source, frames, format="xyz")
    monkeypatch.setattr(common, "load_model", lambda *given: MorseModel())
    assert call("energy", source, "--output", out) == 0
    assert "structures that have changed" in " ".join(capsys.readouterr().err.split())
    expected = MorseModel()
    from nddo_ml import Systems

    assert [f.get_potential_energy() for f in read(out, ":")] == pytest.approx(
        expected(Systems.from_ase(frames)).energy.tolist()
    )


def killed(command: list[object], grows: Path, kills: list[tuple[int, float]], **plan: object) -> tuple[list[int], str]:
    """Exit codes of a command that is killed some times at random moments and then left alone; what it said."""
    text = json.dumps({"command": [str(c) for c in command], "grows": str(grows), "signals": kills, **plan})
    program = [sys.executable, str(Path(__file__).parent / "killing.py"), text]
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}  # this tree's package, whatever is installed
    done = subprocess.run(program, capture_output=True, text=True, check=True, env={**os.environ, **path})
    return json.loads(done.stdout.splitlines()[-1]), " ".join(done.stderr.split())


@pytest.mark.parametrize("command", ["energy", "optimize"])
def test_killed_three_times(tmp_path, command):
    source, out, rng = structures(tmp_path / "in.xyz", 60), tmp_path / "out.xyz", np.random.default_rng(1)
    arguments = [command, source, "--json", tmp_path / "out.json"]
    plan = {"pause": 0.01, "pairs": 60}
    assert killed([*arguments, "--output", tmp_path / "whole.xyz"], tmp_path / "no", [], **plan)[0] == [0]
    out.write_text("old")
    kills = [(n, float(rng.uniform(0, 0.05))) for n in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL)]
    codes, said = killed([*arguments, "--output", out], tmp_path / "out.xyz.part", kills, **plan)
    assert codes == [-signal.SIGKILL, 130, -signal.SIGKILL, 0], said
    assert "the same command goes on" in said
    assert out.read_bytes() == (tmp_path / "whole.xyz").read_bytes()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["energy", "optimize"])
def test_killed_twenty_times(tmp_path, command):
    """Two thousand structures by AM1: nothing is lost or doubled, the result is that of an undisturbed run."""
    source, out, rng = structures(tmp_path / "in.xyz", 2000), tmp_path / "out.xyz", np.random.default_rng(2)
    arguments = [command, source, "--json", tmp_path / "out.json"]
    whole_run = [*arguments, "--output", tmp_path / "whole.xyz"]
    assert killed(whole_run, tmp_path / "no", [], pairs=1500)[0] == [0]
    kills = [(signal.SIGKILL, float(rng.uniform(0, 0.3))) for _ in range(20)]
    codes, said = killed([*arguments, "--output", out], tmp_path / "out.xyz.part", kills, pairs=1500)
    assert codes[-1] == 0, said
    assert codes.count(-signal.SIGKILL) > 5
    assert out.read_bytes() == (tmp_path / "whole.xyz").read_bytes()


@pytest.mark.slow
def test_labels_killed_twenty_times(tmp_path):
    pytest.importorskip("pyscf")
    from nddo_ml.labelling.store import KEY

    frames = [Atoms("H2", [[0, 0, 0], [0, 0, 0.6 + 2e-4 * k]]) for k in range(2000)]
    write(tmp_path / "in.xyz", frames, format="xyz")
    rng, options = np.random.default_rng(3), ["--functional", "lda,vwn", "--basis", "sto-3g", "--grid", "20,50"]
    out = tmp_path / "labels.extxyz"
    command = ["label", tmp_path / "in.xyz", "--output", out, "--density-fitting", "none", *options]
    codes, said = killed(command, out, [(signal.SIGKILL, float(rng.uniform(0, 1.0))) for _ in range(20)])
    assert codes[-1] == 0, said
    labelled = read(out, ":")
    assert sorted(f.info["frame"] for f in labelled) == list(range(2000))
    assert len({f.info[KEY] for f in labelled}) == 2000


def test_workers_give_what_one_process_gives(tmp_path):
    source = structures(tmp_path / "in.xyz", 12)
    for workers in (1, 2):
        out = tmp_path / f"{workers}.json"
        program = [sys.executable, "-m", "nddo_ml", "energy", str(source), "--json", str(out), "-j", str(workers)]
        subprocess.run(program, check=True, capture_output=True)
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
    program = [sys.executable, str(Path(__file__).parent / "lost_worker.py"), str(source), str(tmp_path / "2.json")]
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(program, capture_output=True, text=True, check=True, timeout=1200, env={**os.environ, **path})
    assert "killed" in done.stdout
    same_records(tmp_path / "1.json", tmp_path / "2.json")


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
    monkeypatch.setattr(common, "load_model", lambda *given: MorseModel())
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
    monkeypatch.setattr(common, "load_model", lambda *given: model)
    assert call("energy", source, "--forces", "--output", out, "--json", rows) == 0
    assert sum(model.calls) < 1000
    assert len(json.loads(rows.read_text())) == len(read(out, ":")) == 1000
    assert sorted(os.listdir(tiny_disk)) == ["out.json", "out.xyz"]


# names of models


def test_a_model_by_any_of_its_names(tmp_path):
    water = molecule("H2O")
    water.calc = NDDOCalculator("PM6")
    assert water.get_potential_energy() == pytest.approx(float(load_model("pm6")(water_systems()).energy[0]))
    with pytest.raises(InputError, match="no such file, method or shipped model"):
        NDDOCalculator("PM5")


def water_systems():
    from nddo_ml import Systems

    return Systems.from_ase(molecule("H2O"))


def test_models_are_listed_under_both_names(capsys):
    assert call("models", "--json") == 0
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)}
    assert {"AM1", "PM6", "hybrid-chno", "nnp-chno"} <= set(rows)
    assert rows["nnp-chno"]["kind"] == "shipped model"
    assert rows["nnp-chno"]["elements"] == ["H", "C", "N", "O"]
    assert call("methods") == 0


def test_per_atom_stresses_sum_to_the_stress():
    cell = bulk("Si", cubic=True)
    cell.rattle(0.05, seed=1)
    cell.calc = NDDOCalculator(make_nnp(("Si",), [cell]))
    assert cell.get_stresses().shape == (8, 6)
    np.testing.assert_allclose(cell.get_stresses().sum(0), cell.get_stress(), atol=1e-12)


def test_evaluate_shows_errors_with_fitted_zeros(capsys):
    """Labels of another zero: thousands of eV off as they are, a fraction of one after the fit."""
    data = Path(__file__).parents[1] / "examples" / "molecules" / "displaced.extxyz"
    assert call("evaluate", data, "-m", "AM1", "--json", "-") == 0
    captured = capsys.readouterr()
    energy = json.loads(captured.out)["labels"]["energy"]
    assert energy["with_fitted_zero"]["mae"] < 1.0 < 100.0 < energy["mae"]
    assert "zero fitted" in captured.err
    assert call("evaluate", "AM1") == 2


def test_help_names_only_files_that_exist():
    root = Path(__file__).parents[1]
    for path in (root / "nddo_ml" / "cli").glob("*.py"):
        for word in path.read_text().split():
            if word.startswith("examples/") and "*" not in word:
                assert (root / word.rstrip('"`')).exists(), f"{path.name}: {word}"


def test_extrapolation_and_spread_are_shown(tmp_path, capsys):
    squeezed = Atoms("OH2", molecule("H2O").positions * 0.7)
    write(tmp_path / "in.xyz", [molecule("H2O"), squeezed])
    assert call("energy", tmp_path / "in.xyz", "-m", "nnp-chno", "--json", "-") == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert rows[1]["extrapolation"]["atoms"]
    assert rows[0]["energy_spread_eV"] > 0
    assert "extrapolates" in captured.err
    assert "± eV" in captured.err


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_structures(tmp_path):
    """Five thousand structures need hardly more than five hundred."""
    tests = str(Path(__file__).parent)
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
