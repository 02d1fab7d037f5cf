"""Legal but odd spellings of formats, and what contradicts itself in them; the truth is the formats' documents."""

import numpy as np
import pytest
from reading import refusal, structures


def mol(
    atoms: tuple[str, ...] = ("O 0 0 0", "H 0 0 0.97"), title: str = "t", properties: str = "", items: str = ""
) -> str:
    """A V2000 record of a diatomic molecule."""
    rows = [f"{float(x):10.4f}{float(y):10.4f}{float(z):10.4f} {e:<3} 0  0" for e, x, y, z in map(str.split, atoms)]
    counts = f"{len(atoms):3d}  1  0  0  0  0  0  0  0  0999 V2000"
    return "\n".join([title, "", "", counts, *rows, "  1  2  1  0", *properties.split("\n")[:-1], "M  END", items])


def pdb(rows: list[tuple[str, str, str, float]], group: str = "") -> str:
    """Atoms (name, alternate location, element, x) of one residue, with a crystal's group where given."""
    head = f"CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 {group:<11}  4\n" * bool(group)
    return head + "".join(
        f"HETATM{k + 1:5d}  {name:<3}{letter or ' '}HOH A   1    {x:8.3f}{0.9 * k:8.3f}{0:8.3f}  1.00  0.00"
        f"          {element:>2}\n"
        for k, (name, letter, element, x) in enumerate(rows)
    )


def mol2(atoms: list[str], bonds: list[str]) -> str:
    """A molecule without charges; atoms as ``name x y z type``."""
    rows = [f"{k + 1} {atom}" for k, atom in enumerate(atoms)]
    links = [f"{k + 1} {bond}" for k, bond in enumerate(bonds)]
    head = f"@<TRIPOS>MOLECULE\nx\n {len(atoms)} {len(bonds)}\nSMALL\nNO_CHARGES\n\n@<TRIPOS>ATOM\n"
    return head + "\n".join([*rows, "@<TRIPOS>BOND", *links, ""])


AMMONIUM = ["N 0 0 0 N.4", "H1 .6 .6 .6 H", "H2 -.6 -.6 .6 H", "H3 .6 -.6 -.6 H", "H4 -.6 .6 -.6 H"]
FOUR = [f"1 {k} 1" for k in range(2, 6)]
V3000 = (
    "t\n\n\n  0  0  0     0  0            999 V3000\nM  V30 BEGIN CTAB\nM  V30 COUNTS 2 1 0 0 0\nM  V30 BEGIN ATOM\n"
    "M  V30 1 O 0 0 0 0 chg=-1\nM  V30 2 H 0 0 0.97 0 Mass=2\nM  V30 END ATOM\nM  V30 BEGIN BOND\nM  V30 1 1 1 2\n"
    "M  V30 END BOND\nM  V30 END CTAB\nM  END\n"
)
# file, content, formula, charge, multiplicity
READ = [
    ("title.sdf", mol(title="made of V2000", properties="M  CHG  1   1  -1\n"), "HO", -1, 1),
    ("lower.sdf", V3000, "HO", -1, 1),
    ("uhf.sdf", mol(("O 0 0 0", "O 0 0 1.2"), items="> <uhf>\n2\n"), "O2", 0, 3),
    ("spin.sdf", mol(("O 0 0 0", "O 0 0 1.2"), items="> <spin>\n2\n"), "O2", 0, 3),
    ("salt.mol2", mol2([*AMMONIUM, "CL 4 0 0 Cl"], FOUR), "H4ClN", 0, 1),
    ("sodium.mol2", mol2(["NA 0 0 0 Na"], []), "Na", 1, 1),
    ("atom.mol2", mol2(["NA 0 0 0 Na 1 LIG 0.0"], []).replace("NO_CHARGES", "USER_CHARGES"), "Na", 0, 2),
    ("unbonded.mol2", mol2(["C 0 0 0 C.3", "CL 1.8 0 0 Cl", "H1 0 1 0 H", "H2 0 0 1 H", "H3 0 0 -1 H"], []),
     "CH3Cl", 0, 1),
    ("whole.in", "$molecule\n-1 1\n8 0 0 0\n1 0 0 1\n$end\n$rem\n$end\n", "HO", -1, 1),
    ("parts.in", "$molecule\n0 1\n--\n-1 1\n8 0 0 0\n1 0 0 1\n--\n1 1\n1 0 2 0\n$end\n$rem\n$end\n", "H2O", 0, 1),
    ("magmom.xyz", "2\nProperties=species:S:1:pos:R:3:magmom:R:1\nO 0 0 0 1.0\nO 0 0 1.2 1.0\n", "O2", 0, 3),
    ("total.xyz", "2\nProperties=species:S:1:pos:R:3 energy=-5.0 magmom=2.0\nO 0 0 0\nO 0 0 1.2\n", "O2", 0, 3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "formula", "charge", "multiplicity"), READ)
def test_spellings_that_are_read(name, text, formula, charge, multiplicity, tmp_path):
    (tmp_path / name).write_text(text)
    (found,) = structures(tmp_path / name)
    assert (found.atoms.get_chemical_formula(), found.charge, found.multiplicity) == (formula, charge, multiplicity)


def test_columns_after_the_coordinates_are_no_freeze_codes(tmp_path):
    """Types of a force field after whole numbers, which Gaussian alone would take for a code and coordinates."""
    (tmp_path / "a.in").write_text("$molecule\n-1 1\nO 0 0 0 186 2\nH 0 0 1 187 1\n$end\n$rem\n$end\n")
    np.testing.assert_array_equal(structures(tmp_path / "a.in")[0].atoms.positions, [[0, 0, 0], [0, 0, 1]])


