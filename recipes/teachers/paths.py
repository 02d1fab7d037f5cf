"""Structures along reactions of closed shells, labelled with AIQM2: bonds formed and broken in rings of atoms.

    python recipes/teachers/paths.py FOLDER --weights WEIGHTS --data DATA [--seed 1] [--blocks 300] [--kind additions]

``mixed``: cycloadditions (Diels–Alder with carbon and hetero atoms, 1,3-dipolar), electrocyclic openings, Cope and
Claisen rearrangements, ene reactions and shifts of hydrogen, of molecules with random substituents. ``additions``: more
dipoles and cyclic dienes, with the reactants far apart at the end, so that barriers are among the differences. The
lengths of the bonds that form or break are held by GFN2-xTB while all else relaxes a little, from product to reactants.
FOLDER gets one file a path, ``SEED-00012.extxyz``; those that are there are left out, so that the command goes on
where it was stopped; those of reactions that could not be made are empty. To one file of arrays:

    cat FOLDER/*.extxyz > paths.extxyz && python recipes/teachers/energies.py pack paths.extxyz paths.npz.xz
"""

import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
from aiqm2 import AIQM2
from ase import Atoms
from ase.build.connected import connected_indices
from ase.calculators.singlepoint import SinglePointCalculator
from rdkit import Chem, RDLogger
from run import arguments, forbidden

from nddo_ml.generate import geometries
from nddo_ml.generate.exclusion import BOND_FACTOR, Exclusion, skeletons_of_atoms

R = "R"  # in a template: a random substituent
SUBSTITUENTS = ("", "", "", "C", "CC", "OC", "C(C)=O", "C#N", "C(=O)OC", "N(C)C", "c9ccccc9", "C=C", "CO", "C(N)=O")
FORMED, BROKEN = 1.5, 3.2  # Å
TOGETHER = (1.55, 1.8, 2.0, 2.15, 2.3, 2.55, 2.9)  # both bonds of a cycloaddition, or the one of an opening
APART = 6.0  # Å, that reactants are moved away from each other
EXCHANGED = ((1.56, 2.9), (1.62, 2.4), (1.75, 2.15), (1.95, 2.0), (2.2, 1.8), (2.6, 1.62))  # C–C against C–C
SHIFTED = ((1.10, 2.4), (1.15, 1.8), (1.25, 1.5), (1.37, 1.37), (1.5, 1.25))  # X–H against H–Y
CYCLES = 8  # of a relaxation
FORCE = 0.5  # hartree/bohr², holds a length
LARGEST_SIZE = 12  # heavy atoms
LARGEST = 12.0  # eV between the lowest and the highest structure of a path that is kept

