"""ASE structures as flat tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from torch import Tensor


class Structures(NamedTuple):
    """A batch of molecules and periodic cells, atoms one after another; Å, float64."""

    numbers: Tensor  # [atoms] int64
    positions: Tensor  # [atoms, 3]
    system_idx: Tensor  # [atoms] int64
    cell: Tensor  # [systems, 3, 3]
    pbc: Tensor  # [systems, 3] bool


def structures_of(atoms: Atoms | Sequence[Atoms]) -> Structures:
    """The tensors of one ASE ``Atoms`` or a list of them; ValueError for an empty list."""
    frames = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    if not frames:
        raise ValueError("expected at least one structure; got an empty list")
    sizes = torch.as_tensor([len(f) for f in frames])
    return Structures(
        torch.as_tensor(np.concatenate([f.get_atomic_numbers() for f in frames]), dtype=torch.int64),
        torch.as_tensor(np.concatenate([f.get_positions() for f in frames]), dtype=torch.float64),
        torch.repeat_interleave(torch.arange(len(frames)), sizes),
        torch.as_tensor(np.stack([f.cell.array for f in frames]), dtype=torch.float64),
        torch.as_tensor(np.stack([f.pbc for f in frames]), dtype=torch.bool),
    )
