"""The command line: what it writes for programs and for people, in batches and in the order of the files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from command import call
from fake_model import MorseModel

from nddo_ml import NDDO, Systems
from nddo_ml.cli import COMMANDS, build_app, common
from nddo_ml.units import DEBYE_PER_E_ANGSTROM

FIELDS = {
    "source", "frame", "name", "formula", "natoms", "elements", "positions_A", "cell_A", "pbc", "method", "charge",
    "multiplicity", "energy_eV", "heat_of_formation_kcal_mol", "forces_eV_A", "charges_e", "dipole_D",
    "dipole_vector_D", "homo_eV", "lumo_eV", "scf_converged", "scf_iterations", "energy_spread_eV",
    "atomic_spread_eV", "largest_force_spread_eV_A", "extrapolation", "environment",
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files: water and methane, and the methyl radical."""
    first, second = tmp_path / "two.xyz", tmp_path / "radical.extxyz"
    write(first, [molecule("H2O"), molecule("CH4")])
    write(second, molecule("CH3"))
    return [first, second]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> MorseModel:
    """The commands with a cheap model."""
    model = MorseModel()
    monkeypatch.setattr(common, "load_model", lambda *given, **more: model)
    return model


def test_json_on_standard_output_is_pure_and_complete(files, capsys):
    assert call("energy", *files, "--forces", "--json", "-") == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [(Path(r["source"]).name, r["frame"], r["formula"]) for r in rows] == [
        ("two.xyz", 0, "H2O"),
        ("two.xyz", 1, "CH4"),
        ("radical.extxyz", 0, "CH3"),
    ]
    assert all(set(r) == FIELDS for r in rows)
    assert "H2O" in captured.err  # the table

    prediction = NDDO("AM1")(Systems.from_ase([molecule(n) for n in ("H2O", "CH4", "CH3")]), forces=True)
    for k, row in enumerate(rows):
        assert row["energy_eV"] == pytest.approx(float(prediction.energy[k]), abs=1e-6)
        assert row["heat_of_formation_kcal_mol"] == pytest.approx(float(prediction.heat_of_formation[k]), abs=1e-4)
        dipole = np.linalg.norm(prediction.dipole[k].numpy()) * DEBYE_PER_E_ANGSTROM
        assert row["dipole_D"] == pytest.approx(dipole, abs=1e-4)
        assert row["dipole_D"] == pytest.approx(np.linalg.norm(row["dipole_vector_D"]))
        assert row["scf_converged"] is True
        assert row["homo_eV"] < row["lumo_eV"]
    assert rows[2]["multiplicity"] == 2
    assert np.shape(rows[1]["forces_eV_A"]) == (5, 3)
    assert sum(rows[1]["charges_e"]) == pytest.approx(0.0, abs=1e-9)


def test_charge_and_multiplicity(tmp_path, capsys):
    ammonium = molecule("CH4")
    ammonium.numbers[0] = 7
    write(tmp_path / "a.xyz", ammonium)
    ammonium.info.update(charge=1, multiplicity=1)
    write(tmp_path / "b.xyz", ammonium)
    assert call("energy", tmp_path / "a.xyz", "--charge", 1, "--json", "-") == 0
    from_options = json.loads(capsys.readouterr().out)[0]
    assert call("energy", tmp_path / "b.xyz", "--json", "-") == 0
    from_file = json.loads(capsys.readouterr().out)[0]
    assert from_options["charge"] == from_file["charge"] == 1
    assert from_options["energy_eV"] == pytest.approx(from_file["energy_eV"], abs=1e-9)
    assert sum(from_file["charges_e"]) == pytest.approx(1.0, abs=1e-9)


def test_json_and_extxyz_files(files, tmp_path, capsys):
    out, frames = tmp_path / "out.json", tmp_path / "out.xyz"
    assert call("energy", *files, "--forces", "--json", out, "--output", frames) == 0
    assert "AM1" in capsys.readouterr().out
    rows, atoms = json.loads(out.read_text()), read(frames, ":")
    for row, frame in zip(rows, atoms, strict=True):
        assert frame.get_potential_energy() == pytest.approx(row["energy_eV"])
        np.testing.assert_allclose(frame.get_forces(), row["forces_eV_A"], atol=1e-7)
        assert frame.info["method"] == "AM1"
        assert frame.info["multiplicity"] == row["multiplicity"]


def test_results_of_another_program_are_not_kept(fake, tmp_path):
    path, out = tmp_path / "in.xyz", tmp_path / "out.xyz"
    path.write_text(
        '2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-99.0 dipole="1 2 3"\nH 0 0 0 7 7 7\nH 0 0 0.7 7 7 7\n'
    )
    assert call("energy", path, "--output", out) == 0
    frame = read(out)
    assert frame.get_potential_energy() > -10
    assert "forces" not in frame.calc.results
    np.testing.assert_array_equal(frame.get_dipole_moment(), 0.0)


