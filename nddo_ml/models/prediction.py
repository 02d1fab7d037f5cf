"""Prediction: what a model says of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from nddo_ml.scf.solve import SCFResult


PER_ATOM = frozenset({"forces", "virials", "charges", "atomic_energies", "forces_spread"})


@dataclass(frozen=True)
class Prediction:
    """What a model says of a batch; everything but the energy is optional (None)."""

    energy: Tensor  # [systems] eV
    electronic_energy: Tensor | None = None  # [systems] eV
    core_energy: Tensor | None = None  # [systems] eV
    heat_of_formation: Tensor | None = None  # [systems] kcal/mol
    forces: Tensor | None = None  # [atoms, 3] eV/Å
    stress: Tensor | None = None  # [systems, 3, 3] eV/Å³, ASE sign (positive under tension)
    virials: Tensor | None = None  # [atoms, 3, 3] eV, per atom; minus their sum over the volume is the stress
    charges: Tensor | None = None  # [atoms] e
    dipole: Tensor | None = None  # [systems, 3] e·Å
    atomic_energies: Tensor | None = None  # [atoms] eV
    energy_spread: Tensor | None = None  # [systems] eV, standard deviation over a committee
    forces_spread: Tensor | None = None  # [atoms] eV/Å, norm of the committee's standard deviation
    shift_size: Tensor | None = None  # [systems], mean square of a hybrid's shifts over their bounds, in training
    scf: SCFResult | None = None

    def detached(self) -> Prediction:
        """The same without a graph."""
        values: dict[str, Any] = {k: v.detach() for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **values)

    def masked(self, failed: Tensor, system_idx: Tensor) -> Prediction:
        """The same with NaN for the systems ``failed`` [systems] bool and their atoms."""
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                bad = (failed if name not in PER_ATOM else failed[system_idx]).view(-1, *(1,) * (value.ndim - 1))
                changed[name] = torch.where(bad, torch.nan, value)
        return replace(self, **changed)
