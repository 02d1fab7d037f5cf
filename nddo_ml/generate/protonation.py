"""Ions, zwitterions and tautomers of a molecule: protons taken from acids and given to bases."""

from __future__ import annotations

import random

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from nddo_ml.generate.molecules import sanitised

APART = 4  # bonds, at least one more between charges of one sign
ACIDS = tuple(  # the first atom loses its hydrogen
    Chem.MolFromSmarts(s)
    for s in (
        *("[OX2H1]C(=O)[#6]", "[OX2H1]c", "[SX2H1][#6]", "[NX3;H1,H2]S(=O)(=O)", "[OX2H1]P(=O)", "[OX2H1]S(=O)(=O)"),
        *("[nH]1nnnc1", "[nH]1cnnc1", "[NX3H1](C=O)C=O", "[nH]c(=O)[nH]", "[OX2H1][NX3]C=O", "[nH]1cncc1"),
    )
)
BASES = tuple(  # the first atom takes up a hydrogen
    Chem.MolFromSmarts(s)
    for s in (
        "[NX3;!$(N[C,S,P]=[O,S,N]);!$(N-[c,n,N,O,S]);!$(N-C#N);!$(N-C=C);+0]",
        *("[nX2;r6;+0]", "[nX2;r5;+0]c[nX3]", "[NX2;+0;$(N=C(N)[#6,#7])]", "[NX3;H2,H1;+0;$(N-c)]"),
    )
)


def sites(molecule: Chem.Mol, patterns: tuple[Chem.Mol, ...]) -> list[int]:
    """The atoms that the patterns begin with."""
    return sorted({match[0] for p in patterns for match in molecule.GetSubstructMatches(p)})


def ionised(smiles: str, charge: int, rng: random.Random, zwitterion: bool = False) -> str | None:
    """The molecule with that total charge; as a zwitterion with one proton more moved. None where sites lack.

    Args:
        smiles: a neutral molecule.
        charge: −2 … 2, the protons given or taken.
        rng: source of randomness.
        zwitterion: move one proton from an acid to a base, too.
    """
    given, taken = max(charge, 0) + zwitterion, max(-charge, 0) + zwitterion
    with rdBase.BlockLogs():
        molecule: Chem.Mol | None = Chem.MolFromSmiles(smiles)
        for _ in range(given):
            molecule = molecule and _moved(molecule, 1, rng)
        for _ in range(taken):
            molecule = molecule and _moved(molecule, -1, rng)
    return None if molecule is None else Chem.MolToSmiles(molecule)


def tautomers(smiles: str, limit: int = 4) -> list[str]:
    """Other tautomers of the molecule by RDKit's rules, at most ``limit``, by canonical SMILES."""
    enumerator = rdMolStandardize.TautomerEnumerator()
    enumerator.SetMaxTautomers(30)
    with rdBase.BlockLogs():
        start = Chem.MolFromSmiles(smiles)
        found = {Chem.MolToSmiles(m) for m in enumerator.Enumerate(start)} - {Chem.MolToSmiles(start)}
    return sorted(found)[:limit]


def _moved(molecule: Chem.Mol, charge: int, rng: random.Random) -> Chem.Mol | None:
    """One proton given (1) or taken (−1) at a random neutral site, not within four bonds of a charge of its sign."""
    charges = [a.GetFormalCharge() for a in molecule.GetAtoms()]
    bonds = Chem.GetDistanceMatrix(molecule)
    places = [
        i
        for i in sites(molecule, BASES if charge > 0 else ACIDS)
        if charges[i] == 0 and all(bonds[i][j] > APART for j, q in enumerate(charges) if q == charge)
    ]
    if not places:
        return None
    new = Chem.RWMol(molecule)
    atom = new.GetAtomWithIdx(rng.choice(places))
    atom.SetNumExplicitHs(atom.GetTotalNumHs() + charge)
    atom.SetNoImplicit(what=True)
    atom.SetFormalCharge(charge)
    return sanitised(new)
