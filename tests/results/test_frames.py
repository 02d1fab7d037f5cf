"""Formats of results, and outputs that fail."""

import json
import os
import re

import numpy as np
import pytest
from ase.build import molecule
from ase.io import read, write
from command import call
from fake_model import MorseModel
from places import ROOT
from small_jobs import structures

from nddo_ml.cli import common
from nddo_ml.structures.read import read_structures


@pytest.mark.parametrize("suffix", ["xyz", "extxyz", "traj", "db"])
def test_formats_keep_energies(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(common, "load_model", lambda *given, **options: MorseModel())
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
    assert call("energy", *(ROOT / n for n in names), "-m", "PM6", "-o", tmp_path / "o.sdf") == 0
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

    monkeypatch.setattr(common, "load_model", lambda *given, **options: MorseModel())
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
    monkeypatch.setattr(common, "load_model", lambda *given, **options: silent)
    assert call("energy", source, "--output", tmp_path / "out.traj", "--json", tmp_path / "out.json") == 0
    assert len(read(tmp_path / "out.traj", ":")) == 3


HYDROXIDE = "2\ncharge=-1\nO 0 0 0\nH 0 0 0.97\n"
DEUTERIDE = "2\ncharge=-1\nO 0 0 0\nD 0 0 0.97\n"
OXYGEN = "2\nmultiplicity=3\nO 0 0 0\nO 0 0 1.2\n"


@pytest.mark.parametrize("suffix", ["xyz", "traj", "db", "sdf", "mol", "com"])
@pytest.mark.parametrize(("text", "charge", "multiplicity"), [(HYDROXIDE, -1, 1), (OXYGEN, 0, 3)])
def test_charge_and_multiplicity_come_back(text, charge, multiplicity, suffix, tmp_path):
    (tmp_path / "in.xyz").write_text(text)
    assert call("energy", tmp_path / "in.xyz", "-o", tmp_path / f"out.{suffix}") == 0
    (found,) = read_structures(tmp_path / f"out.{suffix}")
    assert (found.charge, found.multiplicity) == (charge, multiplicity)


@pytest.mark.filterwarnings("default:.*has no place for")
@pytest.mark.parametrize(
    ("text", "suffix", "lost"),
    [
        (HYDROXIDE, "gen", ["the charge -1"]),
        (OXYGEN, "pdb", ["the multiplicity 3"]),
        (DEUTERIDE, "pdb", ["isotopes"]),
        (DEUTERIDE, "cif", ["the charge -1", "isotopes"]),
    ],
)
def test_what_a_format_has_no_place_for_is_said(text, suffix, lost, tmp_path, capsys):
    (tmp_path / "in.xyz").write_text(text)
    assert call("energy", tmp_path / "in.xyz", "-o", tmp_path / f"out.{suffix}") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert re.findall(r"this format has no place for ([^:]*): not written", said) == lost
