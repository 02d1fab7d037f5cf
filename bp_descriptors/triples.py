"""From neighbour pairs to triples: two neighbours of one centre."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors.runs import ranks


@dataclass(frozen=True)
class Triples:
    """Two pairs a < b with the same centre; every unordered couple of neighbours once."""

    a: Tensor  # [triples] int64, index into the pairs
    b: Tensor  # [triples] int64, index into the pairs


def triples_of(i: Tensor) -> Triples:
    """All couples of pairs with the same centre, from the centres ``i`` [pairs] of a full neighbour list.

    A centre with n neighbours has n (n − 1) / 2 triples; the cost is linear in the number of triples.
    """
    order = None
    if bool((i[1:] < i[:-1]).any()):
        order = torch.argsort(i, stable=True)
        i = i[order]
    _, n = torch.unique_consecutive(i, return_counts=True)
    end = torch.repeat_interleave(torch.cumsum(n, 0), n)
    index = torch.arange(i.shape[0], device=i.device)
    later = end - index - 1  # neighbours of the same centre that come after this one
    a = torch.repeat_interleave(index, later)
    b = a + 1 + ranks(later)
    if order is None:
        return Triples(a, b)
    a, b = order[a], order[b]
    return Triples(torch.minimum(a, b), torch.maximum(a, b))
