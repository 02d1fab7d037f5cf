"""Items that stand one run after the other, given by the lengths of the runs: where runs begin, places within them."""

from __future__ import annotations

import torch
from torch import Tensor


def starts(counts: Tensor) -> Tensor:
    """Where each run begins, [runs]: the sum of the ``counts`` before it."""
    return torch.cumsum(counts, 0) - counts


def ranks(counts: Tensor) -> Tensor:
    """Place of every item within its run, [Σ counts]."""
    items = torch.arange(int(counts.sum()), device=counts.device)
    return items - torch.repeat_interleave(starts(counts), counts)
