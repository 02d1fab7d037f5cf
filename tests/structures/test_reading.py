"""Charge and spin by precedence, records, encodings, selections, standard input, remarks, contacts.

Heats of formation are MOPAC 22's (kcal/mol, 1SCF at the geometry of the file).
"""

import bz2
import gzip
import io
import json
import lzma
import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms, FixBondLength
from ase.io import read as read_ase
from reading import one

from nddo_ml import NDDO, InputError, NDDOCalculator, Systems
from nddo_ml.cli import main
from nddo_ml.structures import Refused, Structure
from nddo_ml.structures.read import read_files, read_structures
from nddo_ml.workflows.optimize import optimize

WATER = "3\nwater\nO 0 0 0.11926\nH 0 0.76324 -0.47705\nH 0 -0.76324 -0.47705\n"
HYDROXIDE = "2\n{}\nO 0 0 0\nH 0 0 0.96\n"


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("comment", "charge", "multiplicity"),
    [
        ("charge=-1", -1, 1), ("Charge = -1", -1, 1), ("CHARGE=-1 SPIN_MULTIPLICITY=1", -1, 1), ("q=-1", -1, 1),
        ("total_charge=-1 spin=1", -1, 1), ("total_charge=-1.0 mult=1", -1, 1), ('charge="-1" uhf=0', -1, 1),
        ("charge=1+ multiplicity=3", 1, 3), ("charge=1 uhf=2", 1, 3), ("spin=2", 0, 2), ("spin=0.5", 0, 2),
        ("spin=1.5", 0, 4), ("nopen=3", 0, 4), ("hydroxide charge -1", -1, 1), ("net charge: -1, mult 1", -1, 1),
        ("charge=-1 spin=1 multiplicity=3", -1, 3), ("E = -75.9 charge: -1", -1, 1),
        ("Properties=species:S:1:pos:R:3 charge=-1", -1, 1),
    ],
)  # fmt: skip
def test_what_a_comment_says(comment, charge, multiplicity, tmp_path):
    found = one(tmp_path / "a.xyz", HYDROXIDE.format(comment))
    assert (found.charge, found.multiplicity) == (charge, multiplicity)


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("charge=T", "'charge'] must be a whole number"), ("charge=inf", "'charge'] must be a whole number"),
        ("charge=0.5", "'charge'] must be a whole number"), ('charge="1 2"', "whole number"),
        ("charge=abc", "whole number"), ("charge=1e30", "whole number"), ("charge=10", "leaves -1 electrons"),
        ("charge=1 total_charge=0", "two values of the charge"), ("charge=1 charge=0", "twice"),
        ("charge=-1 the charge: 1", "two values of the charge"), ("multiplicity=3 uhf=1", "two values"),
        ("multiplicity=1", "does not fit 9 electrons"), ("charge=-1 uhf=1", "does not fit 10 electrons"),
        ("spin=-1", "must be a spin"), ("spin=0.3", "must be a spin"), ("multiplicity=0", "at least 1"),
        ("multiplicity=12", "needs 11 electrons"), ("units=bohr", "expected coordinates in Å"),
    ],
)  # fmt: skip
def test_contradictions_are_errors(comment, said, tmp_path):
    found = one(tmp_path / "a.xyz", HYDROXIDE.format(comment))
    assert isinstance(found, Refused)
    assert said in str(found)
    assert str(tmp_path / "a.xyz") in str(found)


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("Properties=species:S:1:pos:R:3 charge", "no charge and no spin: not used"), ("hydroxide anion", "not used"),
        ("-1 1", "not used"), ("charge=", "not used"), ("my_charge=-1", "'my_charge' is not used"), ("x", "doublet"),
        ("spin of 3", "not used"), ("water in Bohr", "are read in Å"),
    ],
)  # fmt: skip
def test_what_is_not_used_is_said(comment, said, tmp_path):
    found = one(tmp_path / "a.xyz", HYDROXIDE.format(comment))
    assert found.charge == 0
    assert said in " ".join(found.remarks)


