"""What follows from counting flat atoms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from bp_descriptors.runs import ranks
from nddo_ml.elements import symbol_of


def places(system_idx: Tensor, counts: Tensor) -> Tensor:
    """Place of each atom [atoms] within its system, where the systems have ``counts`` atoms."""
    order = torch.argsort(system_idx, stable=True)
    return torch.empty_like(system_idx).index_copy(0, order, ranks(counts))


def lowest_multiplicity(numbers: Tensor, system_idx: Tensor, charge: Tensor) -> Tensor:
    """1 or 2, whichever the number of electrons Σ Z − q allows, [systems] int64."""
    protons = torch.zeros_like(charge).index_add(0, system_idx, numbers)
    return 1 + (protons - charge) % 2


def formula(numbers: Sequence[int], charge: int) -> str:
    """Hill's formula of atoms by atomic number, their charge behind it: "C2H3O2 −1"."""
    counts = Counter(map(symbol_of, numbers))
    first = [s for s in ("C", "H") if "C" in counts and s in counts]
    order = [*first, *sorted(set(counts) - set(first))]
    sign = f" {charge:+d}".replace("-", "−") if charge else ""
    return "".join(s if counts[s] == 1 else f"{s}{counts[s]}" for s in order) + sign
