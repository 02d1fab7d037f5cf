"""Reference labels by PySCF: their values, the file that grows and resumes, failures, processes and Dask."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read, write

from nddo_ml.cli.groups import expanded
from nddo_ml.cli.label import label as grouped
from nddo_ml.errors import InputError
from nddo_ml.labelling.level import Level, single_point
from nddo_ml.labelling.partition import cm5_shift
from nddo_ml.labelling.run import Outcome, Summary, Task, label, prepare
from nddo_ml.labelling.store import LabelFile
from nddo_ml.results import pool
from nddo_ml.results.pool import Resources
from nddo_ml.structures.structure import Structure

pytest.importorskip("pyscf")
pytest.importorskip("threadpoolctl")

CHEAP = Level("lda,vwn", "sto-3g", auxiliary_basis=None, grid=(20, 50), pruning="none")
HYDROXIDE = Atoms("OH", [[0.0, 0.1, 0.0], [0.6, 0.2, 0.8]], info={"charge": -1})


def task(atoms: Atoms, frame: int = 0) -> Task:
    return prepare(Structure("test.xyz", frame, atoms))


@contextmanager
def in_process(function: Callable[[Task], Outcome], resources: Resources, retries: int) -> Iterator[Any]:
    """Takes the place of the process pool where processes are not what is tested."""

    def submit(item: Task) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        future.set_result(function(item))
        return future

    yield submit, 1, lambda finished: None


@contextmanager
def breaking(function: Callable[[Task], Outcome], resources: Resources, retries: int) -> Iterator[Any]:
    """A pool whose worker dies at the first task, as when memory runs out."""

    def submit(item: Task) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        future.set_exception(BrokenExecutor("a process was killed"))
        return future

    yield submit, 1, lambda finished: None


def test_published_dipole_and_charges() -> None:
    """HCN of ANI-1ccx (C1H1N1/20): ωB97X/6-31G(d) dipole and CM5 charges by Gaussian, Smith et al. 2020."""
    positions = [[0.01085804, 0.51147145, 0], [-0.14115457, 1.54442239, 0], [0.01085804, -0.65903586, 0]]
    labelled = single_point(task(Atoms("CHN", positions)).atoms, Level(charges="cm5"))
    np.testing.assert_allclose(labelled.get_dipole_moment(), [-0.0390135, 0.6110938, 0], atol=1e-3)
    np.testing.assert_allclose(labelled.get_charges(), [0.126385, 0.195199, -0.321582], atol=0.015)
    assert labelled.get_charges().sum() == pytest.approx(0, abs=1e-9)
    # PySCF 2.14.0 by hand: RKS(...).density_fit("def2-universal-jkfit"), atom_grid (75, 302), sg1_prune
    assert labelled.get_potential_energy() == pytest.approx(-2541.262026782575, abs=1e-6)


# PySCF 2.14.0 by hand: RHF or UHF with conv_tol 1e-11, MP2(frozen=1).kernel(); e_hf, e_corr_os and e_corr_ss weighted
@pytest.mark.parametrize(
    ("name", "multiplicity", "energies"),
    [
        ("H2O", 1, {"mp2": -2074.283455217, "scs-mp2": -2074.186074763, "sos-mp2": -2074.137384536}),
        ("CH3", 2, {"mp2": -1080.030212880, "scs-mp2": -1080.141235866, "sos-mp2": -1080.196747389}),
    ],
)
def test_perturbation_theory(name: str, multiplicity: int, energies: dict[str, float]) -> None:
    atoms = task(Atoms(molecule(name), info={"multiplicity": multiplicity})).atoms
    for functional, expected in energies.items():
        labelled = single_point(atoms, Level(functional, "cc-pvdz", None, convergence=1e-10))
        assert labelled.get_potential_energy() == pytest.approx(expected, abs=1e-6)
        assert set(labelled.calc.results) == {"energy"}
    fitted = single_point(atoms, Level("mp2", "cc-pvdz")).get_potential_energy()
    assert fitted == pytest.approx(energies["mp2"], abs=5e-3)


@pytest.mark.parametrize("multiplicity", [1, 3])
def test_forces_are_derivatives(multiplicity: int) -> None:
    level = Level("pbe", "sto-3g", grid=(40, 110), pruning="none", grid_response=True, convergence=1e-11)
    water = task(Atoms("OH2", molecule("H2O").positions + 0.05, info={"multiplicity": multiplicity})).atoms
    forces = single_point(water, level).get_forces()
    step, energies = 1e-3, []
    for sign in (1, -1):
        moved = water.copy()
        moved.positions[1, 2] += sign * step
        energies.append(single_point(moved, level).get_potential_energy())
    assert forces[1, 2] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=2e-4)
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-5)


def test_rotation_and_translation_of_an_ion() -> None:
    ion = task(HYDROXIDE).atoms
    moved = ion.copy()
    moved.rotate(90, "z")
    moved.translate([3.0, -2.0, 1.0])
    one, other = single_point(ion, CHEAP), single_point(moved, CHEAP)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert other.get_potential_energy() == pytest.approx(one.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(other.get_dipole_moment(), turn @ one.get_dipole_moment(), atol=1e-5)
    np.testing.assert_allclose(other.get_forces(), one.get_forces() @ turn.T, atol=1e-4)
    np.testing.assert_allclose(other.get_charges(), one.get_charges(), atol=1e-5)


def test_cm5_shift_keeps_the_charge_and_knows_its_elements() -> None:
    acid = molecule("CH3CONH2")
    shift = cm5_shift(acid.numbers, acid.positions)
    assert shift.sum() == pytest.approx(0, abs=1e-12)
    order = np.random.default_rng(0).permutation(len(acid))
    np.testing.assert_allclose(cm5_shift(acid.numbers[order], acid.positions[order]), shift[order], atol=1e-12)
    with pytest.raises(InputError, match="got Cl"):
        cm5_shift(molecule("HCl").numbers, molecule("HCl").positions)


def test_processes_give_what_single_points_give(tmp_path: Path) -> None:
    tasks = [task(molecule("H2")), task(HYDROXIDE, 1), task(molecule("H2"), 2)]
    output = tmp_path / "labels.extxyz"
    seen: list[Outcome] = []
    summary = label(tasks, output, CHEAP, Resources(workers=2), on_outcome=seen.append)
    assert summary == Summary(labelled=2, skipped=1)  # the third is the first again
    assert len(seen) == 2
    frames = {len(f) and f.get_chemical_formula(): f for f in read(output, ":")}
    for atoms in (tasks[0].atoms, tasks[1].atoms):
        frame, expected = frames[atoms.get_chemical_formula()], single_point(atoms, CHEAP)
        assert frame.get_potential_energy() == pytest.approx(expected.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(frame.get_forces(), expected.get_forces(), atol=1e-6)
        np.testing.assert_allclose(frame.get_dipole_moment(), expected.get_dipole_moment(), atol=1e-8)
        assert frame.info["level"] == CHEAP.description
        assert frame.info["source"] == "test.xyz"


@pytest.mark.parametrize("lost", [1, 30, 200])
def test_resumes_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    monkeypatch.setattr(pool, "_executor", in_process)
    tasks = [task(Atoms("H2", [[0, 0, 0], [0, 0, z]]), k) for k, z in enumerate((0.7, 0.8, 0.9))]
    output = tmp_path / "labels.extxyz"
    label(tasks, output, CHEAP)
    whole = output.read_bytes()
    output.write_bytes(whole[:-lost])
    assert label(tasks, output, CHEAP) == Summary(labelled=1, skipped=2)
    assert output.read_bytes() == whole
    assert label(tasks, output, CHEAP) == Summary(skipped=3)


def test_failures_are_recorded_and_tried_again_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_executor", in_process)
    output = tmp_path / "labels.extxyz"
    hopeless = Level("lda,vwn", "sto-3g", None, (20, 50), "none", charges="cm5")
    tasks = [task(molecule("HCl"), 4), task(molecule("H2"), 5)]
    assert label(tasks, output, hopeless) == Summary(labelled=1, failed=1)
    (entry,) = [json.loads(s) for s in (tmp_path / "labels.extxyz.failures.jsonl").read_text().splitlines()]
    assert entry["frame"] == 4
    assert "CM5" in entry["reason"]
    assert label(tasks, output, hopeless) == Summary(skipped=2)
    assert label(tasks, output, hopeless, retry_failed=True) == Summary(failed=1, skipped=1)


def test_a_dead_worker_costs_its_own_tasks_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = iter([breaking, in_process])
    monkeypatch.setattr(pool, "_executor", lambda *given: next(pools)(*given))
    tasks = [task(molecule("H2"), 0), task(Atoms("He"), 1)]
    assert label(tasks, tmp_path / "labels.extxyz", CHEAP) == Summary(labelled=1, failed=1)
    assert "the worker died" in (tmp_path / "labels.extxyz.failures.jsonl").read_text()


def test_scf_failure_is_an_error_of_that_structure() -> None:
    stubborn = Level("hf", "sto-3g", None, (20, 50), "none", max_cycles=0)
    with pytest.raises(RuntimeError, match="did not converge"):
        single_point(task(molecule("CO")).atoms, stubborn)


@pytest.mark.slow
def test_dask_cluster(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    output = tmp_path / "labels.extxyz"
    tasks = [task(Atoms("H2", [[0, 0, 0], [0, 0, z]]), k) for k, z in enumerate((0.7, 0.8, 0.9))]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        summary = label(tasks, output, CHEAP, Resources(scheduler=cluster.scheduler_address))
    assert summary == Summary(labelled=3)
    expected = single_point(tasks[1].atoms, CHEAP).get_potential_energy()
    (labelled,) = [f.get_potential_energy() for f in read(output, ":") if f.info["frame"] == 1]
    assert labelled == pytest.approx(expected, abs=1e-8)


def test_the_coarse_start_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The field starts from the density of a coarse grid and ends where it ends without."""
    level = Level("pbe", "sto-3g", grid=(40, 110), convergence=1e-10)
    atoms = molecule("CH3OH")
    found = single_point(atoms, level)
    monkeypatch.setattr("nddo_ml.labelling.level.first_density", lambda mean_field: mean_field.get_init_guess())
    direct = single_point(atoms, level)
    assert found.get_potential_energy() == pytest.approx(direct.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(found.get_forces(), direct.get_forces(), atol=2e-4)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"functional": "no-such-thing"}, "sos-mp2 or a functional"),
        ({"functional": "mp2", "dispersion": "d4"}, "no dispersion beside mp2"),
        ({"basis": "no-such-set"}, "basis set .* 'no-such-set'"),
        ({"auxiliary_basis": "no-such-fit"}, "basis set .* 'no-such-fit'"),
        ({"grid": (75, 300)}, "angular points must be one of .*302"),
        ({"convergence": 0.0}, "convergence must be above 0"),
        ({"charges": "esp"}, "mulliken, hirshfeld, cm5"),
        ({"pruning": "hard"}, "sg1"),
        ({"dispersion": "d5"}, "d3bj"),
    ],
)
def test_bad_levels(settings: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        Level(**settings).check()


def test_bad_structures_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not fit 10 electrons"):
        task(Atoms("OH2", molecule("H2O").positions, info={"multiplicity": 2}))
    with pytest.raises(InputError, match="pbc"):
        task(Atoms("H", cell=[5, 5, 5], pbc=True))
    with pytest.raises(InputError, match="workers and threads"):
        Resources(workers=0)
    other = tmp_path / "other.extxyz"
    write(other, molecule("H2"))
    with pytest.raises(InputError, match="expected a new file"):
        LabelFile(other, "some level")
    with LabelFile(tmp_path / "open.extxyz", "a"), pytest.raises(InputError, match="another run"):
        LabelFile(tmp_path / "open.extxyz", "a")
    with LabelFile(tmp_path / "level.extxyz", "a") as file:
        file.append("0" * 16, molecule("H2"))
    with pytest.raises(InputError, match="holds labels at a; expected b"):
        LabelFile(tmp_path / "level.extxyz", "b")


def labels(path: Path, n: int, level: str = "L") -> bytes:
    """A file of n labels at a level."""
    with LabelFile(path, level) as file:
        for k in range(n):
            file.append(f"{k:016x}", molecule("H2O"))
    return path.read_bytes()


def test_a_file_of_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    for text in ("3\nmy only geometry\nO 0 0 0\nH 0 0 1\nH 0 1 0", "notes", "2\n\nH 0 0 0\nH 0 0 1\n", "12\nO 0"):
        path = tmp_path / "out.xyz"
        path.write_text(text)
        with pytest.raises(InputError, match="expected a new file or one written by this command"):
            LabelFile(path, "L")
        assert path.read_text() == text


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (b"3\nProp", b"8\nProp", 4),  # one wrong digit in the first count
        (b"3\nProp", b"3999999999\nProp", 4),
        (b"\nO ", b"\n\x00 ", 4),
        (b"label_key=0000000000000000", b"label_kex=0000000000000000", 4),
    ],
)
def test_a_damaged_file_is_copied_aside_and_its_labels_are_kept(
    tmp_path: Path, old: bytes, new: bytes, kept: int
) -> None:
    path = tmp_path / "labels.extxyz"
    damaged = labels(path, 5).replace(old, new, 1)
    path.write_bytes(damaged)
    with LabelFile(path, "L") as file:
        assert "damaged at line 1; copied to" in file.remark
        assert file.done == {f"{k:016x}" for k in range(1, 5)}
    assert (tmp_path / "labels.extxyz.damaged").read_bytes() == damaged
    assert len(read(path, ":")) == kept
    with LabelFile(path, "L") as file:
        assert not file.remark


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import typer

    monkeypatch.setattr(pool, "_executor", in_process)
    write(tmp_path / "good.xyz", molecule("H2"))
    (tmp_path / "bad.xyz").write_text("1\n\nXx 0 0 0\n")
    command, output = expanded(grouped), tmp_path / "labels.extxyz"
    with pytest.raises(typer.Exit) as left:
        command(
            output=output,
            files=[str(tmp_path / "good.xyz"), str(tmp_path / "bad.xyz")],
            functional="lda,vwn",
            basis="sto-3g",
            density_fitting="none",
            grid="20,50",
        )
    assert left.value.exit_code == 2
    said = capsys.readouterr().err
    assert "1 labelled, 0 failed, 0 done before" in said
    assert "Xx" in said
    assert read(output).get_potential_energy() < -25
    with pytest.raises(InputError, match="two whole numbers"):
        command(output=output, files=[str(tmp_path / "good.xyz")], grid="75x302")


