"""Predictions by calling the model on the selected structures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from nddo_ml.models.base import AbstractModel, Prediction
from nddo_ml.systems import Systems


class Predictor(Protocol):
    """Predictions for structures ``index`` [n] of the data set it was made for."""

    def __call__(self, index: Tensor, *, forces: bool, stress: bool) -> Prediction: ...


@dataclass
class DirectPredictor:
    """Calls the model on the selected systems, on the model's device; systems whose SCF fails are masked."""

    model: AbstractModel
    systems: Systems

    def __call__(self, index: Tensor, *, forces: bool, stress: bool) -> Prediction:
        systems, _ = self.systems.select_with_atoms(index)
        if stress:
            systems = with_volume(systems)
        weight = next(self.model.parameters(), None)
        if weight is not None:
            systems = systems.to(weight.device)
        return self.model(systems, forces=forces, stress=stress, on_failure="mask")


def with_volume(systems: Systems) -> Systems:
    """Unit vectors for the missing lattice vectors of non-periodic directions, so that no volume is zero."""
    missing = ~systems.pbc & (systems.cell.norm(dim=2) < 1e-6)
    unit = torch.eye(3, dtype=systems.cell.dtype, device=systems.cell.device)
    return replace(systems, cell=torch.where(missing[:, :, None], unit, systems.cell))