def test_precedence_option_info_arrays():
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.96]])
    atoms.set_initial_charges([-0.8, -0.2])
    atoms.set_initial_magnetic_moments([0.0, 0.0])
    assert Systems.from_ase(atoms).charge.tolist() == [-1]
    atoms.info["total_charge"] = 1
    atoms.info["uhf"] = 2
    systems = Systems.from_ase(atoms)
    assert (systems.charge.tolist(), systems.multiplicity.tolist()) == ([1], [3])
    assert Systems.from_ase(atoms, charge=-1, multiplicity=1).charge.tolist() == [-1]
    with pytest.raises(InputError, match="does not fit 9 electrons"):
        Systems.from_ase(atoms, charge=0)


def test_initial_arrays_that_are_no_whole_number():
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.96]])
    atoms.set_initial_charges([-0.3, 0.1 - 0.3])
    with pytest.raises(InputError, match=r"initial charges sum to -0.5"):
        Systems.from_ase(atoms)
    assert Systems.from_ase(atoms, charge=-1).multiplicity.tolist() == [1]
    atoms.set_initial_charges([-0.98, 0.0])  # rounded charges of another calculation
    assert Systems.from_ase(atoms).charge.tolist() == [-1]


def test_oxygen_is_a_triplet_in_files_arrays_and_the_calculator(tmp_path):
    oxygen = Atoms("O2", [[0, 0, 0], [0, 0, 1.21]], magmoms=[1.0, 1.0])
    oxygen.write(tmp_path / "o2.extxyz")
    assert Systems.from_file(tmp_path / "o2.extxyz").multiplicity.tolist() == [3]
    assert float(NDDO("PM6")(Systems.from_ase(oxygen)).heat_of_formation) == pytest.approx(-9.478, abs=2e-3)
    oxygen.calc = NDDOCalculator(NDDO("PM6"))
    triplet = oxygen.get_potential_energy()
    oxygen.info["spin"] = 0
    assert oxygen.get_potential_energy() > triplet + 1.0


def test_atomic_charges_of_another_calculation_tell_the_charge(tmp_path):
    rows = "O 0 0 0 -1.2\nH 0 0 0.96 0.2\n"
    found = one(tmp_path / "a.xyz", f"2\nProperties=species:S:1:pos:R:3:charges:R:1\n{rows}")
    assert found.charge == -1
    assert "sum of the file's atomic charges" in found.remarks[0]


def test_hydroxide_as_mopac_has_it(tmp_path, capsys):
    (tmp_path / "oh.com").write_text("%chk=a\n#p PM6 opt\n\ntitle\n\n-1 1\nO 0.0 0.0 0.0\nH 0.0 0.0 0.96\n\n")
    assert call("energy", tmp_path / "oh.com", "-m", "PM6", "--json", "-") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["charge"] == -1
    assert row["heat_of_formation_kcal_mol"] == pytest.approx(-31.195, abs=2e-3)


def test_frames_with_blank_lines_between_and_a_damaged_last_one(tmp_path, capsys):
    path = tmp_path / "a.xyz"
    path.write_text(f"\n{WATER}\n\n{WATER}{WATER[:-25]}\n")
    found = list(read_structures(path))
    assert [type(f) for f in found] == [Structure, Structure, Refused]
    assert "frame 2" in str(found[2])
    assert "3 atoms; got 2" in str(found[2])
    assert call("energy", path, "--json", "-") == 2
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_a_bad_row_costs_its_frame_only(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(WATER + WATER.replace("0.76324", "0.7x") + WATER)
    assert [type(f) for f in read_structures(path)] == [Structure, Refused, Structure]


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        ("3\nshort\nO 0 0 0\nH 0 0 0.96\n", "expected a structure of 3 atoms; got 2"),
        ("2\nlong\nO 0 0 0\nH 0 0 0.96\nH 0 0.93 -0.24\n", "expected a structure of 2 atoms; got 3"),
        ("what is this\nO 0 0 0\n\n", "begins with its number of atoms; got 'what is this'"),
        ("3\nO 0 0 0.0\nH 0 0 0.96\nH 0 0.93 -0.24\nH 0 0 5\n", "expected a comment, which may be empty"),
    ],
)
def test_what_follows_a_damaged_frame_is_read(damaged, said, tmp_path):
    (tmp_path / "a.xyz").write_text(WATER + damaged + WATER + WATER)
    found = list(read_structures(tmp_path / "a.xyz"))
    assert [type(f) for f in found] == [Structure, Refused, Structure, Structure]
    assert [f.frame for f in found] == [0, 1, 2, 3]
    assert said in str(found[1])


