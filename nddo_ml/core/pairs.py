"""All pairs of a molecule's atoms, and the links that lengthen them, with the way back to positions.

Closed forms of :class:`nddo_ml.hybrid.features.Links` in numpy, for molecules so small that a graph costs more than the
numbers. Atoms are those of the core's order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bp_descriptors.cutoffs import Cutoff
from nddo_ml.core.plan import Plan
from nddo_ml.elements import HYDROGEN, covalent_radii
from nddo_ml.hybrid import features
from nddo_ml.threads import product

_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class PairList:
    """Pairs a < b of each system, (0, 1), (0, 2) …, (1, 2) …, system by system."""

    a: np.ndarray  # [pairs] atoms
    b: np.ndarray
    place: tuple[np.ndarray, np.ndarray, np.ndarray]  # system, places of a and b within it
    shape: tuple[int, int, int]  # of matrices of all systems' atoms
    radii: np.ndarray  # [pairs] Å, sum of covalent radii
    range: np.ndarray  # [pairs] where a bond ends less where it begins to, in units of the radii

    @classmethod
    def of(cls, plan: Plan) -> PairList:
        """The pairs of a batch."""
        counts = np.diff(plan.first_atom)
        ones = [np.triu_indices(n, k=1) for n in counts]
        system = np.repeat(np.arange(len(counts)), counts * (counts - 1) // 2)
        one, two = (np.concatenate([pair[k] for pair in ones]) for k in (0, 1))
        first = plan.first_atom[system]
        a, b = first + one, first + two
        radius = covalent_radii(torch.from_numpy(plan.numbers), torch.float64).numpy()
        hydrogens = (plan.numbers[a] == HYDROGEN).astype(int) + (plan.numbers[b] == HYDROGEN)
        most = int(counts.max())
        broken = np.array(features.BROKEN)[hydrogens]
        return cls(a, b, (system, one, two), (len(counts), most, most), radius[a] + radius[b], broken - features.STRONG)


@dataclass(frozen=True)
class Links:
    """Which pairs are linked by at most six bonds: 1 when they are, 0 when not."""

    pairs: PairList
    weights: np.ndarray  # [pairs]
    bond: tuple[np.ndarray, np.ndarray]  # [pairs] strength and its slope by the distance
    powers: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # B, B², B³ and their sum
    paths: np.ndarray  # [systems, n, n]

    @classmethod
    def of(cls, pairs: PairList, r: np.ndarray, cutoff: float) -> Links:
        """Links of pairs at distances r [pairs] Å; only those nearer than the cut-off are bonds."""
        x = np.clip((r / pairs.radii - features.STRONG) / pairs.range, 0.0, 1.0)
        fall, slope = poly2(x)
        near = r < cutoff
        strength, slope = fall * near, slope * near / (pairs.radii * pairs.range)
        system, one, two = pairs.place
        bonds = np.zeros(pairs.shape)
        bonds[system, one, two] = bonds[system, two, one] = strength**features.SHARP
        twice = product(bonds, bonds)
        thrice = product(twice, bonds)
        three = bonds + twice + thrice
        paths = three + product(thrice, three)
        strongest = _root(paths[pairs.place])
        weights = 1 - np.maximum(1 - strongest, 0.0) ** 3
        return cls(pairs, weights, (strength, slope), (bonds, twice, thrice, three), paths)

    def backward(self, by_weight: np.ndarray) -> np.ndarray:
        """Derivatives by the distances [pairs] of ``Σ weights · by_weight``."""
        bonds, twice, thrice, three = self.powers
        system, one, two = self.pairs.place
        paths = self.paths[self.pairs.place]
        strongest = _root(paths)
        inner = 3 * np.maximum(1 - strongest, 0.0) ** 2 * strongest / np.maximum(paths, _TINY) / features.SHARP
        by_paths = np.zeros(self.pairs.shape)
        by_paths[self.pairs.place] = by_weight * inner
        # all of these matrices but the first are symmetric
        by_three = by_paths + product(thrice, by_paths)
        by_thrice = by_three + product(by_paths, three)
        by_twice = by_three + product(by_thrice, bonds)
        by_bonds = by_three + product(twice, by_thrice) + product(by_twice, bonds) + product(bonds, by_twice)
        strength, slope = self.bond
        both = by_bonds[system, one, two] + by_bonds[system, two, one]
        found: np.ndarray = both * features.SHARP * strength ** (features.SHARP - 1) * slope
        return found


def poly2(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cut-off function of that name and its slope at x in [0, 1], see :class:`bp_descriptors.cutoffs.Cutoff`."""
    cube = x * x * x
    return 1 - cube * (10 - x * (15 - 6 * x)), -30 * np.square(x * (1 - x))


def envelope(cutoff: Cutoff, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A poly2 cut-off without inner radius of distances r and its slope."""
    value, slope = poly2(np.minimum(r / cutoff.radius, 1.0))
    return value, slope / cutoff.radius


def _root(paths: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.where(paths > _TINY, np.maximum(paths, _TINY) ** (1 / features.SHARP), 0.0)
    return found
