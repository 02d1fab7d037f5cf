"""What files of each format say of their molecules: elements, places, charge, spin, isotopes, names.

The samples in ``data`` were written after the documents of the formats (see its README); of mol and mol2 files RDKit
says what is right, and the distances of internal coordinates are those that were written down.
"""

from pathlib import Path

import numpy as np
import pytest
from reading import refusal, structures

from nddo_ml.structures import Refused
from nddo_ml.structures.read import read_structures

DATA = Path(__file__).parent / "data"

# file: name, formula, charge, multiplicity of each record
SAMPLES = {
    "acetate.sdf": [("acetate", "C2H3O2", -1, 1)],
    "old_charges.sdf": [
        ("hydroxide, charge in the atom block", "HO", -1, 1),
        ("ammonium, charge in the atom block", "H4N", 1, 1),
        ("methyl radical, code 4", "CH3", 0, 2),
        ("CHG supersedes the atom block", "H2O", 0, 1),
    ],
    "v3000.sdf": [("triplet carbene", "CH2", 0, 3), ("ammonium", "H4N", 1, 1)],
    "two.mol2": [("ammonium", "H4N", 1, 1), ("acetate", "C2H3O2", -1, 1)],
    "gaff.mol2": [("chloroethene, types of GAFF", "C2H3Cl", 0, 1)],
    "hydroxide.com": [("hydroxide, then water in two more jobs", "HO", -1, 1), ("", "H2O", 0, 1)],
    "jobs.inp": [("", "HO", -1, 1), ("", "H2O2", 0, 1), ("", "CN", -1, 1)],
    "qchem.inp": [("", "O2", -1, 2), ("", "H2FO", -1, 1)],
    "gamess.inp": [("hydroxide in bohr", "HO", -1, 1)],
    "jobs.mop": [("hydroxide", "HO", -1, 1), ("water cation, internal coordinates", "H4O", 1, 2)],
    "jobs.nw": [
        ("hydroxides; oxygen", "HO", -1, 1),
        ("hydroxides; oxygen", "HO", -1, 1),
        ("hydroxides; oxygen", "O2", 0, 3),
    ],
    "ions.pdb": [("SODIUM AND CHLORIDE WITH WATER", "H2ClNa2O", 1, 1)],
    "models.pdb": [("METHANE TWICE", "CH4", 0, 1)] * 2,
}


@pytest.mark.parametrize("file", SAMPLES)
def test_records_with_their_names_charges_and_spins(file):
    found = structures(DATA / file)
    assert [(s.name, s.atoms.get_chemical_formula(), s.charge, s.multiplicity) for s in found] == SAMPLES[file]
    assert [s.frame for s in found] == list(range(len(found)))
    assert all(s.atoms.info["charge"] == s.charge and s.atoms.info["multiplicity"] == s.multiplicity for s in found)


@pytest.mark.parametrize("file", ["acetate.sdf", "old_charges.sdf", "v3000.sdf"])
def test_mol_files_as_rdkit_reads_them(file):
    chem = pytest.importorskip("rdkit.Chem")
    with chem.SDMolSupplier(str(DATA / file), removeHs=False) as supplier:
        molecules = list(supplier)
    for molecule, structure in zip(molecules, structures(DATA / file), strict=True):
        assert structure.charge == chem.GetFormalCharge(molecule)
        if "code 4" not in structure.name:  # a doublet by the document of the format; RDKit leaves it out
            assert structure.multiplicity == 1 + sum(a.GetNumRadicalElectrons() for a in molecule.GetAtoms())
        assert structure.atoms.numbers.tolist() == [a.GetAtomicNum() for a in molecule.GetAtoms()]
        np.testing.assert_allclose(structure.atoms.positions, molecule.GetConformer().GetPositions())
        heavy = [a.GetIdx() for a in molecule.GetAtoms() if a.GetIsotope()]
        for k in heavy:
            assert structure.atoms.get_masses()[k] == pytest.approx(molecule.GetAtomWithIdx(k).GetMass(), abs=1e-3)


def test_mol2_as_rdkit_reads_it(tmp_path):
    chem = pytest.importorskip("rdkit.Chem")
    blocks = (DATA / "two.mol2").read_text().split("@<TRIPOS>MOLECULE")[1:]
    for block, structure in zip(blocks, structures(DATA / "two.mol2"), strict=True):
        molecule = chem.MolFromMol2Block("@<TRIPOS>MOLECULE" + block, removeHs=False, sanitize=True)
        if molecule is not None:
            assert chem.GetFormalCharge(molecule) == structure.charge


