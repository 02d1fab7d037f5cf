"""Structures that molecules at rest do not show, labelled with AIMNet2 block by block.

    python recipes/teachers/special.py FOLDER --weights WEIGHTS --data DATA [--seed 1] [--blocks 20]

Each block, ``special-SEED-00012.npz``, has molecules with their tautomers or states of protonation (relaxed a little),
inversions of pyramidal nitrogen and phosphorus, angles at O, S and N opened towards a straight line, and dimers and ion
pairs with their molecules apart. Stops and goes on as ``run.py`` does. AIMNet2 is unproven for dimers.
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from aimnet2 import AIMNet2
from ase import Atoms
from rdkit import Chem, RDLogger
from run import Recorded, arguments, forbidden, marked, packed, relaxations, save, small_and_plain

from nddo_ml.generate import blocks, clusters, geometries, molecules, protonation
from nddo_ml.generate.exclusion import Exclusion

KINDS = ("tautomers", "protomers", "inversion", "straightening", "bowls", "dimers", "pairs")  # one of each in a block
ALONE = 5  # of these with one molecule
CURVATURES = (0.0, 0.02, 0.04, 0.06, 0.09, 0.12)  # 1/Å, of bowls
STEPS = 3
GROUPS = (("HCNO",), ("HCNO",), ("HCNO", "S"), ("HCNO", "F"), ("HCNO", "Cl"))
SMALL, MEDIUM = (4, 10), (6, 14)  # heavy atoms
CONTACTS = 6  # mutual orientations of a pair


class Maker:
    """Makes the groups of structures of a block from one source of randomness."""

    def __init__(self, seed: list[int], exclusion: Exclusion) -> None:
        self.rng = random.Random(str(seed))
        self.numpy = np.random.default_rng(seed)
        self.exclusion = exclusion

    def molecule(self, heavy: tuple[int, int]) -> str:
        """A neutral molecule that is not excluded."""
        while True:
            smiles = molecules.drug_like(self.rng, self.rng.choice(GROUPS), heavy)
            if smiles is not None and not (smiles in self.exclusion or small_and_plain(smiles) or _plain(smiles)):
                return smiles

    def conformers(self, smiles: str, count: int) -> list[Atoms]:
        made = geometries.molecule_with_conformers(smiles, count, self.rng.randrange(2**31))
        return [] if made is None else [a for a in geometries.geometries(made) if geometries.sound(a)]

    def tautomers(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        while not (others := protonation.tautomers(smiles := self.molecule(MEDIUM), 3)):
            pass
        for form in [smiles, *others]:
            yield form, "tautomer", self.conformers(form, 2)

    def protomers(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        forms: set[str | None] = set()
        while len(forms - {None}) < 2:
            smiles = self.molecule(MEDIUM)
            forms = {smiles, *(protonation.ionised(smiles, q, self.rng) for q in (-1, -1, 1, 1))}
        for form in sorted(f for f in forms if f):
            yield form, "protomer", self.conformers(form, 2)

    def inversion(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        yield from self._paths(
            "[NX3;!$(N-*=*);!$(N-a);!R,PX3]", "inversion", lambda a, k: geometries.inversion(a, k, 7)
        )

    def straightening(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        pattern = "[OX2;!R,SX2;!R,NX2H]"
        yield from self._paths(pattern, "straight", lambda a, k: geometries.straightening(a, k, 6))

    def bowls(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        flat: list[Atoms] = []
        while not flat:
            larger = molecules.attached(
                Chem.MolFromSmiles(self.rng.choice(blocks.BOWLS)), self.rng.choice(blocks.ENDS["HCNO"]), self.rng
            )
            smiles = None if larger is None else molecules.chosen_stereoisomer(larger, self.rng)
            flat = [] if smiles is None or smiles in self.exclusion else self.conformers(smiles, 1)
        yield smiles, "bowl", geometries.curved(flat[0], CURVATURES)

    def dimers(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        yield from self._contacts(self.molecule(SMALL), self.molecule(SMALL), "dimer")

    def pairs(self) -> Iterator[tuple[str, str, list[Atoms]]]:
        first = second = None
        while first is None or second is None:
            first = protonation.ionised(self.molecule(SMALL), 1, self.rng)
            second = protonation.ionised(self.molecule(SMALL), -1, self.rng)
        yield from self._contacts(first, second, "pair")

    def _contacts(self, first: str, second: str, kind: str) -> Iterator[tuple[str, str, list[Atoms]]]:
        apart = [self.conformers(s, 1) for s in (first, second)]
        if all(apart):
            (one, *_), (other, *_) = apart
            yield first, "monomer", [one]
            yield second, "monomer", [other]
            yield f"{first}.{second}", kind, [clusters.pair(one, other, self.numpy) for _ in range(CONTACTS)]

    def _paths(self, pattern: str, kind: str, path) -> Iterator[tuple[str, str, list[Atoms]]]:
        found: list[Atoms] = []
        while not found:
            smiles = self.molecule(MEDIUM)
            centres = Chem.MolFromSmiles(smiles).GetSubstructMatches(Chem.MolFromSmarts(pattern))
            starts = self.conformers(smiles, 1) if centres else []
            found = path(starts[0], centres[0][0]) if starts else []
        yield smiles, kind, [starts[0], *found]


def block_of(maker: Maker, model: Recorded, kinds: Sequence[str] = KINDS) -> tuple[list[Atoms], list[str], list[int]]:
    """The labelled structures, the molecules and the group that each belongs to."""
    frames: list[Atoms] = []
    names: list[str] = []
    groups: list[int] = []
    for group, make in enumerate(kinds):
        for smiles, kind, structures in getattr(maker, make)():
            if not structures or smiles in names:
                continue
            names.append(smiles)
            groups.append(group)
            starts = [marked([a], smiles, kind)[0] for a in structures]
            steps = 1 if kind in ("inversion", "straight") else STEPS  # bonds give way, the path stays
            for _, path in relaxations(starts, model, steps):
                frames += marked(path, smiles, kind)
    return frames, names, groups


def _plain(smiles: str) -> bool:
    """Hydrocarbons: what special structures there are, they do not show."""
    return {a.GetAtomicNum() for a in Chem.MolFromSmiles(smiles).GetAtoms()} <= {1, 6}


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    RDLogger.DisableLog("rdApp.*")
    options.folder.mkdir(exist_ok=True)
    exclusion = forbidden(options.data, options.excluded)
    teacher = AIMNet2(str(options.weights / "aimnet2_wb97m-d3_ens.jpt"))
    for k in range(options.blocks):
        path = options.folder / f"special-{options.seed}-{k:05d}.npz"
        if not path.is_file():
            model = Recorded(teacher)
            frames, names, groups = block_of(
                Maker([options.seed, k], exclusion), model, KINDS[: ALONE if options.brief else None]
            )
            save(path, packed(frames, model, names) | {"group": np.array(groups, dtype=np.int16)})


if __name__ == "__main__":
    main()