INTERRUPTED = """
import sys
from pathlib import Path
from ase import Atoms
from nddo_ml.structures.structure import Structure
from nddo_ml.labelling.level import Level
from nddo_ml.labelling.run import Resources, label, prepare

frames = [Atoms("N2", [[0, 0, 0], [0, 0, 1.0 + 0.01 * k]]) for k in range(int(sys.argv[2]))]
tasks = [prepare(Structure("n2.xyz", k, frame)) for k, frame in enumerate(frames)]
print(label(tasks, Path(sys.argv[1]), Level("pbe", "sto-3g", grid=(75, 302)), Resources(workers=2)).skipped)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_killed_run_goes_on(tmp_path: Path, name: str) -> None:
    output = tmp_path / "labels.extxyz"
    arguments = [sys.executable, "-c", INTERRUPTED, str(output)]
    with subprocess.Popen([*arguments, "1000"], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (not output.exists() or output.stat().st_size == 0):
            time.sleep(0.05)
        process.send_signal(signal.Signals[name])
    assert process.returncode != 0
    done = len(read(output, ":"))
    again = subprocess.run([*arguments, str(done + 2)], capture_output=True, text=True, check=True)
    assert int(again.stdout) <= done
    assert sorted(f.info["frame"] for f in read(output, ":"))[: done + 2] == list(range(done + 2))
