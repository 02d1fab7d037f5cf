"""Generated molecules and geometries: valences, charges, exclusion, and what the geometries promise."""

import random

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.data.vdw_alvarez import vdw_radii

pytest.importorskip("rdkit")

from rdkit import Chem

from nddo_ml.generate import blocks, clusters, geometries, molecules, protonation
from nddo_ml.generate.exclusion import Exclusion, skeletons, skeletons_of_atoms

GROUPS = [("HCNO",), ("HCNO", "S"), ("HCNO", "F"), ("HCNO", "Cl"), ("HCNO", "FS"), ("HCNO", "P"), ("HCNO", "Br")]


@pytest.mark.parametrize("groups", GROUPS)
def test_drug_like_molecules(groups: tuple[str, ...]) -> None:
    made = [molecules.drug_like(random.Random(k), groups, (9, 20)) for k in range(25)]
    found = [s for s in made if s is not None]
    assert len(found) > 5
    assert found == [s for s in (molecules.drug_like(random.Random(k), groups, (9, 20)) for k in range(25)) if s]
    for smiles in found:
        read = Chem.MolFromSmiles(smiles)
        assert Chem.MolToSmiles(read) == smiles
        assert 9 <= read.GetNumAtoms() <= 20
        assert Chem.GetFormalCharge(read) == 0
        assert not any(a.GetNumRadicalElectrons() or a.GetAtomicNum() == 0 for a in read.GetAtoms())
        special = {"S": "S", "F": "F", "Cl": "Cl", "FS": "FS", "P": "P", "Br": "Br"}.get(groups[-1])
        symbols = {a.GetSymbol() for a in read.GetAtoms()}
        assert special is None or symbols & ({special} if special != "FS" else {"F", "S"})


def test_peptides_sugars_nucleobases() -> None:
    rng = random.Random(3)
    amide = Chem.MolFromSmarts("[NX3][CX4]C=O")
    for k in range(12):
        zwitterion = k % 3 == 0
        peptide = Chem.MolFromSmiles(molecules.peptide(rng, 1 + k % 2, zwitterion))
        assert peptide.HasSubstructMatch(amide) or zwitterion
        charges = sorted(a.GetFormalCharge() for a in peptide.GetAtoms() if a.GetFormalCharge())
        assert charges == ([-1, 1] if zwitterion else [])
        assert Chem.MolFromSmiles(molecules.sugar(rng)) is not None
        assert Chem.MolFromSmiles(molecules.nucleobase(rng)) is not None


def test_attached_replaces_a_hydrogen() -> None:
    toluene = molecules.attached(Chem.MolFromSmiles("c1ccccc1"), "*C", random.Random(0))
    assert Chem.MolToSmiles(toluene) == "Cc1ccccc1"
    assert molecules.attached(Chem.MolFromSmiles("FC(F)(F)F"), "*C", random.Random(0)) is None


@pytest.mark.parametrize(
    ("charge", "zwitterion", "expected"),
    [
        (1, False, {"[NH3+]CCCCCC(=O)O"}),
        (-1, False, {"NCCCCCC(=O)[O-]"}),
        (0, True, {"[NH3+]CCCCCC(=O)[O-]"}),
        (2, False, {None}),
    ],
)
def test_ions(charge: int, zwitterion: bool, expected: set[str | None]) -> None:
    assert {protonation.ionised("NCCCCCC(=O)O", charge, random.Random(k), zwitterion) for k in range(3)} == expected


def test_charges_of_one_sign_stay_apart() -> None:
    assert protonation.ionised("NCCN", 2, random.Random(0)) is None
    assert protonation.ionised("NCCCCN", 2, random.Random(0)) == "[NH3+]CCCC[NH3+]"


def test_tautomers() -> None:
    assert "Oc1ccccn1" in protonation.tautomers("O=c1cccc[nH]1")
    assert protonation.tautomers("CCC") == []


def test_a_skeleton_has_no_hydrogens_orders_or_charges() -> None:
    assert len({frozenset(skeletons(s)) for s in ("Oc1ccccn1", "O=c1cccc[nH]1", "[O-]c1cccc[nH+]1")}) == 1
    assert skeletons("CC(=O)[O-].[NH4+]") == skeletons("CC(=O)O") | {"N"}
    assert skeletons("[2H]C") == skeletons("C")
    with pytest.raises(ValueError, match="expected a SMILES"):
        skeletons("C(")


@pytest.mark.parametrize(("name", "smiles"), [("CH3CONH2", "CC(N)=O"), ("C6H6", "c1ccccc1"), ("H2O", "O")])
def test_geometries_and_smiles_have_one_skeleton(name: str, smiles: str) -> None:
    atoms = molecule(name)
    assert skeletons_of_atoms(atoms) == skeletons(smiles)
    assert skeletons_of_atoms(atoms[np.random.default_rng(0).permutation(len(atoms))]) == skeletons(smiles)
    assert smiles in Exclusion(geometries=[atoms])
    assert smiles + ".CCCC" in Exclusion(["CC", smiles])
    assert smiles + "CC" not in Exclusion([smiles])


