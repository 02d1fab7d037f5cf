"""PairCorrection: networks for the resonance integrals and the core repulsion of near pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Self, final

import torch
from torch import Tensor

from bp_descriptors.cutoffs import Cutoff
from nddo_ml.errors import InputError
from nddo_ml.hybrid.correction import Correction, PairFactors, copied
from nddo_ml.hybrid.features import AtomFeatures, Features
from nddo_ml.hybrid.networks import ACTIVATION, GAIN, element_networks, silence
from nddo_ml.integrals.layout import PairGroup
from nddo_ml.networks import FeedForward, NetworkShape

CHANNELS = ("ss", "sp", "sigma", "pi", "core")
_ENTRIES = {  # channel -> elements of a block in the local frame; ps is sp seen from the other atom
    "ss": ((0, 0),),
    "sp": ((0, 3),),
    "ps": ((3, 0),),
    "sigma": ((3, 3),),
    "pi": ((1, 1), (2, 2)),
}
FIRST = 0.5  # Å, centre of the first radial Gaussian


@final
class PairCorrection(Correction):
    """``S_AB → S_AB [1 + b f_c(R) tanh c N(h_A, h_B, R)]`` for resonance integrals and core repulsions.

    Each kind of overlap (s–s, s–p, p–p σ, p–p π) and the core repulsion have an output of N, which starts at zero;
    h are outputs of element networks, R enters in Gaussians, c = 0.1. Averaged over both orders of the atoms the
    factors are symmetric; they are smooth, and exactly one at and beyond the cut-off, so that no charge and no 1/R tail
    is touched.
    Integrals with d orbitals stay.

    Args:
        features: symmetry functions and their scaling.
        cutoff: Å, of the pair; left out, that of the features.
        bounds: b of resonance integrals and of core repulsions.
        radial: number of Gaussians of the distance.
        embedding: number of outputs h of an atom.
        hidden: widths of the hidden layers of both kinds of networks.
        seed: of the networks' weights.

    Raises:
        InputError: a bound outside (0, 1).
    """

    def __init__(
        self,
        features: AtomFeatures,
        cutoff: float | None = None,
        bounds: tuple[float, float] = (0.25, 0.05),
        radial: int = 10,
        embedding: int = 8,
        hidden: Sequence[int] = (32,),
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if not all(0 < b < 1 for b in bounds):
            raise InputError(f"bounds of pair functions must lie between 0 and 1; got {tuple(bounds)}")
        self.features = features
        self.bounds = (bounds[0], bounds[1])
        self.radial = radial
        self.embedding = embedding
        self.hidden = tuple(hidden)
        self.envelope = Cutoff(features.functions.cutoff if cutoff is None else cutoff, "poly2")
        self.embed = element_networks(features, hidden, embedding, seed)
        generator = None if seed is None else torch.Generator().manual_seed(seed + 1)
        shape = NetworkShape.uniform(2 * embedding + radial, hidden, ACTIVATION, len(CHANNELS))
        self.network = FeedForward(shape, generator)
        silence([self.network])

    def pair_factors(
        self, pairs: Sequence[PairGroup], distances: Sequence[Tensor], features: Features
    ) -> list[PairFactors | None]:
        """See the class."""
        embedded = self.embed(features.values.double(), features.numbers)
        if features.links is not None:
            reach = self.envelope.radius
            distances = [features.links.lengthened(p.a, p.b, r, reach) for p, r in zip(pairs, distances, strict=True)]
        trust = features.trust
        return [self._factors(pair, r, embedded, trust) for pair, r in zip(pairs, distances, strict=True)]

    def _factors(self, pair: PairGroup, distance: Tensor, embedded: Tensor, trust: Tensor | None) -> PairFactors:
        near = torch.nonzero(distance < self.envelope.radius).squeeze(1)
        a, b = pair.a[near], pair.b[near]
        one, two = self._outputs(embedded[a], embedded[b], distance[near])
        if trust is not None:
            one, two = (x * (trust[a] * trust[b])[:, None] for x in (one, two))
        mean = 0.5 * (one + two)
        values = torch.stack((mean[:, 0], one[:, 1], two[:, 1], mean[:, 2], mean[:, 3]), dim=1)
        table = _table(pair.width_a, pair.width_b).to(values)
        resonance, core = self.bounds
        block = (resonance * values @ table).view(-1, pair.width_a, pair.width_b)
        new = distance.new_ones
        return PairFactors(
            new(distance.shape[0], pair.width_a, pair.width_b).index_add(0, near, block),
            new(distance.shape[0]).index_add(0, near, core * mean[:, 4]),
        )

    def _outputs(self, h_a: Tensor, h_b: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """``f_c tanh c N`` for both orders of the atoms, [pairs, channels] each."""
        spacing = (self.envelope.radius - FIRST) / self.radial
        centers = FIRST + spacing * torch.arange(self.radial, dtype=torch.float64, device=r.device)
        radial = torch.exp(-0.5 * ((r.double()[:, None] - centers) / spacing) ** 2)
        envelope = self.envelope(r)[:, None]
        one, two = (
            torch.tanh(GAIN * self.network(torch.cat((*h, radial), dim=1))).to(r.dtype) * envelope
            for h in ((h_a, h_b), (h_b, h_a))
        )
        return one, two

    def scaled(self, factor: float) -> PairCorrection:
        """See the base class."""
        return copied(self, {**self.to_config(), "bounds": [factor * b for b in self.bounds]})

    def to_config(self) -> dict[str, Any]:
        """See the base class."""
        return {
            "cutoff": self.envelope.radius,
            "bounds": list(self.bounds),
            "radial": self.radial,
            "embedding": self.embedding,
            "hidden": list(self.hidden),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], features: AtomFeatures) -> Self:
        """See the base class."""
        return cls(features, **config)


@cache
def _table(width_a: int, width_b: int) -> Tensor:
    """[kinds of overlap, width_a * width_b]: which elements of a block each belongs to."""
    table = torch.zeros(len(_ENTRIES), width_a, width_b, dtype=torch.float64)
    for k, entries in enumerate(_ENTRIES.values()):
        for i, j in entries:
            if i < width_a and j < width_b:
                table[k, i, j] = 1
    return table.flatten(1)