# SMILES of the product with map numbers, and the bonds that are held: pairs of map numbers of those that break, then
# of those that form; "H" stands for a hydrogen of the first atom of its pair, which moves.
TEMPLATES = {
    "mixed": (
        ("[C:1]1(R)[C:2](R)[C:3](R)C(R)=C(R)[C:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3](R)C(R)=C(R)[C:4]1(R)", ((1, 4), (2, 3)), ()),
        ("[O:1]1[C:2](R)[C:3](R)C(R)=C(R)[C:4]1", ((1, 4), (2, 3)), ()),
        ("[N:1]1(R)[C:2](R)[C:3](R)C(R)=C(R)[C:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3](R)C(R)=C(R)[O:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3]2C=C[C:4]1C2", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3]2C=C[C:4]1O2", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)=[C:2](R)[C:3](R)C(R)=C(R)[C:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3](R)=N[O:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3](R)N(R)[O:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3](R)N=[N:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[N:3](R)N=[N:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)=[C:2](R)[N:3](R)N=[N:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)[C:3](R)N(R)[C:4]1", ((1, 4), (2, 3)), ()),
        ("[C:1]1(R)[C:2](R)C(R)=C1R", ((1, 2),), ()),
        ("[C:1]1(R)[C:2](R)C(R)=CC=C1R", ((1, 2),), ()),
        ("[C:1]1(R)[O:2]C(R)=CC=C1R", ((1, 2),), ()),
        ("[C:1](R)([C:2](R)C=[C:3]R)C=[C:4]R", ((1, 2),), ((3, 4),)),
        ("[O:1]([C:2](R)C=[C:3]R)C(R)=[C:4]R", ((1, 2),), ((3, 4),)),
        ("[N:1](R)([C:2](R)C=[C:3]R)C(R)=[C:4]R", ((1, 2),), ((3, 4),)),
        ("[C:1](R)([C:2](R)[O:5])C(R)=[C:3]R", ((1, 2), ("H", 5)), ((5, 3),)),
        ("[C:1](R)([C:2](R)C[C:5]R)C(R)=[C:3]R", ((1, 2), ("H", 5)), ((5, 3),)),
        ("[C:5]/C=C\\C(R)=[C:3]R", (("H", 5),), ((5, 3),)),
        ("[O:5]/C(R)=C\\C(R)=[O:3]", (("H", 5),), ((5, 3),)),
        ("[C:5]/C=C\\C(R)=[O:3]", (("H", 5),), ((5, 3),)),
        ("[N:5](R)C(R)=[O:3]", (("H", 5),), ((5, 3),)),
        ("[O:5]C(R)=[C:3]R", (("H", 5),), ((5, 3),)),
    ),
    "additions": tuple(
        (product, ((1, 4), (2, 3)), ())
        for product in (
            "[C:1]1(R)[C:2](R)[C:3](R)=N[O:4]1",  # nitrile oxides,
            "[C:1]1(R)=[C:2](R)[C:3](R)=N[O:4]1",
            "[N:1]1=[C:2](R)[O:3]N=[C:4]1R",
            "[C:1]1(R)[C:2](R)[N:3](R)N=[N:4]1",  # azides,
            "[C:1]1(R)=[C:2](R)[N:3](R)N=[N:4]1",
            "[N:1]1=[C:2](R)[N:3](R)N=[N:4]1",
            "[C:1]1(R)[C:2](R)[C:3](R)N=[N:4]1",  # diazoalkanes,
            "[C:1]1(R)=[C:2](R)[C:3](R)N=[N:4]1",
            "[C:1]1(R)[C:2](R)[C:3](R)=N[N:4]1R",  # nitrile imines and ylides,
            "[C:1]1(R)=[C:2](R)[C:3](R)=N[N:4]1R",
            "[C:1]1(R)[C:2](R)[C:3](R)=N[C:4]1R",
            "[C:1]1(R)[C:2](R)[C:3](R)N(R)[O:4]1",  # nitrones,
            "[C:1]1(R)[C:2](R)[C:3](R)N(R)[N:4]1R",  # azomethine imines and ylides,
            "[C:1]1(R)[C:2](R)[C:3](R)N(R)[C:4]1R",
            "[C:1]1(R)[C:2](R)[C:3](R)O[C:4]1R",  # carbonyl ylides,
            "[C:1]1(R)[C:2](R)[N:3](R)N(R)[O:4]1",  # azoxy compounds;
            "[C:1]1(R)[C:2](R)[C:3]2C=C(R)[C:4]1C2",  # cyclic dienes
            "[C:1]1(R)[C:2](R)[C:3]2C=C(R)[C:4]1O2",
            "[C:1]1(R)[C:2](R)[C:3]2C=C(R)[C:4]1N2R",
            "[C:1]12[C:2](C(R)C=C1)[C:3]1C=C(R)[C:4]2C1",
        )
    ),
}


def substituted(template: str, rng: random.Random) -> str | None:
    """The template's SMILES with random substituents, or None where they do not fit."""
    parts = template.replace("(R)", "\0").replace("R", "\0").split("\0")
    text = parts[0]
    for part in parts[1:]:
        group = rng.choice(SUBSTITUENTS)
        text += (f"({group})" if group and part else group) + part
    molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        return None
    for atom in molecule.GetAtoms():
        if atom.GetAtomMapNum():
            atom.SetNoImplicit(False)
            atom.SetNumRadicalElectrons(0)
    if Chem.SanitizeMol(molecule, catchErrors=True):
        return None
    return Chem.MolToSmiles(molecule)


def lengths(broken: int, formed: int, moves_hydrogen: bool) -> Iterator[list[float]]:
    """Lengths of the bonds that break, then of those that form, from one end of the path to the other."""
    if not formed:
        yield from ([r] * broken for r in TOGETHER)
    elif not moves_hydrogen:
        yield from ([r] * broken + [s] * formed for r, s in EXCHANGED)
    else:
        for k, (r, s) in enumerate(SHIFTED):
            yield [EXCHANGED[min(k, 3)][0]] * (broken - 1) + [r] + [s] * formed


def held_pairs(molecule: Chem.Mol, breaks: tuple, forms: tuple) -> list[tuple[int, int]] | None:
    """Atoms of the template's pairs, in its order; the moving hydrogen in those of its old and its new partner."""
    atom = {a.GetAtomMapNum(): a.GetIdx() for a in molecule.GetAtoms() if a.GetAtomMapNum()}
    moving = next((donor for kind, donor in breaks if kind == "H"), None)
    hydrogen = None
    if moving is not None:
        near = molecule.GetAtomWithIdx(atom[moving]).GetNeighbors()
        hydrogen = next((a.GetIdx() for a in near if a.GetAtomicNum() == 1), None)
        if hydrogen is None:
            return None
    pairs = [(hydrogen if a == "H" else atom[a], atom[b]) for a, b in breaks]
    return pairs + [(hydrogen if a == moving else atom[a], atom[b]) for a, b in forms]


