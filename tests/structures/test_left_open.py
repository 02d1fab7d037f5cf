"""What files leave open, or say of what is not read: it is used, refused or named."""

import numpy as np
import pytest
from reading import refusal, structures

from nddo_ml.structures.read import read_structures

# What a file does not say, or says of what is not read: file, content, charge, multiplicity, a word of the remark
REMARKED = [
    ("a.mop", "PM6 BIRADICAL\nx\n\nO 0 0 0\nO 0 0 1.2\n", 0, 1, "BIRADICAL is not used"),
    ("a.mop", "PM6 FIELD=(1,0,0) CHARGE=-1\nx\n\nO 0 0 0\nH 0 0 1\n", -1, 1, "FIELD=(1,0,0) is not used"),
    ("a.mop", "PM6 EPS=78.4 CHARGE=-1\nx\n\nO 0 0 0\nH 0 0 1\n", -1, 1, "EPS=78.4 is for `nddo-ml mopac`; other"),
    ("a.pdb", "HETATM    1  O   HOH A   1       0.000   0.000   0.000\nEND\n", 0, 1, "without hydrogens (HOH A   1"),
    ("a.mol", "x\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0000    0.0000    0.0000 O   0  0\nM  END\n", 0, 1,
     "atom 0 (O) has no bonds; no hydrogens are added"),
    ("a.mol2", "@<TRIPOS>MOLECULE\nx\n 2 1\nSMALL\nNO_CHARGES\n\n@<TRIPOS>ATOM\n1 C 0 0 0 C.3\n2 O 1.4 0 0 O.3\n"
     "@<TRIPOS>BOND\n1 1 2 1\n", 0, 1, "atom 0 (C) has bonds of order 1 only"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "charge", "multiplicity", "said"), REMARKED)
def test_what_is_computed_all_the_same_and_said(name, text, charge, multiplicity, said, tmp_path):
    (tmp_path / name).write_text(text)
    (found,) = structures(tmp_path / name)
    assert (found.charge, found.multiplicity) == (charge, multiplicity)
    assert said in " ".join(found.remarks)


def test_sites_of_a_crystal_that_are_occupied_in_part_are_refused(tmp_path):
    """A disordered hydrogen, and an alloy: either is no structure."""
    from ase.build import bulk

    crystal = bulk("NaCl", "rocksalt", a=5.64)
    crystal.write(tmp_path / "whole.cif")
    assert len(structures(tmp_path / "whole.cif")[0].atoms) == 2
    text = (tmp_path / "whole.cif").read_text()
    (tmp_path / "part.cif").write_text(text.replace(" 1.0000\n", " 0.5000\n"))
    assert "2 sites are occupied in part (Na 0.5, Cl 0.5)" in refusal(tmp_path / "part.cif")


@pytest.mark.parametrize("suffix", ["json", "db"])
def test_key_value_pairs_of_a_database(suffix, tmp_path):
    from ase import Atoms
    from ase.db import connect

    with connect(tmp_path / f"a.{suffix}") as database:
        database.write(Atoms("OH", [[0, 0, 0], [0, 0, 0.96]]), charge=-1)
        database.write(Atoms("O2", [[0, 0, 0], [0, 0, 1.2]]), multiplicity=3)
    assert [(s.charge, s.multiplicity) for s in structures(tmp_path / f"a.{suffix}")] == [(-1, 1), (0, 3)]


def test_atomic_units_of_mopac(tmp_path):
    """Hydroxide by PM6 at 0.96 Å, which MOPAC 22 reads from 1.8141 bohr with A0 and has at −31.196 kcal/mol."""
    (tmp_path / "a.mop").write_text("PM6 A0 CHARGE=-1\nx\n\nO 0 0 0\nH 0 0 1.8141\n")
    (found,) = structures(tmp_path / "a.mop")
    assert found.atoms.get_distance(0, 1) == pytest.approx(0.96, abs=1e-4)


def test_parts_of_a_smiles_stand_side_by_side():
    pytest.importorskip("rdkit")
    for text in ("CCO.O", "[Na+].[Cl-]", "c1ccccc1.c1ccccc1.O"):
        (found,) = read_structures([], smiles=[text])
        assert "stand side by side" in " ".join(found.remarks)
        assert "too close" not in " ".join(found.remarks)
        distances = found.atoms.get_all_distances() + 9 * np.eye(len(found.atoms))
        assert distances.min() > 0.9
