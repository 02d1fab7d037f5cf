"""Geometries of a molecule: conformers, torsion scans, inversions, bent and straightened XH₂ and XH₃, displacements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers, rdMolTransforms
from rdkit.Chem.rdDistGeom import EmbedMultipleConfs, ETKDGv3

END = "!D1;!$(*#*);!$([CX4H3]);!$([NX4H3])"  # not what turns into itself
ROTATABLE = Chem.MolFromSmarts(f"[{END}]-&!@[{END}]")
CLOSE = 0.7  # smallest distance over the sum of covalent radii that is kept
STIFF = 100.0  # kcal/mol/degree², holds a torsion in a scan
UPPER = 15.0  # kcal/mol above the lowest conformer of the force field, beyond which conformers are left out
ALIKE = 0.25  # Å, conformers with smaller deviation of the heavy atoms' distances are one


def molecule_with_conformers(smiles: str, count: int, seed: int) -> Chem.Mol | None:
    """Conformers by distance geometry (ETKDGv3), relaxed by MMFF94 (else UFF), lowest first, no two alike.

    Args:
        smiles: the molecule.
        count: conformers kept at most.
        seed: of the embedding.

    Returns:
        the molecule with hydrogens, or None where no geometry is found. Sources: Wang, Witek, Landrum & Riniker,
        J. Chem. Inf. Model. 60, 2044 (2020); Halgren, J. Comput. Chem. 17, 490 (1996).
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    settings: Any = ETKDGv3()
    settings.randomSeed = seed
    settings.maxIterations = 20
    if not len(EmbedMultipleConfs(molecule, 2 * count, settings)):
        return None
    energies = _relaxed(molecule)
    order = np.argsort(energies)
    kept: list[int] = []
    shapes: list[np.ndarray] = []
    heavy = [a.GetIdx() for a in molecule.GetAtoms() if a.GetAtomicNum() > 1]
    for k in order:
        if energies[k] > energies[order[0]] + UPPER or len(kept) == count:
            break
        x = molecule.GetConformer(int(k)).GetPositions()[heavy]
        shape = np.linalg.norm(x[:, None] - x[None], axis=-1)
        if all(np.sqrt(np.mean((shape - s) ** 2)) > ALIKE for s in shapes):
            kept.append(int(k))
            shapes.append(shape)
    return _with_conformers(molecule, [molecule.GetConformer(k).GetPositions() for k in kept])


def geometries(molecule: Chem.Mol) -> list[Atoms]:
    """Every conformer as ASE atoms with its total charge in ``info``."""
    numbers = [a.GetAtomicNum() for a in molecule.GetAtoms()]
    charge = Chem.GetFormalCharge(molecule)
    return [Atoms(numbers, c.GetPositions(), info={"charge": charge}) for c in molecule.GetConformers()]


def torsions(molecule: Chem.Mol) -> list[tuple[int, int, int, int]]:
    """One torsion of heavy atoms, where there are, for every rotatable bond."""
    found = []
    for j, k in molecule.GetSubstructMatches(ROTATABLE):
        ends = []
        for here, there in ((j, k), (k, j)):
            around = [n.GetIdx() for n in molecule.GetAtomWithIdx(here).GetNeighbors() if n.GetIdx() != there]
            ends.append(max(around, key=lambda n: (molecule.GetAtomWithIdx(n).GetAtomicNum(), -n)))
        found.append((ends[0], j, k, ends[1]))
    return found


def torsion_scan(
    molecule: Chem.Mol, torsion: tuple[int, int, int, int], points: int, start: float = 0.0
) -> list[Atoms]:
    """The first conformer turned about a bond in equal steps, each point relaxed by the force field at its angle.

    Args:
        molecule: with at least one conformer.
        torsion: atoms i–j–k–l.
        points: steps of 360°/points.
        start: degrees added to the conformer's own angle.
    """
    turned = Chem.Mol(molecule, confId=molecule.GetConformers()[0].GetId())
    conformer = turned.GetConformer()
    first = rdMolTransforms.GetDihedralDeg(conformer, *torsion) + start
    found = []
    for k in range(points):
        angle = (first + 360.0 * k / points + 180.0) % 360.0 - 180.0
        rdMolTransforms.SetDihedralDeg(conformer, *torsion, angle)
        if not _relaxed_at(turned, torsion, angle):
            return []
        found.append(geometries(turned)[0])
    return [a for a in found if sound(a)]


def sound(atoms: Atoms) -> bool:
    """Whether no two atoms are nearer than 0.7 times the sum of their covalent radii."""
    from ase.data import covalent_radii

    if len(atoms) < 2:
        return True
    radii = covalent_radii[atoms.numbers]
    ratio = atoms.get_all_distances() / (radii[:, None] + radii)
    return bool(ratio[np.triu_indices(len(atoms), 1)].min() > CLOSE)


def inversion(atoms: Atoms, centre: int, points: int) -> list[Atoms]:
    """A pyramidal centre with three neighbours moved through their plane to the other side, bond lengths kept.

    The centre moves along the normal of the plane of its neighbours from its height h to −h/2; each lone hydrogen
    among these follows to its own bond length.
    """
    near = _neighbours(atoms, centre)
    if len(near) != 3:
        return []
    x = atoms.positions
    normal = np.cross(x[near[1]] - x[near[0]], x[near[2]] - x[near[0]])
    normal /= np.linalg.norm(normal)
    height = float((x[centre] - x[near[0]]) @ normal)
    found = []
    for part in np.linspace(1.0, -0.5, points + 1)[1:]:
        made = atoms.copy()
        made.positions[centre] += (part - 1.0) * height * normal
        _restore_hydrogens(made, atoms, centre, near)
        found.append(made)
    return [a for a in found if sound(a)]