@pytest.mark.parametrize("count", ["99999999999999999999", "4000000000"])
def test_counts_that_no_file_has(count, tmp_path):
    assert f"{count} atoms; got 3" in str(one(tmp_path / "a.xyz", WATER.replace("3\n", f"{count}\n", 1)))


def test_a_million_frames_are_not_held_at_once(tmp_path):
    """Frames come one by one: after the first ones the rest of the file has not been looked at."""
    path = tmp_path / "a.xyz"
    path.write_text(WATER * 2000 + "damage\n")
    found = read_structures(path)
    assert all(isinstance(next(found), Structure) for _ in range(5))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines(encoding, newline, tmp_path):
    name = "water" if encoding.endswith("e") else "wässer"
    (tmp_path / "a.xyz").write_bytes(WATER.replace("water", name).replace("\n", newline).encode(encoding))
    (found,) = read_structures(tmp_path / "a.xyz")
    assert found.name == name
    assert found.atoms.get_chemical_formula() == "H2O"


@pytest.mark.parametrize(("suffix", "opener"), [("gz", gzip.open), ("xz", lzma.open), ("bz2", bz2.open)])
def test_compressed_files(suffix, opener, tmp_path):
    with opener(tmp_path / f"a.xyz.{suffix}", "wt") as file:
        file.write(WATER)
    assert [s.name for s in read_structures(tmp_path / f"a.xyz.{suffix}")] == ["water"]
    whole = (tmp_path / f"a.xyz.{suffix}").read_bytes()
    (tmp_path / f"b.xyz.{suffix}").write_bytes(whole[: len(whole) // 2])
    assert any(isinstance(f, Refused) for f in read_structures(tmp_path / f"b.xyz.{suffix}"))


def test_frames_are_selected_and_keep_their_numbers(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(WATER * 10)

    def frames(selection: str) -> list[int | None]:
        return [s.frame for s in read_structures(f"{path}@{selection}")]

    assert frames("3") == [3]
    assert frames("0:10:4") == [0, 4, 8]
    assert frames("-2:") == [8, 9]
    assert frames("::-5") == [9, 4]
    assert frames("20") == [None]
    odd = tmp_path / "b@1"
    odd.write_text(WATER)
    assert [s.atoms.get_chemical_formula() for s in read_structures(odd)] == ["H2O"]


def test_standard_input(monkeypatch, capsys):
    text = HYDROXIDE.format("charge=-1").encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text))))
    assert call("energy", "-", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)[0]["charge"] == -1


def test_standard_input_is_read_once(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(WATER.encode()))))
    found = list(read_structures(["-", "-"]))
    assert [type(f) for f in found] == [Structure, Refused]


