"""Which few symmetry functions tell classes of atoms apart (scikit-learn, extra ``studies``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Selection:
    """Columns of G in the order in which they were chosen, and what they tell."""

    columns: tuple[int, ...]
    accuracy: tuple[float, ...]  # of atoms that were left out, with the first, the first two, … columns
    classes: tuple[str, ...]
    confusion: np.ndarray  # [classes, classes] atoms that were left out: of the row's class, called the column's


def select_functions(
    G: Tensor, labels: Sequence[str], groups: Sequence[int], most: int = 4, columns: Sequence[int] | None = None
) -> Selection:
    """Greedy choice of the columns of G that tell ``labels`` apart best by one Gaussian a class.

    One after another the column is taken with which a quadratic discriminant, one Gaussian a class with a covariance
    of its own, calls most of the atoms rightly that were left out; five parts are left out in turn, and none shares
    a group with another.

    Args:
        G: [atoms, features].
        labels: [atoms] names of the classes.
        groups: [atoms] of the molecule, say: atoms of one group are left out together.
        most: columns to choose.
        columns: to choose from; None: all.

    Raises:
        ValueError: lengths that differ, fewer than two classes or five groups.
        ImportError: scikit-learn is not installed.
    """
    x, y, who = G.detach().cpu().numpy(), np.asarray(labels), np.asarray(groups)
    if not len(x) == len(y) == len(who):
        raise ValueError(f"expected a label and a group an atom; got {len(y)} and {len(who)} for {len(x)} atoms")
    if len(set(y)) < 2 or len(set(who)) < 5:
        raise ValueError(f"expected two classes and five groups at least; got {len(set(y))} and {len(set(who))}")
    varying = [k for k in (range(x.shape[1]) if columns is None else columns) if np.ptp(x[:, k]) > 0]
    chosen: list[int] = []
    accuracy: list[float] = []
    called = y
    for _ in range(min(most, len(varying))):
        tried = {k: _left_out(x[:, [*chosen, k]], y, who) for k in varying if k not in chosen}
        best = max(tried, key=lambda k: float((tried[k] == y).mean()))
        chosen.append(best)
        called = tried[best]
        accuracy.append(float((called == y).mean()))
    classes = sorted(set(y.tolist()))
    confusion = np.array([[int(((y == a) & (called == b)).sum()) for b in classes] for a in classes])
    return Selection(tuple(chosen), tuple(accuracy), tuple(classes), confusion)


def _left_out(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """What each atom is called by a discriminant fitted without its part."""
    called = np.empty_like(y)
    for train, test in _learn("model_selection").GroupKFold(5).split(x, y, groups):
        scale = np.std(x[train], axis=0) + 1e-12
        model = _learn("discriminant_analysis").QuadraticDiscriminantAnalysis(reg_param=1e-3)
        called[test] = model.fit(x[train] / scale, y[train]).predict(x[test] / scale)
    return called


def _learn(part: str) -> Any:
    try:
        return import_module(f"sklearn.{part}")
    except ImportError as error:
        raise ImportError("selecting functions needs scikit-learn: install the extra `studies`") from error
