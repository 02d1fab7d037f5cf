"""What surrounds atoms, in closed form: distances, links, symmetry functions, and the way back to positions.

The definition is :class:`nddo_ml.hybrid.features.AtomFeatures`; symmetry functions are compiled, all else are sums over
atoms and pairs in numpy. Atoms are those of the core's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from bp_descriptors.fast import FORWARD, PULL
from nddo_ml.core.pairs import Links, PairList, envelope
from nddo_ml.core.trust import Trust
from nddo_ml.hybrid.features import HALF_CROWDED, AtomFeatures


@dataclass(frozen=True)
class Surroundings:
    """Pairs, distances and symmetry functions of a batch at some positions."""

    features: AtomFeatures
    pairs: PairList
    unit: np.ndarray  # [pairs, 3] from a to b
    r: np.ndarray  # [pairs] Å
    longer: np.ndarray  # [pairs] Å, of atoms that are not linked
    links: Links | None
    near: np.ndarray  # indices of the pairs within the cut-off
    order: np.ndarray  # [2 near] directed pairs (a to b, then b to a), by their first atom
    first: np.ndarray  # [atoms + 1] where the pairs of an atom begin
    element: np.ndarray  # [atoms] index of the element of the functions
    values: np.ndarray  # [atoms, F] scaled symmetry functions
    gain: np.ndarray  # [atoms, F] their slopes by the unscaled ones
    presence: np.ndarray  # [atoms], times the trust
    bare: np.ndarray  # [atoms], without
    crowd: np.ndarray  # [atoms]
    fall: tuple[np.ndarray, np.ndarray]  # [near] cut-off function and slope
    trust: Trust | None

    @classmethod
    def of(
        cls,
        features: AtomFeatures,
        pairs: PairList,
        element: np.ndarray,
        scaling: tuple[np.ndarray, np.ndarray],
        inside: Sequence[np.ndarray],
        positions: np.ndarray,
    ) -> Surroundings:
        """At positions [atoms, 3] Å, with gain and offset [atoms, F] of the functions.

        ``inside`` are the atoms of each of the domain's elements.
        """
        v = positions[pairs.b] - positions[pairs.a]
        r = np.sqrt(np.square(v).sum(axis=1))
        unit, cutoff = v / r[:, None], features.functions.cutoff
        links = Links.of(pairs, r, cutoff) if features.bonded else None
        longer = r if links is None else r + (1 - links.weights) * cutoff
        near = np.flatnonzero((longer < cutoff) & (r < cutoff))
        centers = np.concatenate((pairs.a[near], pairs.b[near]))
        order = np.argsort(centers, kind="stable")
        n, (gain, offset) = len(positions), scaling
        fall = envelope(features.envelope, longer[near])
        crowd = np.bincount(centers, weights=np.tile(fall[0], 2), minlength=n)
        first = np.concatenate(([0], np.cumsum(np.bincount(centers, minlength=n))))
        bare = -np.expm1(-np.square(crowd / HALF_CROWDED))
        made = cls(
            features=features,
            pairs=pairs,
            unit=unit,
            r=r,
            longer=longer,
            links=links,
            near=near,
            order=order,
            first=first,
            element=element,
            values=offset,
            gain=gain,
            presence=bare,
            bare=bare,
            crowd=crowd,
            fall=fall,
            trust=None,
        )
        g = np.zeros(offset.shape)
        made._functions(FORWARD, np.zeros((1, 3)), g)
        np.multiply(g, gain, out=g)
        g += offset
        trust = None if features.domain is None else Trust(features.domain, inside, g)
        return replace(made, values=g, trust=trust, presence=bare if trust is None else bare * trust.value)

    def lengthened(self, reach: float) -> np.ndarray:
        """``r + (1 − w) reach``, [pairs] Å."""
        return self.r if self.links is None else self.r + (1 - self.links.weights) * reach

    def backward(
        self,
        by_values: np.ndarray,
        by_presence: np.ndarray,
        by_trust: np.ndarray,
        by_r: np.ndarray,
        by_weight: np.ndarray,
    ) -> np.ndarray:
        """Derivatives by the positions [atoms, 3] of what depends on values, presence, trust, distances, links.

        ``by_values`` is changed, the last two are [pairs].
        """
        if self.trust is not None:
            self.trust.backward(by_trust + by_presence * self.bare, by_values)
            by_presence = by_presence * self.trust.value
        near, n = self.near, len(self.presence)
        pulled = np.zeros((2 * len(near), 3))
        self._functions(PULL, pulled, by_values * self.gain)
        both = np.empty_like(pulled)
        both[self.order] = pulled
        toward = both[: len(near)] - both[len(near) :]  # of the vector from a to b
        unit = self.unit[near]
        along = (toward * unit).sum(axis=1)
        by_crowd = by_presence * (1 - self.bare) * 2 * self.crowd / HALF_CROWDED**2
        crowded = by_crowd[self.pairs.a[near]] + by_crowd[self.pairs.b[near]]
        by_longer = along + crowded * self.fall[1]
        slope = by_r.copy()
        slope[near] += by_longer
        if self.links is not None:
            by_weight = by_weight.copy()
            by_weight[near] -= self.features.functions.cutoff * by_longer
            slope += self.links.backward(by_weight)
        by_vector = slope[:, None] * self.unit
        by_vector[near] += (self.longer[near] / self.r[near])[:, None] * (toward - along[:, None] * unit)
        found: np.ndarray = np.stack(
            [
                np.bincount(self.pairs.b, weights=by_vector[:, x], minlength=n)
                - np.bincount(self.pairs.a, weights=by_vector[:, x], minlength=n)
                for x in range(3)
            ],
            axis=1,
        )
        return found

    def _functions(self, mode: int, field: np.ndarray, g: np.ndarray) -> None:
        near = self.near
        vectors = self.unit[near] * self.longer[near, None]
        directed = np.concatenate((vectors, -vectors))[self.order]
        others = np.concatenate((self.pairs.b[near], self.pairs.a[near]))[self.order]
        element = torch.from_numpy(self.element)
        run = self.features.functions.compiled.run
        run(mode, element, self.first, self.element[others], torch.from_numpy(directed), field, g)
