"""Forces from energies."""

from __future__ import annotations

import torch

from nddo_ml import Systems
from nddo_ml.models.base import AbstractModel


def force_from_energies(model: AbstractModel, systems: Systems, atom: int, axis: int, step: float = 1e-4) -> float:
    """Minus the central difference of the energy of one system, eV/Å."""
    shift = torch.zeros_like(systems.positions)
    shift[atom, axis] = step
    low, high = (float(model(systems.with_positions(systems.positions + s * shift)).energy) for s in (-1, 1))
    return (low - high) / (2 * step)
