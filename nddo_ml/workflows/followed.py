"""One structure followed from call to call: what of it has changed, and a density to start from."""

from __future__ import annotations

from collections import deque

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from nddo_ml.structures.charge_spin import said_in_info
from nddo_ml.systems import Systems

_ARRAYS = ("positions", "numbers", "initial_charges", "initial_magmoms", "charges", "masses")
_HISTORY = 8  # geometries that a start is combined of
_RIDGE = 1e-5  # of the step's length, so that errors of the densities are not blown up


def changes_between(old: Atoms, new: Atoms) -> list[str]:
    """Names of what differs of all that a calculation depends on, "info" for charge and spin given there."""
    found = [name for name in _ARRAYS if not _equal(old.arrays.get(name), new.arrays.get(name))]
    found += [name for name in ("cell", "pbc") if not np.array_equal(getattr(old, name), getattr(new, name))]
    if (old.info or new.info) and said_in_info(old) != said_in_info(new):
        found.append("info")
    return found


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


class Densities:
    """The last densities of one molecule, and what they are at its next geometry.

    ``P ≈ Σ c_k P_k`` with Σ c = 1, where the c are those that make ``Σ c_k x_k`` nearest to the new positions x: in
    dynamics an extrapolation in time, after a jump the density of the nearest geometry. A start changes nothing but the
    number of iterations.
    Source: Polack, Mikhalev, Dusson, Stamm & Lipparini, Mol. Phys. 118, e1779834 (2020).
    """

    def __init__(self) -> None:
        self._last: deque[tuple[Systems, Tensor]] = deque(maxlen=_HISTORY)

    def add(self, systems: Systems, density: Tensor) -> None:
        """Remember the density [1, spin, M, M] of a molecule; those of another are forgotten."""
        if self._last and not _same_molecule(self._last[-1][0], systems):
            self._last.clear()
        self._last.append((systems, density))

    def start(self, systems: Systems) -> Tensor | None:
        """A density to start from; None for another molecule than that of the last call."""
        if not self._last or not _same_molecule(self._last[-1][0], systems):
            return None
        weights = _weights([s.positions.detach().cpu().numpy() for s, _ in self._last], systems.positions)
        start = weights[0] * self._last[0][1]
        for weight, (_, density) in zip(weights[1:], list(self._last)[1:], strict=True):
            start.add_(density, alpha=weight)
        return start


def _weights(known: list[np.ndarray], new: Tensor) -> list[float]:
    """Weights of sum one of the positions ``known``, whose combination is nearest to ``new``."""
    last = known[-1]
    step = (new.detach().cpu().numpy() - last).reshape(-1)
    back = np.stack([(x - last).reshape(-1) for x in known])[:-1]
    gram = back @ back.T
    gram.flat[:: len(gram) + 1] += _RIDGE**2 * (step @ step) + np.finfo(gram.dtype).tiny
    weights: list[float] = np.linalg.solve(gram, back @ step).tolist()
    return [*weights, 1.0 - sum(weights)]


def _same_molecule(one: Systems, other: Systems) -> bool:
    return one is other or all(
        getattr(one, name) is getattr(other, name) or torch.equal(getattr(one, name), getattr(other, name))
        for name in ("numbers", "charge", "multiplicity")
    )
