"""Reactants and products of known reactions: ``python tests/references/make_reactions.py``, with RDKit.

Each product has its reactant's atoms in the same order; of sixty conformers of each the two that are nearest to one
another are taken. Then, with ``mopac`` on the PATH, the saddle point that ``nddo-ml reaction`` finds with AM1 is moved
at random by 0.03 Å and given to MOPAC's TS and FORCE. On the Cope rearrangement's plateau FORCE finds no imaginary
mode.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

# name: SMILES of the reactant, bonds of the product that differ (atoms by their place in the SMILES, hydrogens as h and
# the place of the atom they are on; order 0 is no bond)
REACTIONS = {
    "vinyl alcohol to acetaldehyde": ("C=CO", {(0, 1): 1, (1, 2): 2, (2, "h2"): 0, (0, "h2"): 1}),
    "butadiene to cyclobutene": ("C=CC=C", {(0, 1): 1, (1, 2): 2, (2, 3): 1, (0, 3): 1}),
    "Claisen": ("C=COCC=C", {(0, 1): 1, (1, 2): 2, (2, 3): 0, (3, 4): 2, (4, 5): 1, (0, 5): 1}),
    "Cope": ("C=CCCC=C", {(0, 1): 1, (1, 2): 2, (2, 3): 0, (3, 4): 2, (4, 5): 1, (0, 5): 1}),
    "malonaldehyde": ("O=CC=CO", {(0, 1): 1, (1, 2): 2, (2, 3): 1, (3, 4): 2, (4, "h4"): 0, (0, "h4"): 1}),
    "formamide to formimidic acid": ("O=CN", {(0, 1): 1, (1, 2): 2, (2, "h2"): 0, (0, "h2"): 1}),
    "pentadiene, 1,5-shift": (
        "C=C/C=C\\C",
        {(0, 1): 1, (1, 2): 2, (2, 3): 1, (3, 4): 2, (4, "h4"): 0, (0, "h4"): 1},
    ),
    "retro-ene of butene-ol": ("C=CCCO", {(0, 1): 1, (1, 2): 2, (2, 3): 0, (3, 4): 2, (4, "h4"): 0, (0, "h4"): 1}),
    "acetic acid, proton transfer": ("CC(=O)O", {(1, 2): 1, (1, 3): 2, (3, "h3"): 0, (2, "h3"): 1}),
    "hexatriene to cyclohexadiene": (
        "C=C/C=C\\C=C",
        {(0, 1): 1, (1, 2): 2, (2, 3): 1, (3, 4): 2, (4, 5): 1, (0, 5): 1},
    ),
    "cyclopentadiene, 1,5-shift": (
        "C1C=CC=C1",
        {(1, 2): 1, (2, 3): 2, (3, 4): 1, (0, 4): 2, (0, "h0"): 0, (1, "h0"): 1},
    ),
    "ethyl formate to ethene": ("CCOC=O", {(0, 1): 2, (1, 2): 0, (2, 3): 2, (3, 4): 1, (0, "h0"): 0, (4, "h0"): 1}),
    "allyl formate": ("C=CCOC=O", {(0, 1): 1, (1, 2): 2, (2, 3): 0, (3, 4): 2, (4, 5): 1, (0, 5): 1}),
    "formamidine, proton transfer": ("NC=N", {(0, 1): 2, (1, 2): 1, (0, "h0"): 0, (2, "h0"): 1}),
    "retro-Diels-Alder": ("C1CC=CCC1", {(0, 1): 0, (1, 2): 2, (2, 3): 1, (3, 4): 2, (4, 5): 0, (0, 5): 2}),
}

_METHYL = [[1.03, 0], [-0.515, 0.892], [-0.515, -0.892]]  # Å, its hydrogens about z


def _exchange(halogen: str, far: float, near: float) -> tuple[list[str], list, list, int]:
    """A halide that comes to a halomethane from behind, and as it leaves."""
    symbols = [halogen, "C", halogen, "H", "H", "H"]
    before = [[0, 0, -far], [0, 0, 0], [0, 0, near], *([x, y, -0.3] for x, y in _METHYL)]
    after = [[0, 0, -near], [0, 0, 0], [0, 0, far], *([x, y, 0.3] for x, y in _METHYL)]
    return symbols, before, after, -1


GIVEN = {
    "hydrogen cyanide to isocyanide": (
        ["H", "C", "N"],
        [[-1.07, 0, 0], [0, 0, 0], [1.16, 0, 0]],
        [[2.16, 0.1, 0], [0, 0, 0], [1.16, 0, 0]],
        0,
    ),
    "methyl isocyanide to acetonitrile": (
        ["C", "N", "C", "H", "H", "H"],
        [[0, 0, 1.17], [0, 0, 0], [0, 0, -1.42], *([x, y, -1.8] for x, y in _METHYL)],
        [[0.1, 0, 0], [-0.1, 0, 1.16], [0, 0, -1.46], *([x, y, -1.84] for x, y in _METHYL)],
        0,
    ),
    "chloride with chloromethane": _exchange("Cl", 3.2, 1.8),
    "fluoride with fluoromethane": _exchange("F", 2.6, 1.4),
    "bromide with bromomethane": _exchange("Br", 3.3, 1.95),
}
CONFORMERS = 60
NOTES = (
    "positions Å of reactant and product, before relaxation; mopac: AM1 TS from the saddle point displaced by 0.03 Å, "
    "then FORCE: heat_of_formation kcal/mol, positions Å, frequency cm-1 of the imaginary mode"
)


def molecules(smiles: str, changes: dict) -> tuple[Chem.Mol, Chem.Mol]:
    """Reactant and product."""
    reactant = Chem.AddHs(Chem.MolFromSmiles(smiles))
    product = Chem.RWMol(reactant)
    Chem.Kekulize(product, clearAromaticFlags=True)
    moved: dict[str, int] = {}

    def index(place: int | str) -> int:
        if isinstance(place, int):
            return place
        if place not in moved:
            on = reactant.GetAtomWithIdx(int(place[1:]))
            moved[place] = next(a.GetIdx() for a in on.GetNeighbors() if a.GetAtomicNum() == 1)
        return moved[place]

    orders = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE}
    for (i, j), order in changes.items():
        a, b = index(i), index(j)
        if product.GetBondBetweenAtoms(a, b) is not None:
            product.RemoveBond(a, b)
        if order:
            product.AddBond(a, b, orders[order])
    made = product.GetMol()
    for atom in made.GetAtoms():
        atom.SetNoImplicit(True)
    Chem.SanitizeMol(made)
    return reactant, made


def shapes(molecule: Chem.Mol) -> list[np.ndarray]:
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = 7
    parameters.useRandomCoords = True
    made = list(rdDistGeom.EmbedMultipleConfs(molecule, CONFORMERS, parameters))
    rdForceFieldHelpers.UFFOptimizeMoleculeConfs(molecule)
    return [molecule.GetConformer(k).GetPositions() for k in made]


def nearest(one: list[np.ndarray], product: Chem.Mol) -> tuple[np.ndarray, np.ndarray]:
    """The reactant's shape, and the product's laid on it, that are most alike; parts of a product are moved apart."""
    parts: list[tuple[int, ...]] = []
    pieces = Chem.GetMolFrags(product, asMols=True, fragsMolAtomMapping=parts)
    fits = [
        _laid(np.stack(one)[:, list(part)], np.stack(shapes(piece))) for part, piece in zip(parts, pieces, strict=True)
    ]
    best = int(sum(distance for _, distance in fits).argmin())
    made = np.empty_like(one[best])
    for part, (laid, _) in zip(parts, fits, strict=True):
        made[list(part)] = laid[best]
    if len(parts) == 2:
        _apart(made, *(list(p) for p in parts))
    return one[best], made


def _laid(targets: np.ndarray, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each target [k, atoms, 3] the shape that fits best, laid on it, and the sum of squares (Kabsch 1976)."""
    middle = targets.mean(1, keepdims=True)
    a, b = targets - middle, shapes - shapes.mean(1, keepdims=True)
    u, _, v = np.linalg.svd(np.einsum("lai,kaj->klij", b, a))
    u[..., 2] *= np.sign(np.linalg.det(u) * np.linalg.det(v))[..., None]
    laid = np.einsum("lai,klij->klaj", b, u @ v)
    distance = ((laid - a[:, None]) ** 2).sum((2, 3))
    which = distance.argmin(1)
    k = np.arange(len(a))
    return laid[k, which] + middle, distance[k, which]