def relaxed(atoms: Atoms, pairs: list[tuple[int, int]], at: list[float]) -> Atoms | None:
    """A few steps of GFN2-xTB with lengths held; None where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        held = "".join(f"  distance: {i + 1}, {j + 1}, {r:.3f}\n" for (i, j), r in zip(pairs, at, strict=True))
        Path(folder, "held.inp").write_text(f"$constrain\n  force constant={FORCE}\n{held}$end\n")
        ase.io.write(Path(folder, "start.xyz"), atoms)
        command = ["xtb", "start.xyz", "--opt", "crude", "--cycles", str(CYCLES), "--input", "held.inp"]
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        for name in ("xtbopt.xyz", "xtblast.xyz"):
            if Path(folder, name).is_file():
                return Atoms(atoms.numbers, ase.io.read(Path(folder, name)).positions)
    return None


def separated(atoms: Atoms, pairs: list[tuple[int, int]]) -> Atoms | None:
    """The two reactants far from each other, relaxed a little; None where they are still one."""
    (first, second), *_ = pairs
    part = connected_indices(atoms, second, scale=BOND_FACTOR)
    if first in part:
        return None
    moved = atoms.copy()
    towards = np.mean([atoms.positions[b] - atoms.positions[a] for a, b in pairs], axis=0)
    moved.positions[part] += APART * towards / np.linalg.norm(towards)
    return relaxed(moved, pairs, [moved.get_distance(a, b) for a, b in pairs])


def path_of(kind: str, rng: random.Random, exclusion: Exclusion, teacher: AIQM2) -> list[Atoms]:
    """The labelled structures of one reaction; empty where none could be made."""
    template, breaks, forms = rng.choice(TEMPLATES[kind])
    smiles = substituted(template, rng)
    if smiles is None:
        return []
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    plain = Chem.MolToSmiles(_unmapped(molecule))
    pairs = held_pairs(molecule, breaks, forms)
    if pairs is None or plain in exclusion or Chem.RemoveHs(molecule).GetNumAtoms() > LARGEST_SIZE:
        return []
    if kind == "additions" and _cut(smiles, breaks) in exclusion:
        return []
    made = geometries.molecule_with_conformers(smiles, 1, rng.randrange(2**31))
    if made is None:
        return []
    found, atoms = [], geometries.geometries(made)[0]
    steps = lengths(len(breaks), len(forms), any(a == "H" for a, _ in breaks))
    for at in (*steps, *([None] if kind == "additions" else [])):
        moved = separated(atoms, pairs) if at is None else relaxed(atoms, pairs, at)
        if moved is None or not geometries.sound(moved):
            break
        if not exclusion.skeletons.isdisjoint(skeletons_of_atoms(moved)):
            return []
        atoms = moved
        atoms.positions = np.round(atoms.positions - atoms.positions.mean(0), 4)
        atoms.info = {"smiles": plain, "kind": "path"}
        found.append(atoms.copy())
    return _labelled(found, teacher) if len(found) > 2 else []


def _labelled(frames: list[Atoms], teacher: AIQM2) -> list[Atoms]:
    for atoms in frames:
        atoms.calc = teacher
        energy = atoms.get_potential_energy()
        atoms.info["energy_spread"] = round(float(teacher.results["energy_spread"]), 5)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    energies = np.array([a.get_potential_energy() for a in frames])
    return frames if np.ptp(energies) < LARGEST else []


def _cut(smiles: str, breaks: tuple[tuple[int, int], ...]) -> str:
    """The reactants, as far as skeletons tell: what is left without the bonds that are held."""
    molecule = Chem.RWMol(Chem.MolFromSmiles(smiles))
    atom = {a.GetAtomMapNum(): a.GetIdx() for a in molecule.GetAtoms()}
    for a, b in breaks:
        molecule.RemoveBond(atom[a], atom[b])
    return Chem.MolToSmiles(molecule)


def _unmapped(molecule: Chem.Mol) -> Chem.Mol:
    plain = Chem.RemoveHs(molecule)
    for atom in plain.GetAtoms():
        atom.SetAtomMapNum(0)
    return plain


def main() -> None:
    """See the module."""
    options = arguments(__doc__, tuple(TEMPLATES))
    RDLogger.DisableLog("rdApp.*")
    options.folder.mkdir(parents=True, exist_ok=True)
    exclusion, teacher = forbidden(options.data, options.excluded), AIQM2(str(options.weights))
    for k in range(options.blocks):
        target = options.folder / f"{options.seed}-{k:05d}.extxyz"
        if target.is_file():
            continue
        frames = path_of(options.kind, random.Random(f"{options.seed} {k}"), exclusion, teacher)
        part = target.with_suffix(".part")
        ase.io.write(part, frames, format="extxyz") if frames else part.write_text("")
        part.rename(target)


if __name__ == "__main__":
    main()
