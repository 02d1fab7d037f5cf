"""Exchanged off-diagonal components in stress labels: found by comparison with a model, and put right.

Programs order the six components differently (VASP: xx yy zz xy yz zx; Voigt: xx yy zz yz xz xy), and converted
data sets carry the mistake. Such labels are not a tensor field, so no potential can follow them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations

import torch
from torch import Tensor

from nddo_ml.datasets.checks import LinearPrediction
from nddo_ml.datasets.dataset import Dataset

NAMES = ("yz", "xz", "xy")
PLACES = ((1, 2), (0, 2), (0, 1))
Order = tuple[int, int, int]  # component k of the tensor stands at place order[k] of the labels


def find_order(predicted: Tensor, reference: Tensor) -> Order | None:
    """The order of (yz, xz, xy) under which labels [n, 3, 3] fit predictions far better than as they stand.

    None when the given order is the best, or no other brings the mean absolute error below 0.6 of its own.
    """
    ours, theirs = _off_diagonal(predicted), _off_diagonal(reference)
    if ours.shape[0] < 5 or float(theirs.abs().mean()) < 1e-6:
        return None
    errors = {p: float((ours - theirs[:, list(p)]).abs().mean()) for p in permutations(range(3))}
    best = min(errors, key=lambda p: errors[p])
    given = errors[(0, 1, 2)]
    return (best[0], best[1], best[2]) if errors[best] < 0.6 * given else None


def find_orders(predicted: Tensor, reference: Tensor, groups: Sequence[str]) -> dict[str, Order]:
    """:func:`find_order` for each group of structures; groups that are in order are left out."""
    orders = {}
    for group in sorted(set(groups)):
        here = torch.tensor([g == group for g in groups])
        order = find_order(predicted[here], reference[here])
        if order is not None:
            orders[group] = order
    return orders


def reordered(stress: Tensor, groups: Sequence[str], orders: Mapping[str, Order]) -> Tensor:
    """Stress labels [n, 3, 3] with the off-diagonal components of some groups put in their places."""
    fixed = stress.clone()
    for group, order in orders.items():
        here = torch.tensor([g == group for g in groups])
        for (a, b), k in zip(PLACES, order, strict=True):
            c, d = PLACES[k]
            fixed[here, a, b] = fixed[here, b, a] = stress[here, c, d]
    return fixed


def with_orders(dataset: Dataset, orders: Mapping[str, Order]) -> Dataset:
    """The data with reordered stress labels."""
    stress = reordered(dataset.labels.values["stress"], dataset.groups, orders)
    return replace(dataset, labels=replace(dataset.labels, values={**dataset.labels.values, "stress": stress}))


def message(orders: Mapping[str, Order]) -> str:
    """What is wrong, in words."""
    parts = []
    for group, order in orders.items():
        moved = [f"{NAMES[k]} where {NAMES[place]} belongs" for place, k in enumerate(order) if place != k]
        parts.append(f"group {group}: {', '.join(moved)}")
    return f"stress labels have off-diagonal components exchanged ({'; '.join(parts)})"


def orders_by_forces(from_forces: LinearPrediction, dataset: Dataset) -> dict[str, Order]:
    """:func:`find_orders` against a potential that was fitted to the forces alone."""
    chosen = [n for n, k in enumerate(from_forces.structures) if dataset.labels.has("stress")[k]]
    used = [from_forces.structures[n] for n in chosen]
    groups = [dataset.groups[k] for k in used]
    return find_orders(from_forces.stress[chosen], dataset.labels.values["stress"][used], groups)


def _off_diagonal(stress: Tensor) -> Tensor:
    return torch.stack([stress[:, a, b] for a, b in PLACES], 1)
