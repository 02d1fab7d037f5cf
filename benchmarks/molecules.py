"""Molecules for the benchmarks: QM9, water clusters, alkanes, polyenes, fullerenes, ion pairs."""

from __future__ import annotations

import ast
import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read

from nddo_ml.workflows.fragments import bonds, side_of


def qm9(count: int, heavy_atoms: int | None = None, seed: int = 0) -> list[Atoms]:
    """A random choice of QM9 molecules (or of those with ``heavy_atoms``) with their ``smiles``, from qm9pack."""
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or spec.origin is None:
        raise SystemExit("expected the package qm9pack (make bench installs it); it is not installed")
    csv.field_size_limit(10**7)
    rows = []
    for part in sorted((Path(spec.origin).parent / "data").glob("qm9_part?.csv")):
        with part.open(newline="") as file:
            for row in csv.DictReader(file):
                counts = json.loads(row["Stoichiometry"])
                if heavy_atoms is None or sum(counts[1:]) == heavy_atoms:
                    rows.append((row["Elements"], row["XYZ_Ang"], row["SMILES"]))
    chosen = np.random.default_rng(seed).choice(len(rows), size=count, replace=False)
    return [_parse(*rows[k]) for k in chosen]


def qm9_chno(count: int, seed: int = 0) -> list[Atoms]:
    """A random choice of QM9 molecules without fluorine."""
    drawn = [atoms for atoms in qm9(count + count // 10 + 20, seed=seed) if 9 not in atoms.numbers]
    return drawn[:count]


def _parse(elements: str, positions: str, smiles: str) -> Atoms:
    return Atoms(ast.literal_eval(elements), np.array(ast.literal_eval(positions)), info={"smiles": smiles})


def with_third_row(molecules: list[Atoms]) -> list[Atoms]:
    """Molecules of H, C, N, O, F with heavier homologues in them: one H on C becomes Cl, and every O of two bonds S.

    Bonds of C to Cl are 1.76 Å; an S stands 0.7 Å further from its neighbours' midpoint than the O did.
    Molecules without an H on C are left out.
    """
    return [changed for changed in map(_third_row, molecules) if changed is not None]


def _third_row(atoms: Atoms) -> Atoms | None:
    changed = atoms.copy()
    distances = atoms.get_all_distances()
    np.fill_diagonal(distances, np.inf)
    hydrogens = [h for h in np.flatnonzero(atoms.numbers == 1) if atoms.numbers[distances[h].argmin()] == 6]
    if not hydrogens:
        return None
    chosen = max(hydrogens, key=lambda h: np.sort(distances[h])[1])  # the one with the most room
    carbon = distances[chosen].argmin()
    changed.numbers[chosen] = 17
    changed.positions[chosen] += (1.76 / distances[chosen, carbon] - 1) * (
        atoms.positions[chosen] - atoms.positions[carbon]
    )
    for o in np.flatnonzero(atoms.numbers == 8):
        bonded = np.flatnonzero(distances[o] < 1.6)
        if len(bonded) == 2:
            outward = atoms.positions[o] - atoms.positions[bonded].mean(axis=0)
            changed.numbers[o] = 16
            changed.positions[o] += 0.7 * outward / max(np.linalg.norm(outward), 0.3)
    return changed


def water_cluster(n: int, seed: int = 0) -> Atoms:
    """``n`` waters near the points of a cubic lattice of liquid density, each turned at random."""
    rng = np.random.default_rng(seed)
    edge = int(np.ceil(n ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[np.argsort(np.linalg.norm(grid - (edge - 1) / 2, axis=1), kind="stable")][:n]
    cluster = Atoms()
    for point in grid:
        water = molecule("H2O")
        water.positions -= water.get_center_of_mass()
        water.euler_rotate(*rng.uniform(0, 360, 3), center=(0, 0, 0))
        water.translate(3.1 * point)
        cluster += water
    return cluster


def alkane(n: int) -> Atoms:
    """All-trans CnH2n+2."""
    cc, ch, angle = 1.53, 1.09, np.deg2rad(112.0)
    dx, dy = cc * np.sin(angle / 2), cc * np.cos(angle / 2)
    carbons = np.array([[k * dx, (k % 2) * dy, 0.0] for k in range(n)])
    symbols, positions = ["C"] * n, list(carbons)
    for k, carbon in enumerate(carbons):
        out = -1.0 if k % 2 == 0 else 1.0
        for side in (1.0, -1.0):
            positions.append(carbon + ch * np.array([0.0, out * 0.57, side * 0.82]))
    inward = np.array([dx, -dy if n % 2 == 0 else dy, 0.0]) / cc
    positions.append(carbons[0] + ch * np.array([-dx, dy, 0.0]) / cc)
    positions.append(carbons[-1] + ch * inward)
    return Atoms(symbols + ["H"] * (len(positions) - n), positions)


def polyene(n: int) -> Atoms:
    """All-trans CnHn+2 with ``n`` even, bonds of 1.35 and 1.45 Å."""
    positions = [np.zeros(3)]
    for k in range(n - 1):
        length = 1.35 if k % 2 == 0 else 1.45
        up = 1.0 if k % 2 == 0 else -1.0
        positions.append(positions[-1] + length * np.array([np.sqrt(0.75), 0.5 * up, 0.0]))
    carbons = np.array(positions)
    hydrogens = [c + 1.09 * np.array([0.0, -1.0 if k % 2 == 0 else 1.0, 0.0]) for k, c in enumerate(carbons)]
    left = np.array([-np.sqrt(0.75), 0.5, 0.0])
    hydrogens += [carbons[0] + 1.09 * left, carbons[-1] - 1.09 * left]
    return Atoms(f"C{n}H{n + 2}", np.concatenate([carbons, hydrogens]))


def fullerene(a: int, b: int = 0) -> Atoms:
    """The icosahedral fullerene C_20(a² + ab + b²) with b = 0 or b = a: C60 (1, 1), C180 (3, 0), C240 (2, 2).

    The carbons are the centres of the triangles of a geodesic icosahedron, bonds near 1.43 Å.
    """
    if b not in (0, a):
        raise ValueError(f"expected b = 0 or b = a; got {a}, {b}")
    corners, faces = _icosahedron()
    if b == a:  # first the triangles around every face's centre, then a-fold division
        corners, faces = _tripled(corners, faces)
    centres = np.concatenate([_divided(corners[list(face)], a) for face in faces])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    nearest = np.sort(distance, axis=1)[:, 1:4]
    return Atoms(f"C{len(centres)}", centres * 1.43 / nearest.mean())


def _icosahedron() -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    g = (1 + 5**0.5) / 2
    corners = np.array([p for s in (1, -1) for t in (g, -g) for p in ((0, s, t), (s, t, 0), (t, 0, s))])
    corners = corners / np.linalg.norm(corners[0])
    return corners, _faces(corners)


def _faces(corners: np.ndarray) -> list[tuple[int, int, int]]:
    distance = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    near = (distance > 0) & (distance < 1.2 * np.min(distance[distance > 0]))
    n = len(corners)
    return [(i, j, k) for i in range(n) for j in range(i) if near[i, j] for k in range(j) if near[i, k] and near[j, k]]


def _tripled(corners: np.ndarray, faces: list[tuple[int, int, int]]) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Each face's centre becomes a corner; a new triangle has two such centres and one end of their edge."""
    centres = np.array([corners[list(f)].mean(axis=0) for f in faces])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    triangles = []
    for p, face_p in enumerate(faces):
        for q, face_q in enumerate(faces[:p]):
            shared = set(face_p) & set(face_q)
            if len(shared) == 2:
                triangles += [(c, len(corners) + p, len(corners) + q) for c in shared]
    return np.concatenate([corners, centres]), triangles


def _divided(triangle: np.ndarray, n: int) -> np.ndarray:
    """Centres of the n² small triangles of one triangle."""
    a, b, c = triangle
    points = []
    for i in range(n):
        for j in range(n - i):
            for shift in ((1 / 3, 1 / 3), (2 / 3, 2 / 3)):
                u, v = (i + shift[0]) / n, (j + shift[1]) / n
                if u + v < 1:
                    points.append(a + u * (b - a) + v * (c - a))
    return np.array(points)


def ion_pairs() -> list[Atoms]:
    """NH4+ and H3O+ facing F-, Cl-, Br-, OH- and HCOO- at 2.6 to 8 Å, neutral as a whole."""
    ammonium = molecule("CH4")
    ammonium.numbers[0] = 7
    hydronium = molecule("NH3")
    hydronium.numbers[0] = 8
    hydroxide, formate = Atoms("OH", [[0, 0, 0], [0, 0, 0.96]]), Atoms("CHOO")
    formate.positions = [[0, 0, 0.6], [0, 0, 1.7], [1.13, 0, 0], [-1.13, 0, 0]]
    pairs = []
    for cation in (ammonium, hydronium):
        for anion in (Atoms("F"), Atoms("Cl"), Atoms("Br"), hydroxide, formate):
            for distance in (2.6, 3.5, 5.0, 8.0):
                pair = cation.copy()
                pair.translate(-pair.positions[0])
                partner = anion.copy()
                partner.translate([0.0, 0.0, distance + pair.positions[:, 2].max()])
                pairs.append(pair + partner)
    return pairs


def zwitterions() -> list[Atoms]:
    """H3N+-(CH2)n-COO- with n from 1 to 16, stretched out."""
    made = []
    for n in range(1, 17):
        chain = alkane(n + 2)
        chain.numbers[0] = 7
        last = n + 1
        ends = [k for k in range(n + 2, len(chain)) if chain.get_distance(last, k) < 1.2]
        across = chain.positions[ends] - chain.positions[last]
        outward = chain.positions[last] - chain.positions[last - 1]
        outward /= np.linalg.norm(outward)
        across -= np.outer(across @ outward, outward)
        side = across[0] / np.linalg.norm(across[0])
        oxygens = [chain.positions[last] + 1.26 * (0.5 * outward + s * np.sqrt(0.75) * side) for s in (1, -1)]
        del chain[ends]
        made.append(chain + Atoms("OO", oxygens))
    return made


def stretched(molecules: list[Atoms], count: int, length: float = 4.0, seed: int = 0) -> list[Atoms]:
    """One bond outside rings pulled to ``length`` Å in each of ``count`` molecules, fragments kept rigid."""
    rng = np.random.default_rng(seed)
    made: list[Atoms] = []
    for atoms in molecules:
        pairs = bonds(atoms)
        for k in rng.permutation(len(pairs)):
            i, j = pairs[k]
            fragment = side_of(atoms, i, j)
            if fragment is None:
                continue  # a ring
            pulled = atoms.copy()
            vector = atoms.positions[j] - atoms.positions[i]
            distance = np.linalg.norm(vector)
            pulled.positions[sorted(fragment)] += vector / distance * (length - distance)
            made.append(pulled)
            break
        if len(made) == count:
            return made
    raise ValueError(f"expected {count} molecules with a bond outside rings; got {len(made)}")


def caffeine() -> Atoms:
    """The structure of the examples."""
    found: Atoms = read(Path(__file__).parents[1] / "examples" / "molecules" / "caffeine.xyz")
    return found


def peptide(residues: int) -> Atoms:
    """An extended neutral peptide of alanine and glycine in turn, embedded by RDKit; ten residues have 92 atoms."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    chain = Chem.AddHs(Chem.MolFromSequence("".join("AG"[k % 2] for k in range(residues))))
    AllChem.EmbedMolecule(chain, randomSeed=1, useRandomCoords=True)
    AllChem.MMFFOptimizeMolecule(chain, maxIters=2000)
    return Atoms([atom.GetSymbol() for atom in chain.GetAtoms()], chain.GetConformer().GetPositions())
