"""New molecules, made from those of the conformers by small changes, pushed out of their minima, to be labelled.

    pip install rdkit
    python recipes/molecules.py conformers_train.extxyz conformers_test.extxyz new.extxyz
    nddo-ml label new.extxyz -o labels.extxyz --functional sos-mp2 --density-fitting weigend --convergence 2e-6

One to three times in a molecule an element is exchanged, an atom added or removed, the order of a bond changed or a
ring closed. Kept are molecules of two to eight heavy atoms that the conformers lack, none with a formula of the test,
at most thirty of a formula. RDKit gives first coordinates, the shipped hybrid relaxes them roughly, and they are
displaced along the modes of the model Hessian of the optimiser, at temperatures from 200 to 2,600 K, which gives forces
as large as those of the conformers.
"""

import random
import sys
from collections import Counter

import ase.io
import numpy as np
import torch
from ase import Atoms, units
from rdkit import Chem, RDLogger
from rdkit.Chem import AllChem, rdDetermineBonds, rdMolDescriptors

from nddo_ml import Systems, load_model
from nddo_ml.workflows.model_hessian import model_hessian
from nddo_ml.workflows.optimize import optimize

COUNT, TRIES = 6000, 900_000
HEAVY = (2, 8)
OF_A_FORMULA = 30  # molecules at most
VALENCE = {6: 4, 7: 3, 8: 2}
ORDERS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
CHANGES = ("exchange",) * 3 + ("add",) * 2 + ("remove", "raise", "lower", "close")
TEMPERATURES = (200.0, 2600.0)  # K
LARGEST = 2.0  # standard deviations of a mode
BATCH = 100
CLOSEST, STRONGEST = 0.6, 4.0  # Å between two atoms; eV/Å, mean force of a structure in the hybrid


def _smiles(molecule: Chem.Mol) -> str:
    return Chem.MolToSmiles(molecule, isomericSmiles=False)


def smiles_of(atoms: Atoms) -> str | None:
    """SMILES of a neutral closed shell of one piece; None where no such bonds are found."""
    block = f"{len(atoms)}\n\n" + "\n".join(
        f"{s} {x:.5f} {y:.5f} {z:.5f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)
    )
    try:
        molecule = Chem.MolFromXYZBlock(block)
        rdDetermineBonds.DetermineBonds(molecule, charge=0, allowChargedFragments=False)
        smiles = _smiles(Chem.RemoveHs(molecule))
    except (ValueError, RuntimeError):
        return None
    odd = any(a.GetNumRadicalElectrons() or a.GetFormalCharge() for a in molecule.GetAtoms())
    return None if odd or "." in smiles else smiles


def changed(molecule: Chem.Mol) -> Chem.Mol | None:
    """The molecule with one random change; None where the valences do not allow it."""
    new = Chem.RWMol(molecule)
    Chem.Kekulize(new, clearAromaticFlags=True)
    atoms, bonds = list(new.GetAtoms()), list(new.GetBonds())
    used = {a.GetIdx(): int(sum(b.GetBondTypeAsDouble() for b in a.GetBonds())) for a in atoms}

    def free(*some: Chem.Atom) -> bool:
        return all(VALENCE[a.GetAtomicNum()] > used[a.GetIdx()] for a in some)

    change = random.choice(CHANGES)
    if change == "exchange":
        atom, number = random.choice(atoms), random.choice((6, 6, 7, 7, 8))
        if number == atom.GetAtomicNum() or VALENCE[number] < used[atom.GetIdx()]:
            return None
        atom.SetAtomicNum(number)
    elif change == "add":
        atom = random.choice(atoms)
        if not free(atom):
            return None
        new.AddBond(atom.GetIdx(), new.AddAtom(Chem.Atom(random.choice((6, 6, 7, 8)))), ORDERS[1])
    elif change == "remove":
        ends = [a for a in atoms if a.GetDegree() == 1]
        if not ends:
            return None
        new.RemoveAtom(random.choice(ends).GetIdx())
    elif change in ("raise", "lower"):
        if not bonds:
            return None
        bond = random.choice(bonds)
        order = int(bond.GetBondTypeAsDouble()) + (1 if change == "raise" else -1)
        if order not in ORDERS or (change == "raise" and not free(bond.GetBeginAtom(), bond.GetEndAtom())):
            return None
        bond.SetBondType(ORDERS[order])
    else:
        if len(atoms) < 3:
            return None
        a, b = random.sample(atoms, 2)
        if new.GetBondBetweenAtoms(a.GetIdx(), b.GetIdx()) or not free(a, b):
            return None
        new.AddBond(a.GetIdx(), b.GetIdx(), ORDERS[1])
    for atom in new.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
    Chem.SanitizeMol(new)
    return Chem.MolFromSmiles(_smiles(new))