def test_conformers_differ_and_repeat() -> None:
    first = geometries.molecule_with_conformers("CCCC[NH3+]", 3, 7)
    again = geometries.molecule_with_conformers("CCCC[NH3+]", 3, 7)
    frames = geometries.geometries(first)
    assert 2 <= len(frames) <= 3
    for a, b in zip(frames, geometries.geometries(again), strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        assert a.info["charge"] == 1
        assert geometries.sound(a)
    assert abs(frames[0].get_distance(0, 3) - frames[1].get_distance(0, 3)) > 0.05 or len(frames) > 2


def test_torsion_scan_covers_the_circle() -> None:
    made = geometries.molecule_with_conformers("CCCCO", 1, 1)
    torsion, *others = geometries.torsions(made)
    assert torsion == (0, 1, 2, 3)
    assert [t[1:3] for t in others] == [(2, 3), (3, 4)]  # not that of the methyl group
    scan = geometries.torsion_scan(made, torsion, 6)
    angles = np.array([a.get_dihedral(*torsion) for a in scan])
    steps = (np.diff(angles) + 180.0) % 360.0 - 180.0
    np.testing.assert_allclose(np.abs(steps), 60.0, atol=4.0)


def test_inversion_passes_through_the_plane() -> None:
    ammonia = molecule("NH3")
    path = geometries.inversion(ammonia, 0, 6)
    heights = []
    for atoms in path:
        x = atoms.positions
        normal = np.cross(x[2] - x[1], x[3] - x[1])
        heights.append((x[0] - x[1]) @ normal / np.linalg.norm(normal))
        np.testing.assert_allclose(np.linalg.norm(x[1:] - x[0], axis=1), ammonia.get_distance(0, 1), atol=1e-6)
    assert heights[0] * heights[-1] < 0
    assert min(np.abs(heights)) < 0.1
    assert geometries.inversion(molecule("H2O"), 0, 5) == []


def test_straightening_ends_linear() -> None:
    path = geometries.straightening(molecule("H2O"), 0, 4)
    np.testing.assert_allclose([a.get_angle(1, 0, 2) for a in path][-1], 179.9, atol=1e-6)
    assert np.all(np.diff([a.get_angle(1, 0, 2) for a in path]) > 0)
    for atoms in path:
        np.testing.assert_allclose(atoms.get_distance(0, 1), molecule("H2O").get_distance(0, 1))


def test_straightening_moves_a_side_as_it_is() -> None:
    ether = molecule("CH3CH2OCH3")
    oxygen = int(np.flatnonzero(ether.numbers == 8)[0])
    last = geometries.straightening(ether, oxygen, 4)[-1]
    distances, before = last.get_all_distances(), ether.get_all_distances()
    moved = np.flatnonzero(np.abs(last.positions - ether.positions).max(axis=1) > 1e-9)
    assert sorted(ether.numbers[moved]) == [1, 1, 1, 6]
    np.testing.assert_allclose(distances[np.ix_(moved, moved)], before[np.ix_(moved, moved)], atol=1e-9)
    np.testing.assert_allclose(distances[oxygen, before[oxygen] < 1.5], before[oxygen, before[oxygen] < 1.5], atol=1e-9)
    ring = molecule("CH2OCH2")
    assert geometries.straightening(ring, int(np.flatnonzero(ring.numbers == 8)[0]), 4) == []


def test_displacements_have_the_energy_of_their_temperature() -> None:
    """⟨½ Δx H Δx⟩ = ½ k_B T a mode, of which the cut at two deviations leaves 0.92."""
    from ase.units import kB

    rng = np.random.default_rng(2)
    a = rng.normal(size=(9, 9))
    hessian = a @ a.T + 9.0 * np.eye(9)
    water = molecule("H2O")
    steps = [(geometries.displaced(water, hessian, 300.0, rng).positions - water.positions).ravel() for _ in range(800)]
    energy = np.mean([0.5 * s @ hessian @ s for s in steps])
    assert energy == pytest.approx(0.92 * 9 * 0.5 * kB * 300.0, rel=0.05)


def test_pairs_touch() -> None:
    first, second = molecule("CH3OH"), molecule("H2O")
    first.info["charge"], second.info["charge"] = 1, -2
    made = clusters.pair(first, second, np.random.default_rng(4), contact=(1.0, 1.0))
    assert made.info["charge"] == -1
    n = len(first)
    gaps = made.get_all_distances()[:n, n:]
    radii = vdw_radii[made.numbers]
    assert (gaps / (radii[:n, None] + radii[None, n:])).min() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(made[:n].get_all_distances(), first.get_all_distances(), atol=1e-9)
    np.testing.assert_allclose(made[n:].get_all_distances(), second.get_all_distances(), atol=1e-9)


def test_sound() -> None:
    assert geometries.sound(Atoms("H"))
    assert not geometries.sound(Atoms("OO", [[0, 0, 0], [0, 0, 0.8]]))


def test_bowls_are_bent_from_their_centre_and_hydrogens_go_along() -> None:
    benzene = molecule("C6H6")
    flat, bowl = geometries.curved(benzene, (0.0, 0.1))
    np.testing.assert_allclose(flat.get_all_distances(), benzene.get_all_distances(), atol=1e-8)
    carbons = bowl.numbers == 6
    radius = np.linalg.norm(bowl.positions[carbons, :2], axis=1)
    np.testing.assert_allclose(bowl.positions[carbons, 2], 0.1 * radius**2, atol=1e-8)
    np.testing.assert_allclose(bowl.positions[~carbons, 2], bowl.positions[carbons, 2], atol=1e-8)


@pytest.mark.parametrize("smiles", blocks.BOWLS)
def test_bowls_are_molecules(smiles: str) -> None:
    assert geometries.molecule_with_conformers(smiles, 1, 3) is not None
