"""Every mistake of a user: one clear sentence that names file, frame and atom, exit code 2, the rest done."""

import json
import subprocess
import sys

import pytest
from command import call

GOOD = "3\n\nO 0 0 0.1\nH 0 0.76 -0.5\nH 0 -0.76 -0.5\n"

# what is in the file, and what the sentence must say
FILES = {
    "element": ("2\n\nH 0 0 0\nU 0 0 2\n", ["frame 0, atom 1", "AM1 has no element U", "it has H,"]),
    "symbol": ("2\n\nH 0 0 0\nXx 0 0 1\n", ["frame 0, atom 1", "'Xx' is a dummy atom"]),
    "no element": ("2\n\nH 0 0 0\nJj 0 0 1\n", ["frame 0, atom 1", "no element 'Jj'"]),
    "nan": ("2\n\nH 0 0 0\nH nan 0 1\n", ["frame 0, atom 1 (H)", "finite", "nan"]),
    "infinite": ("2\n\nH 0 0 0\nH 0 inf 1\n", ["frame 0, atom 1 (H)", "finite", "inf"]),
    "one spot": (
        "3\n\nH 0 0 0\nO 0 0 1\nH 0 0 0.01\n",
        ["frame 0, atoms 0 (H) and 2 (H)", "one spot", "at least 0.05"],
    ),
    "periodic": ('1\nLattice="5 0 0 0 5 0 0 0 5"\nH 0 0 0\n', ["frame 0", "pbc"]),
    "multiplicity": (GOOD.replace("\n\n", "\nmultiplicity=2\n"), ["frame 0", "multiplicity", "2"]),
    "charge": (GOOD.replace("\n\n", "\ncharge=0.5\n"), ["frame 0", "charge", "whole number", "0.5"]),
    "too many electrons taken": (GOOD.replace("\n\n", "\ncharge=9\n"), ["frame 0", "electrons"]),
    "empty": ("", ["empty"]),
    "truncated": (GOOD[:-20], ["frame 0", "expected a structure"]),
    "no structure": ("hello\n", ["frame 0", "expected a structure"]),
    "second frame": (GOOD + "1\n\nU 0 0 0\n", ["frame 1, atom 0", "no element U"]),
}


@pytest.mark.parametrize("name", FILES)
def test_one_sentence_and_the_other_file_is_done(name, tmp_path, capsys):
    content, words = FILES[name]
    bad, good = tmp_path / "bad.xyz", tmp_path / "good.xyz"
    bad.write_text(content)
    good.write_text(GOOD)
    assert call("energy", bad, good, "--json", "-") == 2
    out, err = capsys.readouterr()
    message = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(message) == 1, err
    for word in [str(bad), *words]:
        assert word in message[0]
    done = json.loads(out)
    assert done[-1]["source"] == str(good)
    assert done[-1]["formula"] == "H2O"
    assert len(done) == (2 if name == "second frame" else 1)


def test_a_potential_is_told_to_ignore_charge_and_spin(tmp_path, capsys):
    ion = tmp_path / "ion.xyz"
    ion.write_text("2\ncharge=-1\nO 0 0 0\nH 0 0 0.97\n")
    assert call("energy", ion, "--model", "nnp-chno") == 2
    assert "of which nnp-chno knows nothing; set its ignore_charge_and_spin (--ignore" in capsys.readouterr().err
    assert call("energy", ion, "--model", "nnp-chno", "--ignore-charge-and-spin", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)[0]["charge"] == -1
    assert call("compare", ion, "-m", "nnp-chno", "-m", "AM1", "--ignore-charge-and-spin") == 0
    capsys.readouterr()
    assert call("energy", ion, "--ignore-charge-and-spin") == 2
    assert "is for potentials; AM1 knows both" in capsys.readouterr().err


def test_missing_file_and_folder(tmp_path, capsys):
    assert call("energy", tmp_path / "nothing.xyz", tmp_path) == 2
    err = capsys.readouterr().err
    assert f"{tmp_path / 'nothing.xyz'}: expected a structure file; there is none" in err
    assert "there is a folder" in err


def test_binary_file(tmp_path, capsys):
    path = tmp_path / "noise.xyz"
    path.write_bytes(bytes(range(256)) * 4)
    assert call("energy", path) == 2
    assert str(path) in capsys.readouterr().err


def test_unknown_method_lists_the_methods(tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call("energy", path, "--method", "AM7") == 2
    err = capsys.readouterr().err
    assert "AM7" in err
    assert "AM1" in err
    assert "PM3" in err


def test_charge_of_the_call_must_fit_every_file(tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call("energy", path, "--multiplicity", "2") == 2
    assert f"{path}, frame 0" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--output"])
def test_output_that_cannot_be_written(option, tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call("energy", path, option, tmp_path / "no" / "out") == 2
    assert "folder that exists" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--fmax", "-1"], ["--fmax", "nan"], ["--max-steps", "0"]])
def test_optimize_options(arguments, tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call("optimize", path, "--output", tmp_path / "out.xyz", *arguments) == 2
    assert arguments[0].strip("-").replace("-", "_") in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["md", "--temperature", "nan"],
        ["energy", "--field", "0", "0", "inf"],
        ["frequencies", "--pressure", "nan"],
        ["conformers", "--window", "inf"],
    ],
)
def test_numbers_that_are_none(arguments, tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call(arguments[0], path, *arguments[1:]) == 2
    assert "expected a finite number" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--window", "-1"], ["--temperature", "0"]])
def test_conformers_options(arguments, tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call("conformers", path, *arguments) == 2
    assert "expected a window" in capsys.readouterr().err


def test_a_model_is_compared_once(tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call("compare", path, "-m", "AM1", "-m", "AM1") == 2
    assert "expected different models" in capsys.readouterr().err


def test_an_option_given_twice_is_no_choice(tmp_path, capsys):
    path = tmp_path / "good.xyz"
    path.write_text(GOOD)
    assert call("energy", path, "-m", "AM1", "--model", "PM3") == 2
    assert "expected once" in capsys.readouterr().err
    assert call("energy", path, "-m", tmp_path) == 2
    assert "there is a folder" in capsys.readouterr().err


def test_no_traceback_from_the_program(tmp_path):
    path = tmp_path / "bad.xyz"
    path.write_text(FILES["nan"][0])
    program = [sys.executable, "-c", "from nddo_ml.cli import main; main()"]
    done = subprocess.run([*program, "energy", str(path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