def test_internal_coordinates_are_those_written_down():
    water = structures(DATA / "hydroxide.com")[1].atoms
    assert water.get_distance(0, 1) == pytest.approx(0.96)
    assert water.get_angle(1, 0, 2) == pytest.approx(104.5)
    peroxide = structures(DATA / "jobs.inp")[1].atoms
    assert peroxide.get_distance(0, 1) == pytest.approx(1.45)
    assert peroxide.get_angle(3, 1, 0) == pytest.approx(100.0)
    assert peroxide.get_dihedral(3, 1, 0, 2) == pytest.approx(115.0)
    cation = structures(DATA / "jobs.mop")[1].atoms
    assert cation.get_angle(2, 1, 0) == pytest.approx(104.5)
    assert cation.get_dihedral(4, 0, 1, 2) == pytest.approx(170.0)
    assert structures(DATA / "gamess.inp")[0].atoms.get_distance(0, 1) == pytest.approx(0.96, abs=1e-6)


def test_isotopes_keep_their_masses():
    for file, frame, atom, mass in (
        ("v3000.sdf", 0, 1, 2.0141018), ("hydroxide.com", 0, 0, 17.9991596), ("jobs.inp", 0, 1, 2.014),
        ("jobs.mop", 1, 3, 2.014), ("ions.pdb", 0, 4, 2.0141018),
    ):  # fmt: skip
        assert structures(DATA / file)[frame].atoms.get_masses()[atom] == pytest.approx(mass)


def test_what_is_not_read_is_named():
    assert "jobs" not in structures(DATA / "jobs.inp")[0].remarks
    assert "takes its geometry from a checkpoint" in structures(DATA / "hydroxide.com")[0].remarks[0]
    assert "reads the molecule before" in structures(DATA / "qchem.inp")[0].remarks[0]
    assert "follows from the types" in structures(DATA / "two.mol2")[1].remarks[0]


def test_geometries_of_nwchem():
    reactant, product, oxygen = structures(DATA / "jobs.nw")
    assert "what is said after the geometry's first task is not read" in reactant.remarks[0]
    np.testing.assert_allclose(
        [s.atoms.get_distance(0, 1) for s in (reactant, product, oxygen)], [0.97, 0.97, 1.2], atol=1e-4
    )
    assert reactant.atoms.get_masses()[1] == 2.014


def test_flags_of_mopac_fix_atoms():
    (constraint,) = structures(DATA / "jobs.mop")[0].atoms.constraints
    assert constraint.index.tolist() == [0]


def test_charges_over_several_lines_are_summed(tmp_path):
    text = (DATA / "acetate.sdf").read_text()
    lines = "M  CHG  2   3  -1   4  -1\nM  CHG  1   1   1\n"
    (tmp_path / "a.sdf").write_text(text.replace("M  CHG  1   4  -1\n", lines))
    assert structures(tmp_path / "a.sdf")[0].charge == -1
    (tmp_path / "b.sdf").write_text(text.replace("M  CHG  1   4  -1\n", "M  CHG  1   4  -1\nM  CHG  1   4  -2\n"))
    assert "said twice" in refusal(tmp_path / "b.sdf")
    (tmp_path / "c.sdf").write_text(text.replace("M  CHG  1   4  -1\n", "M  CHG  1   9  -1\n"))
    assert "there is no atom 9" in refusal(tmp_path / "c.sdf")


@pytest.mark.parametrize("radicals", [("M  RAD  1   1   2\n", 2), ("M  RAD  1   1   1\n", None)])
def test_radicals_that_do_not_fit_are_an_error(radicals, tmp_path):
    line, _ = radicals
    text = (DATA / "old_charges.sdf").read_text().split("$$$$\n")[2].replace("M  END", f"{line}M  END")
    (tmp_path / "a.sdf").write_text(text)
    if radicals[1] is None:
        assert "does not fit 9 electrons" in refusal(tmp_path / "a.sdf")
    else:
        assert structures(tmp_path / "a.sdf")[0].multiplicity == 2


@pytest.mark.parametrize(
    ("column", "charge"), [("1+", 1), ("+1", 1), ("2+", 2), ("1-", -1), ("-2", -2), ("+ ", 1), ("- ", -1)]
)
def test_charge_columns_of_pdb(column, charge, tmp_path):
    (tmp_path / "a.pdb").write_text(
        f"HETATM    1 MG    MG A   1       0.000   0.000   0.000  1.00  0.00          MG{column}\nEND\n"
    )
    (found,) = read_structures(tmp_path / "a.pdb")
    assert found.charge == charge


