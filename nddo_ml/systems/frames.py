"""What ASE's structures say of themselves beside atoms, positions and cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.structures.charge_spin import resolve_charge_and_spin
from nddo_ml.systems.checks import PerSystem, per_system

if TYPE_CHECKING:
    from ase import Atoms


def charges_and_multiplicities(
    frames: Sequence[Atoms],
    charge: PerSystem | None,
    multiplicity: PerSystem | None,
) -> tuple[list[int], list[int]]:
    """Of each frame, by what is given, else by what it says."""
    cpu, n = torch.device("cpu"), len(frames)
    charges = [None] * n if charge is None else per_system(charge, n, "charge", cpu).tolist()
    spins = [None] * n if multiplicity is None else per_system(multiplicity, n, "multiplicity", cpu).tolist()
    found = []
    for k, (frame, q, m) in enumerate(zip(frames, charges, spins, strict=True)):
        try:
            found.append(resolve_charge_and_spin(frame, q, m))
        except InputError as error:
            raise InputError(f"system {k}: {error}") from None
    return [f.charge for f in found], [f.multiplicity for f in found]


def masses_of(frames: Sequence[Atoms], dtype: torch.dtype, device: torch.device | str) -> Tensor | None:
    """Masses where some frame has its own."""
    if not any(f.has("masses") for f in frames):
        return None
    return torch.as_tensor(np.concatenate([f.get_masses() for f in frames]), dtype=dtype, device=device)


def constraints_of(frames: Sequence[Atoms], device: torch.device | str) -> tuple[Tensor | None, tuple[str, ...]]:
    """Atoms of FixAtoms, and the names of each frame's other constraints."""
    if not any(f.constraints for f in frames):
        return None, ()
    from ase.constraints import FixAtoms

    fixed = [np.zeros(len(f), dtype=bool) for f in frames]
    others = []
    for mask, frame in zip(fixed, frames, strict=True):
        names = []
        for constraint in frame.constraints:
            if isinstance(constraint, FixAtoms):
                mask[constraint.index] = True
            else:
                names.append(type(constraint).__name__)
        others.append(", ".join(sorted(set(names))))
    return torch.as_tensor(np.concatenate(fixed), device=device), tuple(others) if any(others) else ()