def test_many_frames_go_in_batches_of_bounded_memory(fake, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("nddo_ml.results.run.MAX_BATCH_PAIRS", 200)
    frames = [molecule(n) for n in ["H2O", "CH3CH2OH", "CH4", "H2", "C6H6"] * 4]
    write(tmp_path / "many.xyz", frames)
    assert call("energy", tmp_path / "many.xyz", "--json", "-") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [r["formula"] for r in rows] == [f.get_chemical_formula() for f in frames]
    assert len(fake.calls) > 5
    assert sum(fake.calls) == 20
    alone = MorseModel()(Systems.from_ase(frames)).energy
    np.testing.assert_allclose([r["energy_eV"] for r in rows], alone.numpy(), atol=1e-9)


def test_scf_failure_is_reported_and_the_rest_is_done(monkeypatch, files, capsys):
    def failing(call: int, systems: Systems) -> list[int]:
        return systems.system_idx[(systems.numbers == 8)].unique().tolist()

    monkeypatch.setattr(common, "load_model", lambda *given, **more: MorseModel(failing=failing))
    assert call("energy", *files, "--json", "-") == 1
    captured = capsys.readouterr()
    assert [r["formula"] for r in json.loads(captured.out)] == ["CH4", "CH3"]
    assert "two.xyz, frame 0: the SCF did not converge" in captured.err


def test_optimize_writes_relaxed_frames(files, tmp_path, capsys):
    out, path = tmp_path / "relaxed.xyz", tmp_path / "path.xyz"
    assert call("optimize", *files, "--output", out, "--fmax", 0.01, "--trajectory", path, "--json", "-") == 0
    rows = json.loads(capsys.readouterr().out)
    frames = read(out, ":")
    assert [len(f) for f in frames] == [3, 5, 4]
    for row, frame in zip(rows, frames, strict=True):
        assert row["optimization_converged"] is True
        assert np.linalg.norm(frame.get_forces(), axis=1).max() <= 0.0101
    # AM1 water: 0.961 Å and 103.5° (Dewar et al., J. Am. Chem. Soc. 107, 3902 (1985), Table III)
    assert frames[0].get_distance(0, 1) == pytest.approx(0.961, abs=0.002)
    assert frames[0].get_angle(1, 0, 2) == pytest.approx(103.5, abs=0.3)
    steps = read(path, ":")
    assert sum(f.info["source"] == str(files[0]) and f.info["frame"] == 1 for f in steps) >= 1


def test_optimize_says_what_is_not_relaxed(fake, files, tmp_path, capsys):
    out = tmp_path / "relaxed.xyz"
    assert call("optimize", *files, "--output", out, "--max-steps", 1) == 1
    err = capsys.readouterr().err
    assert "two.xyz, frame 0: not relaxed" in err
    assert len(read(out, ":")) == 3


def test_uhf_finds_the_diradical(tmp_path, capsys):
    write(tmp_path / "h2.xyz", Atoms("HH", [[0, 0, 0], [0, 0, 3.0]]))
    assert call("energy", tmp_path / "h2.xyz", "--json", "-") == 0
    closed = json.loads(capsys.readouterr().out)[0]
    assert call("energy", tmp_path / "h2.xyz", "--uhf", "--json", "-") == 0
    open_shell = json.loads(capsys.readouterr().out)[0]
    assert open_shell["energy_eV"] < closed["energy_eV"] - 1.0


def test_the_solution_that_mopac_finds(tmp_path, capsys):
    """Rubidium's electron in a p orbital, from which MOPAC's iteration does not come down: 36.266 kcal/mol higher."""
    write(tmp_path / "rb.xyz", Atoms("Rb"))
    energies = []
    for arguments in ([], ["--solution", "mopac"]):
        assert call("energy", tmp_path / "rb.xyz", *arguments, "--json", "-") == 0
        energies.append(json.loads(capsys.readouterr().out)[0]["energy_eV"])
    assert (energies[1] - energies[0]) * 23.0605 == pytest.approx(36.2662, abs=1e-3)
    assert call("energy", tmp_path / "rb.xyz", "--solution", "ground") == 2
    assert "lowest, first, mopac" in capsys.readouterr().err


def test_methods_for_people_and_programs(capsys):
    assert call("methods") == 0
    assert "RM1" in capsys.readouterr().out
    assert call("methods", "--json") == 0
    rows = {r["name"]: r for r in json.loads(capsys.readouterr().out)}
    assert {"MNDO", "AM1", "PM3", "RM1"} <= set(rows)
    assert {"H", "C", "N", "O", "S", "Cl"} <= set(rows["AM1"]["elements"])
    assert "1985" in rows["AM1"]["reference"]


@pytest.mark.parametrize("arguments", [["--help"], [], *([name, "--help"] for name in COMMANDS)])
def test_help(arguments, capsys):
    assert call(*arguments) in (0, 2)
    out = capsys.readouterr().out
    assert "Usage" in out
    if arguments[1:]:
        assert "Examples" in out
    else:
        assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["nonsense"], ["energy", "--nonsense"], ["energy", "x.xyz", "--charge", "a"]])
def test_wrong_usage_is_exit_code_2(arguments):
    assert call(*arguments) == 2


def test_every_command_has_a_module_with_its_function():
    for name in COMMANDS:
        assert build_app([name])


def test_help_loads_neither_torch_nor_the_engine():
    program = (
        "import sys; from nddo_ml.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numba', 'ase', 'nddo_ml.models.nddo')))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