def test_ions_of_pdb_without_a_charge_are_named(tmp_path):
    (tmp_path / "a.pdb").write_text(
        "HETATM    1 NA    NA A   1       0.000   0.000   0.000  1.00  0.00          NA\nEND\n"
    )
    assert "ions NA have no charge" in structures(tmp_path / "a.pdb")[0].remarks[0]


def test_alternate_locations_and_damaged_models(tmp_path):
    water = [
        "ATOM      1  O  AHOH A   1       0.000   0.000   0.119  0.50  0.00           O",
        "ATOM      2  O  BHOH A   1       0.300   0.000   0.119  0.50  0.00           O",
        "ATOM      3  H1  HOH A   1       0.000   0.763  -0.477  1.00  0.00           H",
        "ATOM      4  H2  HOH A   1       0.000  -0.763  -0.477  1.00  0.00           H",
    ]
    bad = [water[0].replace("0.119", "*****"), *water[1:]]
    models = ["MODEL        1", *water, "ENDMDL", "MODEL        2", *bad, "ENDMDL", "END"]
    (tmp_path / "a.pdb").write_text("\n".join(models) + "\n")
    first, second = read_structures(tmp_path / "a.pdb")
    assert first.atoms.get_chemical_formula() == "H2O"
    np.testing.assert_allclose(first.atoms.positions[0], [0, 0, 0.119])
    assert "the first of each residue is taken" in first.remarks[0]
    assert isinstance(second, Refused)
    assert second.frame == 1


@pytest.mark.parametrize("suffix", ["cif", "vasp", "gen", "json", "traj", "xsf", "cube", "extxyz"])
def test_formats_of_ase_and_molecules_in_a_box(suffix, tmp_path):
    """Benzene across the corner of its cell; ASE wrote the file and measures the distances."""
    from ase.build import molecule

    benzene = molecule("C6H6")
    boxed = benzene.copy()
    boxed.set_cell([9.0, 10.0, 11.0])
    boxed.pbc = True
    boxed.wrap()
    path = tmp_path / f"a.{suffix}"
    boxed.write(path)
    assert structures(path)[0].atoms.pbc.all()
    (alone,) = structures(path, pbc=False)
    assert not alone.atoms.pbc.any()
    found, wanted = (np.sort(a.get_all_distances().ravel()) for a in (alone.atoms, benzene))
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_crystal_is_no_molecule_in_a_box(tmp_path):
    from ase.build import bulk

    bulk("Si").write(tmp_path / "si.cif")
    assert "without end" in refusal(tmp_path / "si.cif", pbc=False)


