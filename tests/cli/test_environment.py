"""Fields and point charges on the command line."""

import json
from pathlib import Path

import pytest
from ase.build import molecule
from ase.io import read, write

from nddo_ml import NDDO, InputError
from nddo_ml.cli import main, produce
from nddo_ml.environments.charges import PointCharges
from nddo_ml.environments.field import UniformField
from nddo_ml.environments.files import read_charges
from nddo_ml.environments.together import Together

CHARGES = [(0.5, (0, 0, 3.0), 0.0), (-0.25, (0, 3.0, 0), 0.4)]


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two molecules, and point charges."""
    structures, charges = tmp_path / "two.xyz", tmp_path / "charges.txt"
    write(structures, [molecule("H2O"), molecule("CH4")])
    charges.write_text("# x y z q radius\n0 0 3.0 0.5\n\n0 3.0 0 -0.25 0.4\n")
    return structures, charges


def expected(method: str, name: str) -> float:
    q, x, rho = zip(*CHARGES, strict=True)
    environment = Together.of([UniformField.of((0, 0, 0.2)), PointCharges.of(q, x, radius=rho)])
    return float(NDDO(method)(molecule(name), environment=environment).energy[0])


def test_energies_in_surroundings(files, tmp_path):
    out = tmp_path / "out.json"
    assert call("energy", files[0], "-m", "AM1", "--field", 0, 0, 0.2, "--charges", files[1], "--json", out) == 0
    rows = json.loads(out.read_text())
    for row, name in zip(rows, ("H2O", "CH4"), strict=True):
        assert row["energy_eV"] == pytest.approx(expected("AM1", name), abs=1e-6)
        assert row["environment"]["field_V_A"] == [0, 0, 0.2]
        assert row["environment"]["point_charges"]["count"] == 2
        assert row["environment"]["point_charges"]["total_e"] == pytest.approx(0.25)


def test_relaxation_among_charges(files, tmp_path):
    out = tmp_path / "relaxed.extxyz"
    assert call("optimize", files[0], "-m", "AM1", "--charges", files[1], "--fmax", 0.01, "--output", out) == 0
    for relaxed in read(out, ":"):
        alone = NDDO("AM1")(relaxed, forces=True).forces
        among = NDDO("AM1")(relaxed, forces=True, environment=read_charges(files[1])).forces
        assert float(among.norm(dim=1).max()) < 0.0101
        assert float(alone.norm(dim=1).max()) > 0.05


def test_comparisons_and_scans_say_their_surroundings(files, tmp_path):
    out, curve = tmp_path / "out.json", tmp_path / "curve.json"
    assert call("compare", files[0], "-m", "AM1", "-m", "PM3", "--field", 0, 0, 0.2, "--json", out) == 0
    assert json.loads(out.read_text())["environment"] == {"field_V_A": [0, 0, 0.2]}
    points = ("--bond", 0, 1, "--from", 1.0, "--to", 1.1, "--steps", 2)
    assert call("scan", files[0], *points, "-m", "AM1", "--charges", files[1], "--json", curve) == 0
    assert json.loads(curve.read_text())["environment"]["point_charges"]["count"] == 2


def test_results_kept_in_a_journal_depend_on_the_surroundings():
    """The journal is headed by what surrounds the molecules: that of another field is another calculation."""
    settings = produce.settings_of("energy", [NDDO("AM1", environment=UniformField.of((0, 0, 0.2)))])
    other = produce.settings_of("energy", [NDDO("AM1", environment=UniformField.of((0, 0, 0.3)))])
    assert settings["environment"] == {"field_V_A": [0, 0, 0.2]}
    assert {k for k in settings if settings[k] != other[k]} == {"environment"}


def test_what_is_refused(files, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("1 2 three 4\n")
    on_top = tmp_path / "top.txt"
    on_top.write_text(" ".join(map(str, [*molecule("H2O").positions[0], 1.0])))
    for options, sentence in (
        (("--charges", tmp_path / "none.txt"), "cannot be read"),
        (("--charges", tmp_path / "words.txt"), "line 1: expected x y z charge"),
        (("--charges", on_top), "atom 0: point charge 0 stands on it"),
        (("--field", "nan", 0, 0), "expected a finite number"),
        (("--field", 0, 0, 1, "-m", "nnp-chno"), "no electrons to feel an environment"),
    ):
        assert call("energy", files[0], *options) == 2
        assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert call("compare", files[0], "--pyscf", "--field", 0, 0, 1) == 2


def test_files_of_charges(tmp_path):
    pqr = tmp_path / "two.pqr"
    pqr.write_text(
        "REMARK\nATOM      1  O   WAT A   1       1.000   2.000   3.000 -0.834 1.768\n"
        "HETATM    2  H   WAT     1       1.500   2.000   3.000  0.417 0.0\nEND\n"
    )
    found = read_charges(pqr)
    assert found.charges.tolist() == [-0.834, 0.417]
    assert found.positions.tolist() == [[1, 2, 3], [1.5, 2, 3]]
    water = molecule("H2O")
    water.set_initial_charges([-0.8, 0.4, 0.4])
    write(tmp_path / "water.extxyz", water)
    assert read_charges(tmp_path / "water.extxyz").charges.tolist() == pytest.approx([-0.8, 0.4, 0.4])
    write(tmp_path / "bare.xyz", molecule("H2O"))
    with pytest.raises(InputError, match="expected point charges"):
        read_charges(tmp_path / "bare.xyz")