def possible(molecule: Chem.Mol) -> bool:
    """Neither in pieces nor strained beyond what the conformers are."""
    rings = molecule.GetRingInfo()
    orders = [[molecule.GetBondWithIdx(k).GetBondTypeAsDouble() for k in ring] for ring in rings.BondRings()]
    return (
        "." not in _smiles(molecule)
        and HEAVY[0] <= molecule.GetNumAtoms() <= HEAVY[1]
        and len(orders) <= 3
        and not any(3.0 in ring for ring in orders)
        and not any(len(ring) == 3 and max(ring) > 1 for ring in orders)
    )


def structure(smiles: str) -> Atoms | None:
    """First coordinates from a force field."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if AllChem.EmbedMolecule(molecule, randomSeed=random.randrange(10**6), maxAttempts=5):
        return None
    if AllChem.MMFFOptimizeMolecule(molecule, maxIters=500) < 0:
        AllChem.UFFOptimizeMolecule(molecule, maxIters=500)
    symbols = [a.GetSymbol() for a in molecule.GetAtoms()]
    return Atoms(symbols, molecule.GetConformer().GetPositions(), info={"smiles": smiles})


def new_molecules(conformers: list[Atoms], test: list[Atoms]) -> list[Atoms]:
    """Molecules that the conformers lack."""
    present = {s for a in conformers if (s := smiles_of(a)) is not None}
    starts = sorted(present)
    forbidden = {a.get_chemical_formula() for a in test}
    found: dict[str, Atoms] = {}
    formulas: Counter[str] = Counter()
    for _ in range(TRIES):
        molecule: Chem.Mol | None = Chem.MolFromSmiles(random.choice(starts))
        try:
            for _ in range(random.choice((1, 2, 2, 3))):
                molecule = molecule and changed(molecule)
        except (ValueError, RuntimeError):  # RDKit's own errors: not a molecule
            continue
        if molecule is None or not possible(molecule):
            continue
        smiles, formula = _smiles(molecule), rdMolDescriptors.CalcMolFormula(molecule)
        full = formulas[formula] == OF_A_FORMULA
        if smiles in found or smiles in present or formula in forbidden or full:
            continue
        if (atoms := structure(smiles)) is not None:
            found[smiles] = atoms
            formulas[formula] += 1
        if len(found) == COUNT:
            break
    return random.sample(list(found.values()), len(found))


def displaced(batch: list[Atoms], rng: np.random.Generator) -> list[Atoms]:
    """Each molecule relaxed and pushed along its modes; without those that came too close or tear apart."""
    hybrid = load_model("hybrid-chno")
    systems = optimize(Systems.from_ase(batch), hybrid, fmax=0.3, max_steps=12).systems
    sizes = systems.atoms_per_system.tolist()
    slot = torch.cat([torch.arange(n) for n in sizes])
    hessians = model_hessian(systems, slot, max(sizes)).numpy()
    positions = systems.positions.detach().split(sizes)
    for atoms, start, hessian in zip(batch, positions, hessians, strict=True):
        n = 3 * len(atoms)
        curvature, modes = np.linalg.eigh(hessian[:n, :n])
        variance = units.kB * rng.uniform(*TEMPERATURES) / curvature
        steps = np.clip(rng.normal(size=n), -LARGEST, LARGEST) * np.sqrt(variance)
        atoms.positions = start.numpy() + (modes @ steps).reshape(-1, 3)
    forces = hybrid(Systems.from_ase(batch), forces=True).forces.detach().split(sizes)
    return [
        a
        for a, f in zip(batch, forces, strict=True)
        if float(f.abs().mean()) < STRONGEST and a.get_all_distances()[np.triu_indices(len(a), 1)].min() > CLOSEST
    ]


if __name__ == "__main__":
    RDLogger.DisableLog("rdApp.*")
    random.seed(2)
    conformers, test, target = sys.argv[1:]
    made = new_molecules(ase.io.read(conformers, ":"), ase.io.read(test, ":"))
    kept = []
    for k in range(0, len(made), BATCH):
        batch = displaced(made[k : k + BATCH], np.random.default_rng([7, k // BATCH]))
        for n, atoms in enumerate(batch):
            atoms.info["id"] = f"m{k + n}"
        kept += batch
    ase.io.write(target, kept)