def test_smiles(tmp_path):
    chem = pytest.importorskip("rdkit.Chem")
    given = ("CC(=O)[O-]", "[O][O]", "C[NH3+]", "[2H]O[2H]")
    for text, found in zip(given, read_structures([], smiles=given), strict=True):
        reference = chem.AddHs(chem.MolFromSmiles(text))
        assert sorted(found.atoms.numbers) == sorted(a.GetAtomicNum() for a in reference.GetAtoms())
        assert found.charge == chem.GetFormalCharge(reference)
        assert found.multiplicity == 1 + sum(a.GetNumRadicalElectrons() for a in reference.GetAtoms())
    assert found.atoms.get_masses().max() == pytest.approx(15.999, abs=1e-2)
    assert sorted(found.atoms.get_masses())[:2] == pytest.approx([2.0141018] * 2)
    assert found.atoms.get_distance(0, 1) == pytest.approx(0.97, abs=0.05)
    (tmp_path / "a.smi").write_text("CCO ethanol\n\n# none\nC[O-] methoxide\nnonsense!\n*C\n")
    names = [f.name if isinstance(f, Structure) else str(f) for f in read_structures(tmp_path / "a.smi")]
    assert names[:2] == ["ethanol", "methoxide"]
    assert "expected a SMILES string" in names[2]
    assert "dummy" in names[3]


def test_smiles_without_rdkit(monkeypatch):
    monkeypatch.setattr("nddo_ml.structures.smiles.find_spec", lambda name: None)
    (found,) = read_structures([], smiles=["CCO"])
    assert "pip install 'nddo-ml[rdkit]'" in str(found)


def test_overlaps_through_the_boundary():
    cell = Atoms("Si2", [[0.01, 2.7, 2.7], [5.39, 2.7, 2.7]], cell=[5.4] * 3, pbc=True)
    with pytest.raises(InputError, match=r"system 1, atoms 0 \(Si\) and 1 \(Si\) are on one spot through"):
        Systems.from_ase([molecule("H2O"), cell])
    cell.pbc = [False, True, True]
    assert Systems.from_ase(cell).n_atoms == 2
    with pytest.raises(InputError, match="an image of"):
        Systems.from_ase(Atoms("Si", cell=[0.01, 5, 5], pbc=True))


def test_close_contacts_are_named(tmp_path):
    found = one(tmp_path / "a.xyz", "3\n\nO 0 0 0\nO 0 0 0.3\nH 0 0.96 0\n", multiplicity=2)
    assert found.remarks == ("atoms too close for any method: 0 (O) and 1 (O), 0.30 Å",)
    for pair, limit in (("HH", 0.4), ("OH", 0.44), ("CC", 0.616), ("II", 1.064)):
        said = [
            one(tmp_path / "a.xyz", f"2\n\n{pair[0]} 0 0 0\n{pair[1]} 0 0 {limit + d}\n").remarks for d in (-2e-3, 2e-3)
        ]
        assert ["too close" in " ".join(remarks) for remarks in said] == [True, False], pair
    boxed = 'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3'
    found = one(tmp_path / "a.xyz", f"2\n{boxed}\nO 0.1 0 0\nO 4.8 0 0\n")
    assert "0.30 Å" in found.remarks[0]
    many = molecule("C60")
    many.positions[7] = many.positions[3] + [0.2, 0, 0]
    many += Atoms("He10", [[20 + 3 * k, 0, 0] for k in range(10)])
    many.write(tmp_path / "b.xyz")
    (found,) = read_structures(tmp_path / "b.xyz")
    assert "3 (C) and 7 (C), 0.20 Å" in found.remarks[0]
    assert not next(read_structures(one_file(tmp_path, WATER))).remarks


def one_file(folder, text: str):
    (folder / "w.xyz").write_text(text)
    return folder / "w.xyz"


def test_remarks_are_said_once_a_file(tmp_path, capsys):
    path = tmp_path / "a.xyz"
    path.write_text(HYDROXIDE.format("x") * 3)
    assert call("energy", path) == 0
    err = capsys.readouterr().err
    assert err.count("a doublet is assumed") == 1
    assert call("energy", path, "--multiplicity", 2) == 0
    assert "doublet" not in capsys.readouterr().err
    with pytest.warns(UserWarning, match="a doublet is assumed"):
        Systems.from_file(path)


