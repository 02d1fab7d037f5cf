"""Frequencies, dynamics, conformers, reactions, saddle points and excited states by command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from fake_model import MorseModel

from nddo_ml.cli import common, main


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.fixture
def water(tmp_path: Path) -> Path:
    write(tmp_path / "water.xyz", [molecule("H2O"), molecule("NH3")])
    return tmp_path / "water.xyz"


def test_frequencies_write_everything(water, tmp_path, capsys):
    out = {name: tmp_path / f"out.{name}" for name in ("json", "xyz", "png")}
    modes = tmp_path / "modes.xyz"
    options = ["--relax", "--temperature", "300:400:100", "--json", out["json"], "-o", out["xyz"]]
    assert call("frequencies", water, *options, "--figure", out["png"], "--modes", modes) == 0
    records = json.loads(out["json"].read_text())
    assert [len(r["frequencies_cm"]) for r in records] == [3, 6]
    assert [r["symmetry_number"] for r in records] == [2, 3]
    assert [t["temperature_K"] for t in records[0]["thermochemistry"]] == [300, 400]
    assert len(read(modes, ":")) == 9 * 20
    assert "cm⁻¹" in capsys.readouterr().out


def test_a_molden_file_is_of_one_molecule(water, tmp_path, capsys):
    modes = tmp_path / "modes.molden"
    assert call("frequencies", f"{water}@0", "--relax", "--modes", modes) == 0
    text = modes.read_text()
    assert text.startswith("[Molden Format]")
    assert text.count("vibration ") == 3
    assert call("frequencies", water, "--relax", "--modes", modes) == 2
    assert "expected one structure" in " ".join(capsys.readouterr().err.split())
    for option in ("--molden", "--cube"):  # before any work
        assert call("orbitals", water, option, modes.with_suffix(".orbitals")) == 2
        out, err = capsys.readouterr()
        assert "expected one structure" in " ".join(err.split())
        assert not out
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("wrong", ["0", "400:300:10", "warm", "1:2"])
def test_temperatures_that_make_no_sense_are_refused(water, wrong, capsys):
    assert call("frequencies", water, "--temperature", wrong) == 2
    assert "FROM:TO:STEP" in " ".join(capsys.readouterr().err.split())


class Interrupting(MorseModel):
    """Ctrl-C at some call."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, systems, *request):
        if len(self.calls) == self.at:
            raise KeyboardInterrupt
        return super().forward(systems, *request)


def test_dynamics_go_on_as_they_would_have(water, tmp_path, monkeypatch, capsys):
    def command(name: str) -> list[object]:
        options = ["--steps", 160, "--friction", 10, "--replicas", 2, "--timestep", 0.2]
        return ["md", water, *options, "--trajectory", tmp_path / f"{name}.xyz", "--json", tmp_path / f"{name}.json"]

    monkeypatch.setattr("nddo_ml.cli.produce.fingerprint", lambda model: "the same")
    monkeypatch.setattr(common, "load_model", lambda *given, **more: MorseModel())
    assert call(*command("whole")) == 0
    monkeypatch.setattr(common, "load_model", lambda *given, **more: Interrupting(120))
    assert call(*command("parts")) == 130
    assert (tmp_path / "parts.json.part").exists()
    monkeypatch.setattr(common, "load_model", lambda *given, **more: MorseModel())
    assert call(*command("parts")) == 0
    assert "going on" in " ".join(capsys.readouterr().err.split())
    for suffix in ("xyz", "json"):
        assert (tmp_path / f"parts.{suffix}").read_bytes() == (tmp_path / f"whole.{suffix}").read_bytes()
    assert len(read(tmp_path / "whole.xyz", ":")) == 4 * 17


def test_conformers_of_a_smiles(tmp_path):
    pytest.importorskip("rdkit")
    out = tmp_path / "out.xyz"
    assert call("conformers", "--smiles", "CCO", "--starts", 12, "-o", out, "--json", tmp_path / "out.json") == 0
    (record,) = json.loads((tmp_path / "out.json").read_text())
    found = record["conformers"]
    assert len(found) == len(read(out, ":")) == 3  # one trans, two gauche that are mirror images
    energies = sorted(c["relative_energy_kcal_mol"] for c in found)
    assert sum(c["weight"] for c in found) == pytest.approx(1)
    ratio = np.exp(-(found[-1]["relative_energy_kcal_mol"] - energies[0]) / (1.98720e-3 * 298.15))  # R in kcal/mol/K
    assert found[-1]["weight"] / found[0]["weight"] == pytest.approx(ratio, rel=1e-3)
    gauche = [c for c in found if abs(c["weight"] - found[0]["weight"]) < 1e-3 or c is not found[-1]]
    assert energies[0] == 0
    assert len(gauche) >= 2


@pytest.fixture
def cyanide(tmp_path: Path) -> tuple[Path, Path]:
    write(tmp_path / "hcn.xyz", Atoms("HCN", [[-1.07, 0, 0], [0, 0, 0], [1.16, 0, 0]]))
    write(tmp_path / "hnc.xyz", Atoms("HCN", [[2.16, 0.1, 0], [0, 0, 0], [1.16, 0, 0]]))
    return tmp_path / "hcn.xyz", tmp_path / "hnc.xyz"


