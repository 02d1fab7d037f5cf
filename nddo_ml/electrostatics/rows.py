"""Flat atoms as rows of padded matrices, one matrix a system, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.systems import Systems


@dataclass(frozen=True)
class AtomRows:
    """Which row of which system's matrix an atom has."""

    system_idx: Tensor  # [atoms]
    place: Tensor  # [atoms], within the system
    counts: Tensor  # [systems]

    @classmethod
    def of(cls, systems: Systems) -> AtomRows:
        """Those of a batch."""
        return cls(systems.system_idx, systems.places, systems.atoms_per_system)

    @property
    def mask(self) -> Tensor:
        """Which rows hold atoms, [systems, rows] bool."""
        return torch.arange(int(self.counts.max()), device=self.counts.device) < self.counts[:, None]

    def padded(self, values: Tensor) -> Tensor:
        """[systems, rows, …] of [atoms, …], zeros in rows without an atom."""
        out = values.new_zeros(*self.mask.shape, *values.shape[1:])
        return out.index_put((self.system_idx, self.place), values)

    def flat(self, padded: Tensor) -> Tensor:
        """[atoms, …] of [systems, rows, …]."""
        return padded[self.system_idx, self.place]