OXYGEN = "O 0 0 0\nH 0 0 .97\n"
REMARKED = [
    ("a.com", f"# pm6 freq=readisotopes\n\nt\n\n-1 1\n{OXYGEN}\n300 1.0\n18\n2\n\n", "ReadIso"),
    ("a.com", f"# pm6 scrf=(smd,solvent=water)\n\nt\n\n-1 1\n{OXYGEN}\n", "solvent=water)') is not used"),
    ("a.inp", f"! PM3 CPCM(water)\n* xyz -1 1\n{OXYGEN}*\n", "is not used; --solvent is"),
    ("a.inp", f"! PM3\n%cpcm epsilon 80 end\n* xyz -1 1\n{OXYGEN}*\n", "is not used; --solvent is"),
    ("a.nw", f"charge -1\ngeometry\n{OXYGEN}end\ncosmo\n dielec 80\nend\ntask scf\n", "('cosmo') is not used"),
    (
        "a.inp",
        " $CONTRL ICHARG=-1 $END\n $PCM SOLVNT=WATER $END\n $DATA\nx\nC1\nO 8. 0 0 0\nH 1. 0 0 .97\n $END\n",
        "('$PCM SOLVNT=WATER') is not used",
    ),
    ("a.in", f"$molecule\n-1 1\n{OXYGEN}$end\n$rem\nsolvent_method pcm\n$end\n", "'solvent_method pcm') is not used"),
    ("a.in", f"$molecule\n-1 1\n{OXYGEN}$end\n$rem\n$end\n$isotopes\n1 0\n$end\n", "$isotopes are not used"),
    ("a.pdb", pdb([("O", "", "O", 0), ("H1", "", "H", 0.3), ("H2", "", "H", -0.3)], "P 21 21 21"), "(P 21 21 21) is"),
    ("a.xyz", f"2\n-1\n{OXYGEN}", "the comment '-1' is not used"),
]


@pytest.mark.parametrize(("name", "text", "said"), REMARKED)
def test_what_is_not_used_is_named(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    (found,) = structures(tmp_path / name)
    assert said in " ".join(found.remarks)


CIF = (
    "data_x\n_cell_length_a 5\n_cell_length_b 5\n_cell_length_c 5\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
    "_cell_angle_gamma 90\n_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n"
    "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nZn1 Zn2+ 0 0 0\nO1 O2- 0.4 0 0\n"
)


def test_charges_of_elements_in_a_crystal_are_named(tmp_path):
    (tmp_path / "a.cif").write_text(CIF)
    (found,) = structures(tmp_path / "a.cif")
    assert (found.atoms.get_chemical_formula(), found.charge) == ("OZn", 0)
    assert "the charges of the elements (O2-, Zn2+) are not used" in found.remarks


@pytest.mark.parametrize("order", [("", "B"), ("B", "")])
def test_a_letter_beside_an_atom_without_is_the_alternate(order, tmp_path):
    names = [("O", "O"), ("H1", "H"), ("H2", "H")]
    rows = [(name, letter, element, 0.2 * bool(letter)) for letter in order for name, element in names]
    (tmp_path / "a.pdb").write_text(pdb(rows))
    (found,) = structures(tmp_path / "a.pdb")
    assert len(found.atoms) == 3
    assert not found.atoms.positions[:, 0].any()
    assert "3 atoms at B are left out" in " ".join(found.remarks)


MMCIF = "data_x\nloop_\n_atom_site.id\n_atom_site.type_symbol\n_atom_site.Cartn_x\n1 O 0.0\n#\n"
POSCAR = "water\n1.0\n9 0 0\n0 9 0\n0 0 9\n1 2\nDirect\n0 0 0\n0 .1 0\n.1 0 0\n"
REFUSED = [
    ("a.com", "# am1\n\nt\n\n-1.0 1\nO 0 0 0\nH 0 0 1\n\n", "expected charge and multiplicity after the title"),
    ("a.com", "# pm6\n\nt\n\n-1 1\nO(ZNuc=7.5) 0 0 0\nH 0 0 1\n\n", "has a nucleus with a charge of its own"),
    ("a.inp", "! PM3\n* xyz -1 1\nO 0 0 0 Z=7.5\nH 0 0 1\n*\n", "a nucleus with a charge of its own ('O 0 0 0 Z=7.5')"),
    ("a.mop", "PM6 SYMMETRY\nx\n\nO\nH .96 1\nH 0 0 104 1 0 0 1 2", "coordinates that follow from others (SYMMETRY)"),
    ("a.sdf", mol(properties="M  CHG  1   1  -1   2   1\n"), "expected pairs of atom and value after their number"),
    ("a.sdf", mol(properties="M  ZCH  1   1  -1\n"), "expected M  CHG or M  RAD at the beginning"),
    ("a.sdf", mol(properties="M  CHG  1   1  -1\n", items="> <unpaired_electrons>\n1\n"), "does not fit 10 electrons"),
    ("a.in", "$molecule\n0 1\n--\nO 0 0 0\nH 0 0 1\n$end\n$rem\n$end\n", "expected a fragment's charge"),
    ("a.cif", MMCIF, "this is mmCIF (PDBx), which is not read"),
    ("POSCAR", POSCAR, "expected the elements in line 6 or, as VASP 4 has them, in line 1; got 'water'"),
]


@pytest.mark.parametrize(("name", "text", "said"), REFUSED)
def test_what_is_refused(name, text, said, tmp_path):
    (tmp_path / name).write_text(text)
    assert said in refusal(tmp_path / name)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_devices_that_never_end(device):
    assert refusal(device) == f"{device}: expected a structure file; there is a device"