def test_reaction_from_hydrogen_cyanide_to_isocyanide(cyanide, tmp_path):
    """MOPAC 22.0.6, AM1, GNORM=0.05: 118.43911 kcal/mol by TS, 30.98961 by the reactant's optimisation."""
    out = tmp_path / "path.xyz"
    figure = tmp_path / "path.png"
    assert call("reaction", *cyanide, "--output", out, "--figure", figure, "--json", tmp_path / "out.json") == 0
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["irc"]["ends"] == ["reactant", "product"]
    assert record["saddle"]["imaginary_modes"] == 1
    energies = np.array([a.get_potential_energy() for a in read(out, ":")])
    assert energies.argmax() not in (0, len(energies) - 1)
    assert record["barrier_kcal_mol"] == pytest.approx(118.43911 - 30.98961, abs=0.01)
    assert figure.stat().st_size > 1000


def test_a_reaction_goes_on_after_its_last_whole_stage(cyanide, tmp_path, monkeypatch, capsys):
    command = ["reaction", *cyanide, "--images", 5, "--irc-steps", 0, "--json", tmp_path / "out.json"]

    def interrupted(*given: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr("nddo_ml.cli.reacting.saddles_on", interrupted)
        assert call(*command) == 130
    assert (tmp_path / "out.json.part").exists()
    with monkeypatch.context() as again:
        again.setattr("nddo_ml.cli.reacting.relaxed_paths", interrupted)
        assert call(*command) == 0
    assert "going on" in " ".join(capsys.readouterr().err.split())
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["saddle"]["imaginary_modes"] == 1


def test_ends_that_relax_to_something_else_are_named(cyanide, tmp_path, capsys):
    write(tmp_path / "far.xyz", Atoms("HCN", [[2.75, 0.1, 0], [0, 0, 0], [1.16, 0, 0]]))  # no bond of H yet
    options = ["--images", 5, "--irc-steps", 0, "--band-steps", 60, "--json", tmp_path / "out.json"]
    assert call("reaction", cyanide[0], tmp_path / "far.xyz", *options) == 1
    assert "relaxed product has other bonds than the one that was given: H0–N2 made" in " ".join(
        capsys.readouterr().err.split()
    )


def test_atoms_in_another_order_are_named(cyanide, tmp_path, capsys):
    write(tmp_path / "other.xyz", Atoms("CHN", [[0, 0, 0], [-1.07, 0, 0], [1.16, 0, 0]]))
    assert call("reaction", cyanide[0], tmp_path / "other.xyz") == 2
    assert "atom 0 is H in one and C in the other" in " ".join(capsys.readouterr().err.split())


def test_ends_that_are_one_are_refused(cyanide, capsys):
    assert call("reaction", cyanide[0], cyanide[0]) == 2
    assert "are the same once relaxed" in " ".join(capsys.readouterr().err.split())


def test_a_saddle_point_from_a_guess(tmp_path):
    write(tmp_path / "guess.xyz", Atoms("HCN", [[0.5, 1.2, 0], [0, 0, 0], [1.2, 0, 0]]))
    assert call("ts", tmp_path / "guess.xyz", "--json", tmp_path / "out.json") == 0
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert record["imaginary_modes"] == 1
    assert record["frequencies_cm"][0] == pytest.approx(-1407, abs=5)


def test_excited_states_of_open_shells_are_named(tmp_path, capsys):
    write(tmp_path / "in.xyz", [molecule("H2CO"), molecule("CH3")])
    options = ["--states", 4, "--triplets", "--json", tmp_path / "out.json", "--figure", tmp_path / "uv.png"]
    assert call("excited", tmp_path / "in.xyz", *options) == 2
    (record,) = json.loads((tmp_path / "out.json").read_text())
    assert len(record["excited_states"]) == 8
    assert "closed shells" in " ".join(capsys.readouterr().err.split())


def test_emission_from_the_relaxed_state(tmp_path):
    write(tmp_path / "in.xyz", molecule("H2CO"))
    out = {name: tmp_path / f"out.{name}" for name in ("json", "xyz")}
    options = ["--states", 2, "--relax", "--json", out["json"], "-o", out["xyz"]]
    assert call("excited", tmp_path / "in.xyz", *options) == 0
    (record,) = json.loads(out["json"].read_text())
    gap = record["excited_states"][0]["energy_eV"]
    assert record["relaxed_in"] == "S1"
    assert record["excited_energy_eV"] - record["energy_eV"] == pytest.approx(gap, abs=1e-6)
    assert gap < 2.84 - 0.1  # AM1 absorbs at 2.84 eV, docs/excited.md
    relaxed = read(out["xyz"])
    assert relaxed.get_distance(0, 1) > molecule("H2CO").get_distance(0, 1) + 0.03  # n → π* weakens C=O
