"""Conformers: many starts by distance geometry, all relaxed in one batch, those that are one told apart from others.

Starts are RDKit's (ETKDGv3: Wang, Witek, Landrum & Riniker, J. Chem. Inf. Model. 60, 2044 (2020)).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from nddo_ml.errors import InputError
from nddo_ml.systems import Systems
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.fragments import bonds
from nddo_ml.workflows.optimize import optimize

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.models.base import AbstractModel

SAME_ENERGY = 0.1 / EV_KCAL_MOL  # eV, within which two conformers may be one
SAME_SHAPE = 0.15  # Å, root mean square over atoms but hydrogens on carbon
_STARTS = ((3, 40), (7, 100), (12, 200))  # rotatable bonds up to which so many starts are made
_MANY_STARTS = 300


@dataclass(frozen=True)
class Conformers:
    """Relaxed conformers of one molecule, lowest first."""

    frames: list[Atoms]
    energies: np.ndarray  # [n] eV
    weights: np.ndarray  # [n] of Boltzmann
    found: np.ndarray  # [n] how many starts ended there, or at the mirror image of a molecule that is not chiral
    starts: int
    unrelaxed: int  # starts that were given up
    reacted: int  # starts whose bonds changed


def conformers(
    atoms: Atoms,
    model: AbstractModel,
    *,
    charge: int = 0,
    multiplicity: int = 1,
    starts: int | None = None,
    fmax: float = 0.002,
    max_steps: int = 500,
    window: float = 10.0,
    temperature: float = 298.15,
    seed: int = 61_453,
) -> Conformers:
    """The conformers of a molecule, ``w_k = exp(−E_k/kT)/Σ exp(−E/kT)``.

    Two relaxed structures are one where their energies agree within 0.1 kcal/mol and their shapes within 0.15 Å, any
    exchange of equal atoms allowed. Mirror images are two; of a molecule without stereocentres both are there.

    Args:
        atoms: the molecule; its chirality is kept.
        model: any.
        charge: e.
        multiplicity: 2S + 1.
        starts: how many; left out, by the number of rotatable bonds.
        fmax: eV/Å, the largest force of a relaxed structure; turning a methyl group takes 0.03 eV/Å.
        max_steps: of each relaxation.
        window: kcal/mol above the lowest one, within which conformers are kept.
        temperature: K, of the weights.
        seed: of the starts.

    Raises:
        InputError: RDKit is not installed, makes no molecule or no starts of it; none relaxes; a negative window, a
            temperature that is not positive.
    """
    if not (window >= 0 and temperature > 0):
        raise InputError(f"expected a window of at least 0 and a positive temperature; got {window}, {temperature} K")
    molecule = molecule_of(atoms, charge)
    frames = [_at(atoms, x) for x in _embedded(molecule, starts or _default_starts(molecule), seed)]
    systems = Systems.from_ase(frames, charge, multiplicity)
    relaxed = optimize(systems, model, fmax=fmax, max_steps=max_steps)
    energies = relaxed.prediction.energy.detach().numpy()
    ends, good = relaxed.systems.to_ase(), relaxed.converged.numpy()
    whole = np.array([set(bonds(end)) == set(bonds(atoms)) for end in ends])
    kept = [k for k in np.argsort(energies, kind="stable") if good[k] and whole[k]]
    if not kept:
        raise InputError(f"none of {len(frames)} starts relaxed to {fmax} eV/Å with its bonds kept")
    low = energies[kept[0]]
    kept = [k for k in kept if (energies[k] - low) * EV_KCAL_MOL <= window]
    shown, found = _told_apart(molecule, [ends[k] for k in kept], energies[kept])
    lowest = energies[kept][[least for least, _ in found]]
    relative = lowest - low
    weights = np.exp(-relative / (units.kB * temperature))
    return Conformers(
        shown,
        lowest,
        weights / weights.sum(),
        np.array([count for _, count in found]),
        len(frames),
        int((~good).sum()),
        int((good & ~whole).sum()),
    )


def molecule_of(atoms: Atoms, charge: int) -> Any:
    """RDKit's molecule of a structure, bonds from its geometry, chirality as it is.

    Raises:
        InputError: RDKit is not installed, or finds no bonds that make sense.
    """
    if find_spec("rdkit") is None:
        raise InputError("conformers need RDKit; install it with: pip install 'nddo-ml[rdkit]'")
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDetermineBonds

    lines = [f"{a.symbol} {a.x:.8f} {a.y:.8f} {a.z:.8f}" for a in atoms]
    with rdBase.BlockLogs():
        molecule = Chem.MolFromXYZBlock("\n".join([str(len(atoms)), "", *lines, ""]))
        try:
            rdDetermineBonds.DetermineBonds(molecule, charge=charge)
            Chem.SanitizeMol(molecule)
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"RDKit found no bonds of {atoms.get_chemical_formula()} ({reason})") from None
        Chem.AssignStereochemistryFrom3D(molecule)
    return molecule


def _is_chiral(molecule: Any) -> bool:
    """Whether some atom or bond has a handedness that a mirror would change."""
    from rdkit import Chem

    return any(s.type == Chem.StereoType.Atom_Tetrahedral for s in Chem.FindPotentialStereo(molecule))


def _at(atoms: Atoms, positions: np.ndarray) -> Atoms:
    atoms = atoms.copy()
    atoms.set_positions(positions, apply_constraint=False)
    return atoms


def _default_starts(molecule: Any) -> int:
    from rdkit.Chem import rdMolDescriptors

    rotatable = rdMolDescriptors.CalcNumRotatableBonds(molecule)
    return next((count for most, count in _STARTS if rotatable <= most), _MANY_STARTS)


def _embedded(molecule: Any, starts: int, seed: int) -> list[np.ndarray]:
    from rdkit.Chem import rdDistGeom

    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    parameters.clearConfs = True
    made = list(rdDistGeom.EmbedMultipleConfs(molecule, starts, parameters))
    if not made:
        raise InputError("RDKit found no conformers to start from")
    return [molecule.GetConformer(k).GetPositions() for k in made]


def _told_apart(molecule: Any, ends: list[Atoms], energies: np.ndarray) -> tuple[list[Atoms], list[tuple[int, int]]]:
    """Conformers, lowest first; of each the lowest end and how many ends it is."""
    of_end, shapes = [*range(len(ends))], [end.positions for end in ends]
    if not _is_chiral(molecule):  # the mirror image of each is a conformer as well
        of_end, shapes = [k for k in of_end for _ in range(2)], [s * x for x in shapes for s in (1, -1)]
    groups = _distinct(molecule, shapes, energies[of_end])
    shown = [_at(ends[of_end[group[0]]], shapes[group[0]]) for group in groups]
    return shown, [(of_end[group[0]], len({of_end[k] for k in group})) for group in groups]


def _distinct(molecule: Any, positions: list[np.ndarray], energies: np.ndarray) -> list[list[int]]:
    """Structures that are one, lowest first."""
    from rdkit import Chem
    from rdkit.Chem import rdMolAlign

    shown = Chem.RWMol(molecule)
    shown.RemoveAllConformers()
    for k, x in enumerate(positions):
        conformer = Chem.Conformer(len(x))
        conformer.SetPositions(np.ascontiguousarray(x))
        conformer.SetId(k)
        shown.AddConformer(conformer)
    on_carbon = [
        a.GetIdx()
        for a in molecule.GetAtoms()
        if a.GetAtomicNum() == 1 and [n.GetAtomicNum() for n in a.GetNeighbors()] == [6]
    ]
    if len(on_carbon) < molecule.GetNumAtoms() - 1:
        for index in sorted(on_carbon, reverse=True):
            shown.RemoveAtom(index)
    plain = shown.GetMol()
    groups: list[list[int]] = []
    for k, energy in enumerate(energies):
        near = (g for g in groups if energy - energies[g[0]] < SAME_ENERGY)
        same = next((g for g in near if rdMolAlign.GetBestRMS(plain, plain, k, g[0]) < SAME_SHAPE), None)
        if same is None:
            groups.append([k])
        else:
            same.append(k)
    return groups
