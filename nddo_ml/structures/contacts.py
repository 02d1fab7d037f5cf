"""Atoms that are too close for any method, though not on one spot."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms

from bp_descriptors import neighbor_list, pair_vectors
from nddo_ml.elements import covalent_radii

# Of the sum of the covalent radii: 0.44 Å for O–H, 0.6 for C–C, 1.1 for I–I, since what is too close for two hydrogens
# says little of heavy atoms. The shortest bonds are far above: 0.66 of the sum in Cr₂, 0.73 in N₂. Two hydrogens
# at LEAST have the energy of two atoms: nearer they are met in no motion.
FRACTION, LEAST = 0.4, 0.4  # of the sum; Å
NO_RADIUS = 1.5  # Å, of elements without a radius
_FOUND = covalent_radii(torch.arange(120), torch.float64).numpy()
_RADII = np.where(_FOUND > 0, _FOUND, NO_RADIUS)
_MANY = 64  # atoms; pairs of larger systems are found by cells
_FAR = 1e7  # Å; coordinates beyond are refused elsewhere
_NAMED = 3


def close_contacts(atoms: Atoms) -> str:
    """A sentence on pairs nearer than ``FRACTION`` of the sum of their radii or ``LEAST``; empty without any."""
    positions = atoms.positions
    if not np.isfinite(positions).all() or np.abs(positions).max(initial=0.0) > _FAR:
        return ""
    radii = _RADII[np.clip(atoms.numbers, 0, 119)]
    farthest = max(LEAST, 2 * FRACTION * float(radii.max(initial=0.0)))
    if atoms.pbc.any() or len(atoms) > _MANY:
        first, second, distance = _neighbours(atoms, farthest)
    else:
        squares = ((positions[:, None] - positions) ** 2).sum(axis=2)
        first, second = np.nonzero(np.triu(squares < farthest**2, 1))
        distance = np.sqrt(squares[first, second])
    near = np.flatnonzero(distance < np.maximum(LEAST, FRACTION * (radii[first] + radii[second])))
    if near.size == 0:
        return ""
    near = near[np.argsort(distance[near], kind="stable")]
    symbols = atoms.symbols
    named = [
        f"{first[k]} ({symbols[first[k]]}) and {second[k]} ({symbols[second[k]]}), {distance[k]:.2f} Å"
        for k in near[:_NAMED]
    ]
    more = f"; {near.size - _NAMED} more" if near.size > _NAMED else ""
    return f"atoms too close for any method: {'; '.join(named)}{more}"


def _neighbours(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs within ``cutoff``, images included; none in a cell that is refused elsewhere."""
    x = torch.as_tensor(atoms.positions)
    cell, pbc = torch.as_tensor(np.asarray(atoms.cell))[None], torch.as_tensor(np.asarray(atoms.pbc))[None]
    try:
        pairs = neighbor_list(x, cutoff, cell=cell, pbc=pbc, half=True)
    except (ValueError, RuntimeError):
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    return pairs.i.numpy(), pairs.j.numpy(), pair_vectors(x, pairs, cell=cell).norm(dim=1).numpy()
