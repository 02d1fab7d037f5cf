"""Molecules from SMILES, and files of them, through RDKit (optional): hydrogens, coordinates, charge, radicals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.structures.labels import Kind, make_atoms, nuclide
from nddo_ml.structures.record import Chunk, Lines, Record, shown, title

SEED = 61_453  # of the coordinates: the same ones every time
_SECONDS = 30  # for the coordinates
_MAX_LENGTH = 5_000
APART = 3.0  # Å, between the parts of a SMILES with dots


def split(lines: Lines) -> Iterator[Chunk]:
    """One molecule a line; empty lines and comments do not count."""
    for line in lines:
        if line.strip() and not line.startswith("#"):
            yield Chunk([line], lines.number)


def parse(chunk: Chunk) -> Record:
    """One line: a SMILES string, perhaps with extensions (CXSMILES, ``|…|``), and a name after a blank."""
    match = re.match(r"\s*(\S+(?:\s+\|[^|]*\|)?)\s*(.*)", chunk.lines[0])
    if match is None:
        raise InputError(f"expected a SMILES string; got {shown(chunk.lines[0])}")
    record = record_of(match[1])
    record.name = title(match[2]) or record.name
    return record


def record_of(smiles: str) -> Record:
    """A molecule with its hydrogens, at a conformer that the force field MMFF94 (else UFF) has relaxed.

    Raises:
        InputError: no RDKit, no molecule, dummy atoms, or no coordinates found.
    """
    if find_spec("rdkit") is None:
        raise InputError("SMILES need RDKit; install it with: pip install 'nddo-ml[rdkit]'")
    from rdkit import Chem, rdBase

    if not smiles.strip() or len(smiles) > _MAX_LENGTH:
        raise InputError(f"expected a SMILES string; got {shown(smiles)}")
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            raise InputError(f"expected a SMILES string; got {shown(smiles)}")
        if molecule.GetNumAtoms() == 0 or any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
            raise InputError(f"expected a molecule without dummy atoms; got {shown(smiles)}")
        open_centres = [
            s for s in Chem.FindPotentialStereo(molecule) if s.specified == Chem.StereoSpecified.Unspecified
        ]
        molecule = Chem.AddHs(molecule)
        positions = _positions(molecule, smiles)
        parts = Chem.GetMolFrags(molecule)
    for before, part in pairwise(parts):  # RDKit puts all of them at the origin
        positions[list(part), 0] += positions[list(before), 0].max() + APART - positions[list(part), 0].min()
    kinds = [Kind(a.GetAtomicNum(), _mass(a)) for a in molecule.GetAtoms()]
    record = Record(make_atoms(kinds, positions), title(smiles))
    record.state("charge", Chem.GetFormalCharge(molecule), "the formal charges")
    unpaired = [a.GetNumRadicalElectrons() for a in molecule.GetAtoms()]
    if any(unpaired):
        record.state("multiplicity", 1 + sum(unpaired), "the radicals")
    if sum(unpaired) > 1:
        record.remark("radicals", f"unpaired electrons are taken as parallel: multiplicity {1 + sum(unpaired)}")
    if len(parts) > 1:
        record.remark("parts", f"the {len(parts)} parts stand side by side, {APART:g} Å apart")
    if open_centres:
        record.remark("stereo", f"{len(open_centres)} stereocentres are not specified; one isomer is taken")
    return record


def _positions(molecule: Any, smiles: str) -> np.ndarray:
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    if molecule.GetNumAtoms() == 1:
        return np.zeros((1, 3))
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = SEED
    parameters.timeout = _SECONDS
    found = rdDistGeom.EmbedMolecule(molecule, parameters)
    if found != 0:
        parameters.useRandomCoords = True
        found = rdDistGeom.EmbedMolecule(molecule, parameters)
    if found != 0:
        raise InputError(f"RDKit found no coordinates for {shown(smiles)}")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=500)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.UFFOptimizeMolecule(molecule, maxIters=500)
    found_positions: np.ndarray = molecule.GetConformer().GetPositions()
    return found_positions


def _mass(atom: Any) -> float | None:
    return nuclide(atom.GetAtomicNum(), atom.GetIsotope()) if atom.GetIsotope() else None