def _apart(positions: np.ndarray, one: list[int], other: list[int]) -> None:
    """Move the second part away from the first until no atoms are nearer than 2.6 Å."""
    away = positions[other].mean(0) - positions[one].mean(0)
    while np.linalg.norm(positions[one][:, None] - positions[other], axis=2).min() < 2.6:
        positions[other] += 0.1 * away / np.linalg.norm(away)


def saddles(records: list[dict]) -> list[np.ndarray | None]:
    """The saddle points that ``nddo-ml reaction`` finds, [atoms, 3] Å; None where they link something else."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.xyz" for name in ("reactant", "product")]
        for file in files:
            frames = [Atoms(r["symbols"], r[file.stem], info={"charge": r["charge"]}) for r in records]
            write(file, frames, format="extxyz")
        out = Path(folder) / "out.json"
        command = [sys.executable, "-m", "nddo_ml", "reaction", *files, "--model", "AM1", "--json", out]
        subprocess.run([str(c) for c in command], check=False)  # exit code 1: not all were linked
        found = json.loads(out.read_text())
    linked = [[e.split()[-1] for e in r.get("irc", {}).get("ends", ())] == ["reactant", "product"] for r in found]
    return [np.array(r["saddle"]["positions_A"]) if good else None for r, good in zip(found, linked, strict=True)]


def mopac_saddle(record: dict, at: np.ndarray) -> dict:
    """What MOPAC makes of a saddle point from 0.03 Å beside it."""
    guess = at + np.random.default_rng(1).normal(scale=0.03 / 3**0.5, size=at.shape)
    charge = f" CHARGE={record['charge']}" if record["charge"] else ""
    _, aux = mopac(f"AM1 TS PRECISE GNORM=0.05{charge}", record["symbols"], guess)
    flat = numbers(aux, "ATOM_X_OPT:ANGSTROMS")
    positions = [[round(v, 6) for v in flat[k : k + 3]] for k in range(0, len(flat), 3)]
    _, aux = mopac(f"AM1 FORCE PRECISE LET{charge}", record["symbols"], positions)
    frequencies = numbers(aux, "VIB._FREQ:CM(-1)")[: 3 * len(positions) - 6]
    heat = float(re.search(r"HEAT_OF_FORMATION:KCAL/MOL=\s*(\S+)", aux)[1].replace("D", "E"))
    return {"heat_of_formation": heat, "positions": positions, "frequency": min(frequencies)}


def mopac(keywords: str, symbols: list[str], positions: list | np.ndarray) -> tuple[str, str]:
    lines = [f"{s} {x:.6f} 1 {y:.6f} 1 {z:.6f} 1" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.mop"
        job.write_text("\n".join([f"{keywords} GEO-OK AUX(PRECISION=9)", "", "", *lines, ""]))
        subprocess.run(["mopac", job], cwd=folder, capture_output=True, check=True)
        return job.with_suffix(".out").read_text(), job.with_suffix(".aux").read_text()


def numbers(aux: str, key: str) -> list[float]:
    block = re.findall(rf"^ {re.escape(key)}\[\d+\]=\s*\n(.*?)(?=^ [A-Z#]|\Z)", aux, re.M | re.S)[-1]
    return [float(v) for v in block.split()]


if __name__ == "__main__":
    records = []
    for name, (smiles, changes) in REACTIONS.items():
        pair = molecules(smiles, changes)
        symbols = [a.GetSymbol() for a in pair[0].GetAtoms()]
        reactant, product = nearest(shapes(pair[0]), pair[1])
        entry = {"name": name, "charge": 0, "symbols": symbols}
        records.append(entry | {"reactant": reactant.round(5).tolist(), "product": product.round(5).tolist()})
    for name, (symbols, reactant, product, charge) in GIVEN.items():
        entry = {"name": name, "charge": charge, "symbols": symbols}
        records.append(entry | {"reactant": reactant, "product": product})
    made = []
    for record, at in zip(records, saddles(records), strict=True):
        if at is None:
            print(f"{record['name']}: no saddle point between both ends", file=sys.stderr)
        else:
            made.append(record | {"mopac": mopac_saddle(record, at)})
    target = Path(__file__).with_name("reactions.json")
    target.write_text(json.dumps({"program": "MOPAC 22.0.6", "notes": NOTES, "records": made}) + "\n")