def test_charge_of_outputs_that_ase_reads(tmp_path):
    from ase import Atoms

    Atoms("OH", [[0, 0, 0], [0, 0, 0.96]]).write(tmp_path / "a.nw", format="nwchem-in")
    written = (tmp_path / "a.nw").read_text()
    (tmp_path / "a.nw").write_text(written.replace("start", "charge -1\nstart"))
    assert structures(tmp_path / "a.nw")[0].charge == -1
    (tmp_path / "geometry.in").write_text("atom 0 0 0 O\ninitial_charge -1\natom 0 0 0.96 H\n")
    assert structures(tmp_path / "geometry.in")[0].charge == -1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.com", "# PM6 geom=check\n\ntitle\n\n0 1\n\n", "checkpoint"),
        ("a.com", "# PM6\n\ntitle\n\n0 1\nO\nH 1 r\n\n", "no variable 'r'"),
        ("a.com", "# PM6\n\ntitle\n\n0 2\nO 0 0 0\nH 0 0 1\nH 0 1 0\n\n", "does not fit 10 electrons"),
        ("a.com", "# PM6\n\ntitle\n\n0 1\nO-Bq 0 0 0\nH 0 0 1\n\n", "ghost"),
        ("a.com", "# PM6 Field=x+10\n\ntitle\n\n-1 1\nO 0 0 0\nH 0 0 1\n\n", "fields around the molecule (Field)"),
        ("a.com", "# PM6 charge\n\nt\n\n-1 1\nO 0 0 0\nH 0 0 1\n\n0 0 5 1.0\n\n", "around the molecule (charge)"),
        ("a.inp", "! PM3\n%scf EField 0,0,0.1 end\n* xyz -1 1\nO 0 0 0\nH 0 0 1\n*\n", "fields around the molecule"),
        ("a.inp", "! PM3\n* xyz 0 1\nO : 0 0 0\nH 0 0 1\n*\n", "ghost"),
        (
            "a.inp",
            "$molecule\n-1 1\n--\n0 1\nO 0 0 0\nH 0 0 1\n--\n0 1\nHe 0 0 4\n$end\n",
            "two values of the charge",
        ),
        ("coord", "$coord angs\n 0 0 0 o\n 0 0 0.96 h\n$end\n", "expected $coord in bohr; got 'angs'"),
        ("a.inp", "! PM3\n* xyz 0 1\nO: 0 0 0\nH 0 0 1\n*\n", "ghost"),
        ("a.inp", "! PM3\n* xyz 0 1\nO 0 0 0\nQ 0.5 0 0 3\n*\n", "point charge"),
        ("a.inp", "! PM3\n* xyzfile 0 1 none.xyz\n", "there is none"),
        ("a.inp", "&FORCE_EVAL\n&END\n", "expected input of ORCA, Q-Chem or GAMESS"),
        ("a.inp", " $CONTRL $END\n $DATA\nx\nCNV 2\n\nO 8.0 0 0 0\n $END\n", "symmetry"),
        ("a.inp", " $CONTRL COORD=ZMT $END\n $DATA\nx\nC1\nO\n $END\n", "COORD=ZMT"),
        ("a.nw", "geometry\n O 0 0 0\n bqH 0 0 1\nend\n", "ghost"),
        ("a.nw", "geometry\n symmetry c2v\n O 0 0 0\nend\n", "'symmetry c2v' is not understood"),
        ("a.nw", "geometry units furlong\n O 0 0 0\nend\n", "expected units angstroms or bohr; got 'furlong'"),
        ("a.nw", "geometry\n O 0 0 0 charge 7\nend\n", "a nucleus with a charge of its own"),
        ("a.nw", "geometry\n O 0 0 0\nend\nbq\n 0 0 5 1.0\nend\n", "charges around the molecule (bq)"),
        ("a.nw", "geometry\n O 0 0 0\n", "expected end after the geometry"),
        ("a.nw", "title x\ntask dft\n", "expected a block geometry"),
        ("a.mop", "PM6 GEO_DAT=other\n\n\n", "another file"),
        ("a.mop", "PM6\n\n\nXX 0 0 0\nO 0 0 1\n", "dummy"),
        ("a.mop", "PM6 CHARGE=1 CHARGE=0\n\n\nO 0 0 0\nH 0 0 1\n", "two values of the charge"),
        ("a.mol2", "@<TRIPOS>MOLECULE\nx\n 4000000000 0\nSMALL\nNO_CHARGES\n\n@<TRIPOS>ATOM\n1 O 0 0 0 O.3\n", "whole"),
        ("a.mol2", "@<TRIPOS>MOLECULE\nx\n 1 0\nSMALL\nNO_CHARGES\n\n@<TRIPOS>ATOM\n1 X 0 0 0 Du\n", "dummy"),
        (
            "a.sdf",
            "x\n\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0       0.0       0.0    R#\nM  END\n",
            "dummy",
        ),
        ("a.pdbqt", "ATOM      1  C   LIG A   1       0.000   0.000   0.000  1.00  0.00    +0.000 C\n", "AutoDock"),
        ("a.gen", "4000000000 C\nO\n1 1 0 0 0\n", "too many"),
        ("POSCAR", "x\n1.0\n5 0 0\n0 5 0\n0 0 5\nO\n4000000000\nDirect\n0 0 0\n", "too many"),
    ],
)
def test_what_is_refused_and_in_which_words(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    assert said in refusal(tmp_path / name)


def test_freeze_codes_and_commas_of_gaussian(tmp_path):
    rows = ["C 0 0.1 0.2 0.3", "H -1 1.1 0.2 0.3", "H,0.0,1.2,0.3", "H 0. 0. -0.8", "H -.5 -.5 1."]
    (tmp_path / "a.com").write_text("\n".join(["# PM6", "", "x", "", "0 1", *rows, "", ""]))
    (found,) = structures(tmp_path / "a.com")
    wanted = [[0.1, 0.2, 0.3], [1.1, 0.2, 0.3], [0.0, 1.2, 0.3], [0.0, 0.0, -0.8], [-0.5, -0.5, 1.0]]
    np.testing.assert_allclose(found.atoms.positions, wanted)
    assert found.atoms.constraints[0].index.tolist() == [1]


# What other programs and people write, as their documents have it: file, content, formula, charge, multiplicity
FLAVOURS = [
    ("a.com", "! by hand\n# pm6 ! route\n\nt\n\n-1 1 ! charge\nO 0 0 0 ! oxygen\nH 0 0 .97\n\n", "HO", -1, 1),
    ("b.com", "# pm6\n\nt\n\n0 1\nC(Fragment=1,Iso=13,Spin=1) 0 0 0\nO 1.13 0 0\n\n", "CO", 0, 1),
    ("c.com", "# pm6 counterpoise=2\n\nt\n\n1,2 1,2 0,1\nO(Fragment=1) 0 0 0\nH(Fragment=1) .98 0 0\n"
     "H(Fragment=2) 0 3 0\n\n", "H2O", 1, 2),
    ("d.com", "# oniom(b3lyp:amber)\n\nt\n\n0 1\nO-OW--0.834 0 0 0 0 H\nH-HW-0.417 0 .96 0 0 L\n"
     "H-HW-0.417 0 -.24 .93 0 L\n\n", "H2O", 0, 1),
    ("a.mop", "PM6\nt\n\nO(HOH 1) 0 1 0 1 0 1\nH(HOH 1) .96 1 0 1 0 1\nH(HOH 1) -.24 1 .93 1 0 1\n", "H2O", 0, 1),
    ("b.mop", "PM7 MOZYME EPS=78.4 +\nCHARGE=-1 +\nLET\nname\ncomment\nO 0 0 0\nH .97 0 0\n", "HO", -1, 1),
    ("c.arc", "\n\n    SUMMARY OF  PM7 CALCULATION\n\n   Empirical Formula: H O  =     2 atoms\n\n PM7 CHARGE=-1\n"
     " hydroxide\n\n\n   HEAT OF FORMATION  = -33.85 KCAL/MOL\n\n    FINAL GEOMETRY OBTAINED\n PM7 CHARGE=-1\n"
     " hydroxide\n\n  O     0.04367161 +1   0.00000000 +1   0.00000000 +1\n"
     "  H     0.92632839 +1   0.00000000 +1   0.00000000 +1\n\n", "HO", -1, 1),
    ("a.extxyz", "2\nProperties=species:I:1:pos:R:3 charge=-1\n8 0 0 0\n1 0 0 .97\n", "HO", -1, 1),
    ("b.extxyz", "2\nProperties=pos:R:3:forces:R:3:species:S:1 total_charge=-1 spin=1\n0 0 0 1 2 3 O\n"
     "0 0 .97 1 2 3 H\n", "HO", -1, 1),
    ("a.xyz", '2\n{"charge": -1, "mult": 1}\nO 0 0 0\nH 0 0 .97\n', "HO", -1, 1),
    ("b.xyz", "2\nanion (charge \u22121, singlet)\nO 0 0 0\nH 0 0 .97\n", "HO", -1, 1),
    ("coord", "$coord\n 0 0 0 o\n 0 0 1.83 h\n$end\n$chrg -1\n", "HO", -1, 1),
    ("coord", "$coord\n 0 0 0 o\n 0 0 2.28 o\n$end\n$eht charge=0 unpaired=2\n", "O2", 0, 3),
    ("a.inp", "! PM3\n%Coords\n CTyp = xyz\n Charge = -1\n Mult = 1\n Coords\n O 0 0 0\n H 0 0 .97\n End\nEnd\n",
     "HO", -1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "formula", "charge", "multiplicity"), FLAVOURS)
def test_flavours_of_input(name, text, formula, charge, multiplicity, tmp_path):
    (tmp_path / name).write_text(text)
    (found,) = structures(tmp_path / name)
    assert (found.atoms.get_chemical_formula(), found.charge, found.multiplicity) == (formula, charge, multiplicity)


def test_potentials_around_a_molecule_are_refused(tmp_path):
    text = "! PM3\n* xyz 0 1\nO 0 0 0\nH .96 0 0\nH -.24 .93 0\nZr> 4.0 0 0 5\n*\n"
    (tmp_path / "a.inp").write_text(text)
    assert "potential (Zr>) among the atoms" in refusal(tmp_path / "a.inp")


def test_extended_smiles_as_rdkit_reads_them(tmp_path):
    chem = pytest.importorskip("rdkit.Chem")
    (tmp_path / "a.smi").write_text("CC[CH2] |^1:2| propyl\nC[N+](C)(C)C |$;;;;$|\n[O-]C=O formate ion\n")
    found = structures(tmp_path / "a.smi")
    molecules = [chem.MolFromSmiles(s) for s in ("CC[CH2] |^1:2|", "C[N+](C)(C)C", "[O-]C=O")]
    assert [s.charge for s in found] == [chem.GetFormalCharge(m) for m in molecules]
    assert [s.multiplicity for s in found] == [2, 1, 1]
    assert (found[0].name, found[2].name) == ("propyl", "formate ion")