def test_fixed_atoms_stay_and_are_written_and_read_again(tmp_path):
    ethanol = molecule("CH3CH2OH")
    ethanol.set_constraint(FixAtoms([0, 1, 2]))
    ethanol.write(tmp_path / "a.extxyz")
    assert call("optimize", tmp_path / "a.extxyz", "-m", "PM6", "-o", tmp_path / "b.extxyz", "--fmax", 0.02) == 0
    relaxed = read_ase(tmp_path / "b.extxyz")
    np.testing.assert_allclose(relaxed.positions[:3], ethanol.positions[:3], atol=1e-7)
    assert np.abs(relaxed.positions[3:] - ethanol.positions[3:]).max() > 1e-3
    assert np.linalg.norm(relaxed.calc.results["forces"][3:], axis=1).max() <= 0.0201
    (again,) = read_structures(tmp_path / "b.extxyz")
    assert again.atoms.constraints[0].index.tolist() == [0, 1, 2]


def test_fixed_atoms_in_a_batch_and_in_any_order():
    ethanol, other = molecule("CH3CH2OH"), molecule("H2O")
    ethanol.set_constraint(FixAtoms([0, 2]))
    together = optimize(Systems.from_ase([other, ethanol]), NDDO("AM1"), fmax=0.02)
    alone = optimize(Systems.from_ase(ethanol), NDDO("AM1"), fmax=0.02)
    assert bool(together.converged.all())
    torch.testing.assert_close(together.systems.positions[3:], alone.systems.positions, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone.systems.positions[[0, 2]], torch.as_tensor(ethanol.positions[[0, 2]]))
    assert alone.systems.to_ase()[0].constraints[0].index.tolist() == [0, 2]
    free = optimize(Systems.from_ase(molecule("CH3CH2OH")), NDDO("AM1"), fmax=0.02)
    assert float(free.prediction.energy) < float(alone.prediction.energy)


def test_other_constraints_are_refused_by_optimisations_only():
    water = molecule("H2O")
    water.set_constraint([FixBondLength(0, 1)])
    systems = Systems.from_ase([molecule("CH4"), water])
    assert NDDO("AM1")(systems).energy.shape == (2,)
    with pytest.raises(InputError, match=r"system 1: only fixed atoms .* FixBondLength"):
        optimize(systems, NDDO("AM1"))
    assert systems.select(torch.tensor([0])).constraints == ("",)


@pytest.mark.parametrize("value", ["1e200", "1e8", "1e300"])
def test_coordinates_without_end(value, tmp_path):
    found = one(tmp_path / "a.xyz", WATER.replace("0.76324", value, 1))
    with pytest.raises(InputError, match=r"atom 1 \(H\): coordinates must lie within 1e\+07 Å"):
        Systems.from_ase(found.atoms)


@pytest.mark.parametrize("charge", [float("inf"), float("nan"), 10**400, True, "x", None, [1, 2]])
def test_charges_that_are_no_numbers(charge):
    atoms = molecule("H2O")
    atoms.info["charge"] = charge
    with pytest.raises(InputError, match=r"system 0: info\['charge'\] must be a whole number"):
        Systems.from_ase(atoms)


def test_files_of_the_wrong_kind(tmp_path):
    structures, errors = read_files([tmp_path / "none.xyz", tmp_path, one_file(tmp_path, WATER)])
    assert len(structures) == 1
    assert "there is none" in str(errors[0])
    assert "there is a folder" in str(errors[1])
    (tmp_path / "a.py").write_text("raise SystemExit\n")
    assert "format that is known" in str(next(read_structures(tmp_path / "a.py")))


def test_old_names_go_on_working(tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        from nddo_ml.io import read_files as old

        assert old([one_file(tmp_path, WATER)])[0][0].atoms.get_chemical_formula() == "H2O"
    assert any("nddo_ml.structures.read.read_files" in str(w.message) for w in told)
