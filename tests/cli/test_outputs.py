"""What commands write is checked before any work, and a command that is stopped says what is left."""

import json
from pathlib import Path

import pytest
import typer
from command import call

from nddo_ml import NDDO, InputError
from nddo_ml.cli import common, energy, produce
from nddo_ml.evaluation.figures import new_figure, save_figure

WATER = "3\n\nO 0 0 0.1\nH 0 0.76 -0.5\nH 0 -0.76 -0.5\n"
PAIR, SLAB, CRYSTAL = ["dimer", "H", "H", "-m", "AM1"], ["surface", "AM1"], ["solid", "AM1", "in.xyz"]
needs_a_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a molecule."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.xyz").write_text(WATER)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("command", "option"),
    [(PAIR, "--json"), (PAIR, "--figure"), (SLAB, "--json"), (SLAB, "--figure"), (CRYSTAL, "--json")],
    ids=lambda part: part if isinstance(part, str) else part[0],
)
def test_folders_that_are_missing_are_named_before_any_work(here, command, option, monkeypatch, capsys):
    monkeypatch.setattr(NDDO, "__call__", lambda *given, **options: pytest.fail("worked"))
    assert call(*command, option, "nowhere/out") == 2
    assert "expected a file in a folder that exists" in said(capsys)


def test_an_input_is_no_output_of_a_crystal(here, capsys):
    assert call(*CRYSTAL, "--json", "in.xyz") == 2
    assert "expected another file than the input in.xyz" in said(capsys)
    assert Path("in.xyz").read_text() == WATER


@needs_a_full_device
def test_a_full_device_costs_one_sentence(here, capsys):
    assert call(*PAIR, "--json", "/dev/full") == 2
    assert "No space left on device" in said(capsys)
    with pytest.raises(InputError, match="No space left on device"):
        save_figure(new_figure(2, 2), Path("/dev/full"))


def test_curves_of_two_atoms_as_json(here, capsys):
    assert call(*PAIR, "--json", "-", "--figure", "out.png") == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["model"], record["pair"]) == ("AM1", ["H", "H"])
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", [SLAB, CRYSTAL], ids=lambda c: c[0])
def test_methods_for_molecules_relax_no_crystal(here, command, capsys):
    assert call(*command) == 2
    assert "expected a model that knows periodic cells and their stress; AM1 does not" in said(capsys)


def test_one_crystal_that_fails_costs_no_other(here, capsys):
    assert call("solid", "AM1", "none.cif", "in.xyz", "--json", "-") == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert [line.split(": ")[1] for line in err.splitlines()] == ["none.cif", "in.xyz, frame 0"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", "in.xyz", "--bond", 0, 1, "--from", 1, "--to", 2, "--steps", 10**9],
        ["md", "in.xyz", "--steps", 1, "--replicas", 10**9],
        ["reaction", "in.xyz", "in.xyz", "--images", 10**8],
        ["conformers", "in.xyz", "--starts", 10**9],
        ["energy", "in.xyz", "--workers", 10**11],
        ["label", "in.xyz", "--output", "out.xyz", "--workers", 0],
        ["orbitals", "in.xyz", "--cube", "out.cube", "--spacing", 1e-4],
    ],
    ids=lambda arguments: arguments[0],
)
def test_counts_that_no_memory_holds(here, arguments, capsys):
    assert call(*arguments) == 2
    sentence = said(capsys)
    assert "less than or equal to" in sentence or "greater than" in sentence or "expected a grid of at most" in sentence


def test_memory_that_does_not_suffice_costs_one_sentence(monkeypatch, capsys):
    def hungry(files: list[str]) -> None:
        raise MemoryError("Unable to allocate 4.76 TiB")

    monkeypatch.setattr(energy, "energy", hungry)
    assert call("energy", "in.xyz") == 2
    assert said(capsys) == "error: expected a calculation that memory holds; Unable to allocate 4.76 TiB"


@pytest.mark.parametrize(
    ("lasts", "kept", "words"),
    [
        (True, "", "nothing was finished yet; the same command begins anew"),
        (True, "3 steps are in out.part", "3 steps are in out.part; the same command goes on from there"),
        (False, "", "nothing is kept without an output file"),
    ],
)
def test_an_interruption_says_what_is_left(lasts, kept, words, capsys):
    def stopped() -> None:
        with produce.interruptible(common.Report(common.console(stderr=True)), lasts=lasts) as held:
            held.kept = kept
            raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as left:
        stopped()
    assert left.value.exit_code == 130
    assert f"interrupted: {words}" in said(capsys)
