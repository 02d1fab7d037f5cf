"""Molecules in a box: taken out of it whole."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms

from bp_descriptors import neighbor_list
from nddo_ml.elements import covalent_radii
from nddo_ml.errors import InputError

BOND = 1.3  # of the sum of the covalent radii, the longest bond


def take_out(atoms: Atoms) -> bool:
    """Drop the cell; molecules that its boundary cuts are put together first. Whether there were any.

    Raises:
        InputError: bonds that go on through the cell without end, which are no molecule.
    """
    cut = False
    if atoms.pbc.any() and len(atoms):
        shifts = _shifts(atoms)
        cut = bool(shifts.any())
        atoms.positions += shifts @ np.asarray(atoms.cell)
    atoms.pbc = False
    atoms.cell[:] = 0.0
    return cut


def _shifts(atoms: Atoms) -> np.ndarray:
    """Lattice vectors [atoms, 3] that bring every atom beside those it is bonded to."""
    radii = covalent_radii(torch.as_tensor(atoms.numbers), torch.float64)
    x, cell = torch.as_tensor(atoms.positions), torch.as_tensor(np.asarray(atoms.cell))[None]
    try:
        pairs = neighbor_list(
            x, 2 * BOND * max(float(radii.max()), 0.3), cell=cell, pbc=torch.as_tensor(atoms.pbc)[None]
        )
    except ValueError as error:
        raise InputError(str(error).removeprefix("system 0: ")) from None
    vectors = x[pairs.j] - x[pairs.i] + pairs.shift.double() @ cell[0]
    bonded = vectors.norm(dim=1) < BOND * (radii[pairs.i] + radii[pairs.j])
    neighbours: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(len(atoms))]
    for i, j, shift in zip(
        pairs.i[bonded].tolist(), pairs.j[bonded].tolist(), pairs.shift[bonded].numpy(), strict=True
    ):
        neighbours[i].append((j, shift))
    shifts = np.zeros((len(atoms), 3))
    seen = np.zeros(len(atoms), dtype=bool)
    for start in range(len(atoms)):
        waiting = [] if seen[start] else [start]
        seen[start] = True
        while waiting:
            i = waiting.pop()
            for j, shift in neighbours[i]:
                if not seen[j]:
                    seen[j] = True
                    shifts[j] = shifts[i] + shift
                    waiting.append(j)
                elif np.any(shifts[j] != shifts[i] + shift):
                    raise InputError("expected molecules in the cell; its bonds go on through the boundary without end")
    return shifts