def straightening(atoms: Atoms, centre: int, points: int, widest: float = 180.0) -> list[Atoms]:
    """The angle at a centre with two neighbours opened in steps up to ``widest`` degrees; the smaller side moves.

    None for a centre in a ring.
    """
    near = _neighbours(atoms, centre)
    if len(near) != 2:
        return []
    sides = [_side(atoms, centre, n) for n in near]
    if near[0] in sides[1]:
        return []
    smaller = int(len(sides[1]) < len(sides[0]))
    moved, fixed = near[smaller], near[1 - smaller]
    now = atoms.get_angle(fixed, centre, moved)
    found = []
    for angle in np.linspace(now, min(widest, 179.9), points + 1)[1:]:
        made = atoms.copy()
        made.set_angle(fixed, centre, moved, angle, indices=sorted(sides[smaller]))
        found.append(made)
    return [a for a in found if sound(a)]


def curved(atoms: Atoms, curvatures: Sequence[float]) -> list[Atoms]:
    """A nearly flat molecule bent to bowls: its heavy atoms at ``z = κ r²``, r the distance from their centre.

    The plane is that of their two largest principal axes, κ in Å⁻¹, 0 is flat; hydrogens go with the nearest of them.
    """
    heavy = np.flatnonzero(atoms.numbers > 1)
    nearest = heavy[atoms.get_all_distances()[:, heavy].argmin(axis=1)]
    x = atoms.positions - atoms.positions[heavy].mean(axis=0)
    x = x @ np.linalg.svd(x[heavy])[2].T
    found = []
    for curvature in curvatures:
        made = atoms.copy()
        lifted = x[:, 2] - x[nearest, 2] + curvature * np.square(x[nearest, :2]).sum(axis=1)
        made.positions = np.column_stack([x[:, :2], lifted])
        found.append(made)
    return [a for a in found if sound(a)]


def displaced(
    atoms: Atoms, hessian: np.ndarray, temperature: float, rng: np.random.Generator, largest: float = 2.0
) -> Atoms:
    """The geometry pushed along the modes of a Hessian with the amplitudes of a classical oscillator.

    ``Δx = Σ_k v_k ξ_k (k_B T / λ_k)^½`` with normal deviates ξ cut at ± ``largest``.

    Args:
        atoms: geometry near a minimum.
        hessian: [3 atoms, 3 atoms] eV/Å², positive definite.
        temperature: K.
        rng: source of randomness.
        largest: standard deviations.
    """
    from ase.units import kB

    curvature, modes = np.linalg.eigh(hessian)
    steps = np.clip(rng.normal(size=len(curvature)), -largest, largest) * np.sqrt(kB * temperature / curvature)
    made = atoms.copy()
    made.positions += (modes @ steps).reshape(-1, 3)
    return made


def _relaxed(molecule: Chem.Mol) -> np.ndarray:
    """Relax all conformers; their energies in the force field, kcal/mol."""
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, maxIters=250)
    else:
        results = rdForceFieldHelpers.UFFOptimizeMoleculeConfs(molecule, maxIters=250)
    return np.array([energy for _, energy in results])


def _relaxed_at(molecule: Chem.Mol, torsion: tuple[int, int, int, int], angle: float) -> bool:
    """Relax the only conformer by MMFF94, else UFF, the torsion within a degree of its angle; whether it could."""
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(
            molecule, rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
        )
        hold = field.MMFFAddTorsionConstraint
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        field = rdForceFieldHelpers.UFFGetMoleculeForceField(molecule)
        hold = field.UFFAddTorsionConstraint
    else:
        return False
    field.Initialize()
    hold(*torsion, relative=False, minDihedralDeg=angle - 1.0, maxDihedralDeg=angle + 1.0, forceConstant=STIFF)
    field.Minimize(maxIts=200)
    return True


def _with_conformers(molecule: Chem.Mol, positions: list[np.ndarray]) -> Chem.Mol:
    molecule.RemoveAllConformers()
    for x in positions:
        conformer = Chem.Conformer(molecule.GetNumAtoms())
        conformer.SetPositions(np.ascontiguousarray(x))
        molecule.AddConformer(conformer, assignId=True)
    return molecule


def _neighbours(atoms: Atoms, centre: int) -> list[int]:
    from ase.data import covalent_radii

    reach = 1.3 * (covalent_radii[atoms.numbers] + covalent_radii[atoms.numbers[centre]])
    distance = np.linalg.norm(atoms.positions - atoms.positions[centre], axis=1)
    return [k for k in np.flatnonzero(distance < reach).tolist() if k != centre]


def _side(atoms: Atoms, centre: int, first: int) -> set[int]:
    """Atoms that bonds link to ``first`` but for those at ``centre``."""
    found, waiting = {first}, [first]
    while waiting:
        new = set(_neighbours(atoms, waiting.pop())) - found - {centre}
        found |= new
        waiting += new
    return found


def _restore_hydrogens(made: Atoms, before: Atoms, centre: int, near: list[int]) -> None:
    """Hydrogens around the moved centre back at the bond lengths that they had."""
    for n in near:
        if made.numbers[n] == 1:
            bond = made.positions[n] - made.positions[centre]
            length = np.linalg.norm(before.positions[n] - before.positions[centre])
            made.positions[n] = made.positions[centre] + bond * (length / np.linalg.norm(bond))
