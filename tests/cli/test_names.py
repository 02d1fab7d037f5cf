"""Models by their names, what commands show beside results."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from command import call
from nnp_models import make_nnp
from places import ROOT

from nddo_ml import InputError, NDDOCalculator, load_model


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
    data = ROOT / "examples" / "molecules" / "displaced.extxyz"
    assert call("evaluate", data, "-m", "AM1", "--json", "-") == 0
    captured = capsys.readouterr()
    energy = json.loads(captured.out)["labels"]["energy"]
    assert energy["with_fitted_zero"]["mae"] < 1.0 < 100.0 < energy["mae"]
    assert "zero fitted" in captured.err
    assert call("evaluate", "AM1") == 2


def test_help_names_only_files_that_exist():
    root = ROOT
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
