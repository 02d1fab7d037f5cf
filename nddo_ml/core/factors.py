"""Factors of pairs of atoms, in the order in which the compiled core goes through pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from nddo_ml.hybrid.correction import PairFactors
from nddo_ml.integrals.layout import OrbitalLayout

N_FACTORS = 15  # of overlaps (l_a, l_b, m), at most 14, and last of the core repulsion
_FIRST = {0: (0,), 1: (3, 1), 2: (6, 5, 4)}  # l -> an orbital of each m


def factors_by_pair(factors: Sequence[PairFactors | None], layout: OrbitalLayout) -> Tensor | None:
    """Factors of the groups of pairs as rows [pairs, N_FACTORS], with their graph; None where all are one.

    Pairs are those of a system's atoms in the order of their orbitals, (0, 1), (0, 2) …, (1, 2) …, system by system.
    """
    if all(f is None for f in factors):
        return None
    counts = torch.bincount(layout.system_idx, minlength=layout.n_systems)
    pairs = counts * (counts - 1) // 2
    first_pair, first_atom = torch.cumsum(pairs, 0) - pairs, torch.cumsum(counts, 0) - counts
    place = torch.empty_like(layout.first_row)
    order = torch.argsort(layout.system_idx * layout.size + layout.first_row)
    place[order] = torch.arange(place.shape[0])
    place = place - first_atom[layout.system_idx]
    rows = torch.ones(int(pairs.sum()), N_FACTORS, dtype=torch.float64)
    for group, of_group in zip(layout.pair_groups, factors, strict=True):
        if of_group is None:
            continue
        system, i, j = layout.system_idx[group.a], place[group.a], place[group.b]
        at = first_pair[system] + i * (2 * counts[system] - i - 1) // 2 + j - i - 1
        one, two = _orbitals(group.width_a, group.width_b)
        overlaps = of_group.resonance[:, one, two]
        padding = overlaps.new_ones(at.shape[0], N_FACTORS - 1 - overlaps.shape[1])
        rows = rows.index_copy(0, at, torch.cat((overlaps, padding, of_group.core[:, None]), dim=1))
    return rows


@cache
def _orbitals(width_a: int, width_b: int) -> tuple[Tensor, Tensor]:
    """An element of a local block for each overlap, in the core's order l_a, l_b, m."""
    shells = [range({1: 1, 4: 2, 9: 3}[w]) for w in (width_a, width_b)]
    pairs = [(_FIRST[a][m], _FIRST[b][m]) for a in shells[0] for b in shells[1] for m in range(min(a, b) + 1)]
    one, two = torch.tensor(pairs).T
    return one, two
