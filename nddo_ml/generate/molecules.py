"""Random molecules assembled from building blocks, as canonical SMILES with one stereoisomer chosen."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rdkit import Chem, rdBase
from rdkit.Chem.EnumerateStereoisomers import EnumerateStereoisomers, StereoEnumerationOptions

from nddo_ml.generate import blocks

SUBSTITUTIONS = (1, 1, 2, 2, 2, 3)  # blocks on a core, drawn from these
UNLIKELY = tuple(  # what no stable molecule has
    Chem.MolFromSmarts(s)
    for s in (
        *("[OX2][OX2]", "[SX2][OX2]", "[SX2][NX3,F,Cl,Br,I]", "[NX3]S[NX3]", "[N,O][F,Cl,Br,I]", "[PX3][OX2,NX3]"),
        *(
            "[NX3][NX3][NX3]",
            "[OX2][NX3][OX2]",
            "[NX3][OX2][NX3]",
            "[NX3]([NX3,OX2])[NX3,OX2]",
            "[NX3][CX4][F,Cl,Br,I]",
        ),
        *("[CX4]([OH,NH2])([OX2,NX3])", "[CX4]([F,Cl,Br,I])([OX2H,NX3])", "C=C[OH]", "[N;H2]C=C", "C=C=C"),
    )
)
GLYCOSIDE = 0.3  # of the nucleobases that carry a sugar


def drug_like(rng: random.Random, groups: Sequence[str] = ("HCNO",), heavy: tuple[int, int] = (9, 25)) -> str | None:
    """A ring or a chain with ends, links and further rings; None where a draw does not give a molecule.

    Args:
        rng: source of randomness.
        groups: keys of the building blocks; of those other than HCNO at least one is drawn from.
        heavy: smallest and largest number of heavy atoms.
    """
    core = _pick(rng, blocks.RINGS, groups) if rng.random() < 0.85 else _bare(rng.choice(blocks.LINKS["HCNO"]))
    with rdBase.BlockLogs():
        molecule: Chem.Mol | None = Chem.MolFromSmiles(core)
        for _ in range(rng.choice(SUBSTITUTIONS)):
            molecule = molecule and _extended(molecule, rng, groups)
        if molecule is None or not heavy[0] <= molecule.GetNumAtoms() <= heavy[1]:
            return None
        if not _present(molecule, groups) or any(molecule.HasSubstructMatch(p) for p in UNLIKELY):
            return None
        return chosen_stereoisomer(molecule, rng)


def peptide(rng: random.Random, residues: int, zwitterion: bool = False) -> str | None:
    """A chain of random residues of either hand, capped, free or as a zwitterion."""
    chain = ""
    for _ in range(residues):
        name = rng.choice((*blocks.SIDE_CHAINS, "P"))
        if name == "P":
            chain += "N9CCCC9C(=O)"
        else:
            side = blocks.SIDE_CHAINS[name]
            chain += f"NC({side})C(=O)" if side else "NCC(=O)"
    start, end = rng.choice(blocks.CAPS)
    smiles = start + chain + end
    if zwitterion:
        smiles = ("[NH2+]" if chain.startswith("N9") else "[NH3+]") + chain[1:] + "[O-]"
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        return None if molecule is None else chosen_stereoisomer(molecule, rng)


def sugar(rng: random.Random) -> str | None:
    """A pyranose or furanose with one or two changed substituents."""
    with rdBase.BlockLogs():
        molecule: Chem.Mol | None = Chem.MolFromSmiles(rng.choice(blocks.PYRANOSES + blocks.FURANOSES))
        for _ in range(rng.choice((1, 2, 2))):
            molecule = molecule and attached(molecule, rng.choice(blocks.SUGAR_CHANGES), rng)
        return None if molecule is None else chosen_stereoisomer(molecule, rng)


def nucleobase(rng: random.Random) -> str | None:
    """A nucleobase with substituents or on a sugar."""
    with rdBase.BlockLogs():
        molecule: Chem.Mol | None = Chem.MolFromSmiles(rng.choice(blocks.NUCLEOBASES))
        if rng.random() < GLYCOSIDE:
            molecule = molecule and attached(molecule, rng.choice(("*C1CCCO1", "*C1CCC(CO)O1", "*C1OCC(O)C1O")), rng)
        else:
            for _ in range(rng.choice((1, 2))):
                molecule = molecule and attached(molecule, rng.choice(blocks.ENDS["HCNO"][:30]), rng)
        return None if molecule is None else chosen_stereoisomer(molecule, rng)


def attached(molecule: Chem.Mol, block: str, rng: random.Random) -> Chem.Mol | None:
    """The molecule with a block (its first ``*``) in the place of a random hydrogen of C or N; None if none fits."""
    places = [a.GetIdx() for a in molecule.GetAtoms() if a.GetTotalNumHs() and a.GetAtomicNum() in (6, 7)]
    part = Chem.MolFromSmiles(block)
    if not places or part is None:
        return None
    place = rng.choice(places)
    joined = Chem.RWMol(Chem.CombineMols(molecule, part))
    dummy = next(a for a in joined.GetAtoms() if a.GetAtomicNum() == 0)
    atom = joined.GetAtomWithIdx(place)
    atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - 1))
    joined.AddBond(place, dummy.GetNeighbors()[0].GetIdx(), Chem.BondType.SINGLE)
    joined.RemoveAtom(dummy.GetIdx())
    return sanitised(joined)


def sanitised(molecule: Chem.Mol) -> Chem.Mol | None:
    """The molecule read again from its SMILES, so that valences and aromaticity are checked; None if they fail."""
    return Chem.MolFromSmiles(Chem.MolToSmiles(molecule))


def chosen_stereoisomer(molecule: Chem.Mol, rng: random.Random) -> str:
    """Canonical SMILES of one random stereoisomer: centres that are set already stay."""
    options = StereoEnumerationOptions(maxIsomers=1, rand=rng.randrange(2**31), onlyUnassigned=True)
    isomer = next(iter(EnumerateStereoisomers(molecule, options=options)))
    return Chem.MolToSmiles(isomer)


def _extended(molecule: Chem.Mol, rng: random.Random, groups: Sequence[str]) -> Chem.Mol | None:
    """An end at once, or a link with a ring or an end behind it."""
    draw = rng.random()
    if draw < 0.45:
        return attached(molecule, _pick(rng, blocks.ENDS, groups), rng)
    if draw < 0.6:
        return attached(molecule, _marked(_pick(rng, blocks.RINGS, groups), rng), rng)
    link = _pick(rng, blocks.LINKS, groups)
    behind = _pick(rng, blocks.ENDS, groups) if draw < 0.75 else _marked(_pick(rng, blocks.RINGS, groups), rng)
    return attached(molecule, _joined(link, behind, rng), rng)


def _joined(link: str, following: str, rng: random.Random) -> str:
    """One block of a link, turned at random, and what follows it; the first ``*`` is left."""
    pieces = Chem.RWMol(Chem.CombineMols(Chem.MolFromSmiles(link), Chem.MolFromSmiles(following)))
    dummies = [a.GetIdx() for a in pieces.GetAtoms() if a.GetAtomicNum() == 0]
    inner = rng.choice(dummies[:2])
    start, end = (pieces.GetAtomWithIdx(d).GetNeighbors()[0].GetIdx() for d in (inner, dummies[2]))
    pieces.AddBond(start, end, Chem.BondType.SINGLE)
    for d in sorted((inner, dummies[2]), reverse=True):
        pieces.RemoveAtom(d)
    return Chem.MolToSmiles(pieces)


def _marked(ring: str, rng: random.Random) -> str:
    """A ring as a block: ``*`` in the place of a random hydrogen."""
    marked = attached(Chem.MolFromSmiles(ring), "*[Xe]", rng)  # a placeholder that no block has
    if marked is None:
        return "*C"
    for atom in marked.GetAtoms():
        if atom.GetSymbol() == "Xe":
            atom.SetAtomicNum(0)
            atom.SetNoImplicit(what=False)
    return Chem.MolToSmiles(marked)


def _pick(rng: random.Random, table: dict[str, tuple[str, ...]], groups: Sequence[str]) -> str:
    """A block of HCNO, or every second time of one of the other groups."""
    special = [g for g in groups if g != "HCNO" and table[g]]
    return rng.choice(table[rng.choice(special)] if special and rng.random() < 0.5 else table["HCNO"])


def _bare(block: str) -> str:
    """A link whose ends are hydrogens."""
    molecule = Chem.MolFromSmiles(block)
    return Chem.MolToSmiles(Chem.DeleteSubstructs(molecule, Chem.MolFromSmarts("[#0]")))


def _present(molecule: Chem.Mol, groups: Sequence[str]) -> bool:
    """Whether the elements of the special groups occur: one of them at least."""
    special = {"S": 16, "F": 9, "Cl": 17, "P": 15, "Br": 35, "I": 53}
    wanted = {special[e] for g in groups for e in special if g != "HCNO" and e in (g, g[:1], g[1:])}
    return not wanted or any(a.GetAtomicNum() in wanted for a in molecule.GetAtoms())
