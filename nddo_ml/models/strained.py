"""Systems under a strain: positions and cells by which an energy is differentiated for forces and stress."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.systems import Systems


@dataclass(frozen=True)
class Strained:
    """A batch whose positions and cells follow a strain ε, ``R + R ε``, that is zero."""

    systems: Systems
    inputs: list[Tensor]  # what an energy of ``systems`` is differentiated by: positions, and strain where stress is

    @classmethod
    def of(cls, systems: Systems, *, forces: bool, stress: bool) -> Strained:
        """``systems`` with positions (and strain) of their own in the graph; nothing changes without derivatives."""
        if not (forces or stress):
            return cls(systems, [])
        old = systems.positions
        positions = old.clone() if old.requires_grad else old.detach().requires_grad_()
        if not stress:
            return cls(systems.with_positions(positions), [positions])
        strain = positions.new_zeros(systems.n_systems, 3, 3).requires_grad_()
        moved = positions + torch.einsum("ak,akl->al", positions, strain[systems.system_idx])
        return cls(systems.with_positions(moved, systems.cell + systems.cell @ strain), [positions, strain])
