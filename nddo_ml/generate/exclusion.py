"""Molecules that must not come into training data, known by their skeletons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase

if TYPE_CHECKING:
    from ase import Atoms

BOND_FACTOR = 1.3  # atoms nearer than this times the sum of their covalent radii are bonded


def skeletons(smiles: str) -> set[str]:
    """Skeletons of a molecule's parts: heavy atoms and which of them are bonded, no hydrogens, orders or charges.

    Stereoisomers, tautomers and all states of protonation have one skeleton.

    Raises:
        ValueError: RDKit cannot read the SMILES.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None:
        raise ValueError(f"expected a SMILES that RDKit reads; got {smiles!r}")
    heavy = [a for a in molecule.GetAtoms() if a.GetAtomicNum() > 1]
    place = {a.GetIdx(): k for k, a in enumerate(heavy)}
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]
    pairs = [(place[i], place[j]) for i, j in bonds if i in place and j in place]
    return set(_parts([a.GetAtomicNum() for a in heavy], pairs))


def skeletons_of_atoms(atoms: Atoms) -> set[str]:
    """Skeletons of the parts of a geometry, heavy atoms bonded where nearer than 1.3 sums of covalent radii."""
    from ase.data import covalent_radii

    heavy = atoms[[k for k, z in enumerate(atoms.numbers) if z > 1]]
    radii = covalent_radii[heavy.numbers]
    near = heavy.get_all_distances() < BOND_FACTOR * (radii[:, None] + radii)
    pairs = [(i, j) for i in range(len(heavy)) for j in range(i + 1, len(heavy)) if near[i, j]]
    return set(_parts(heavy.numbers.tolist(), pairs))


class Exclusion:
    """A set of skeletons; ``smiles in exclusion`` asks whether any part of a molecule is one of them."""

    def __init__(self, smiles: Iterable[str] = (), geometries: Iterable[Atoms] = ()) -> None:
        self.skeletons: set[str] = set()
        for text in smiles:
            self.skeletons |= skeletons(text)
        for atoms in geometries:
            self.skeletons |= skeletons_of_atoms(atoms)

    def __contains__(self, smiles: str) -> bool:
        return not self.skeletons.isdisjoint(skeletons(smiles))


def _parts(numbers: list[int], pairs: list[tuple[int, int]]) -> Iterator[str]:
    """One canonical SMILES of single bonds for every connected part."""
    skeleton = Chem.RWMol()
    for number in numbers:
        atom = Chem.Atom(number)
        atom.SetNoImplicit(what=True)
        skeleton.AddAtom(atom)
    for i, j in pairs:
        skeleton.AddBond(i, j, Chem.BondType.SINGLE)
    yield from (part for part in Chem.MolToSmiles(skeleton).split(".") if part)
