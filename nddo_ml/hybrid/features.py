"""What corrections know of an atom: scaled symmetry functions, and how far it is from being alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bp_descriptors import Pairs, Scaler, SymmetryFunctions, neighbor_list, pair_vectors
from bp_descriptors.cutoffs import Cutoff
from bp_descriptors.geometry import norm
from nddo_ml.elements import HYDROGEN, covalent_radii, number_of
from nddo_ml.hybrid.domain import Domain
from nddo_ml.systems import Systems

STRONG = 1.2  # bonds up to this length in sums of covalent radii count fully,
BROKEN = (1.8, 1.45, 2.8)  # from here on not at all: without, with one (hydrogen bonds!), with two hydrogens
_HALF = (0.3, 0.8)  # half-broken bonds around an atom at which trust begins to fall, and ends
_FALL = Cutoff(1.0, "poly2")
SHARP = 16  # a smooth maximum over paths: the norm of this order
_FOREIGN = 2.0  # Å; trust in an atom begins beyond this distance from elements that there are no functions for
HALF_CROWDED = 0.5  # neighbours, counted by the cut-off function, at which presence is 1 − 1/e


@dataclass(frozen=True)
class Links:
    """How far atoms are linked by at most six bonds: 1 when they are, 0 when not, smooth in the positions.

    With b = f(r / (R_i + R_j)) between atoms of covalent radii R, 1 up to 1.2 and 0 from 1.45 on for a hydrogen and
    another element (1.8 without hydrogen, 2.8 for two), a path is as strong as the product of its bonds. The p-norm
    over all paths of at most six bonds is a smooth maximum, ``s_ij = ((B + B² + … + B⁶)_ij)^(1/p)`` with powers of the
    matrix B of b^p, p = 16; ``w_ij = T(s_ij)`` with T(s) = 1 − (1 − s)³ up to s = 1, then 1.
    """

    weights: Tensor  # [atoms, n] with the atoms of the same system, n of the largest
    place: Tensor  # [atoms] column of an atom
    halves: Tensor  # [atoms] number of bonds that are half broken or half made, hydrogens' not counted

    @classmethod
    def of(cls, systems: Systems, i: Tensor, j: Tensor, distance: Tensor) -> Links:
        """Links of a batch whose pairs i, j [pairs] (both orders) are ``distance`` apart."""
        place = systems.places
        radius = covalent_radii(systems.numbers, distance.dtype)
        hydrogen = (systems.numbers == HYDROGEN).long()
        broken = distance.new_tensor(BROKEN)[hydrogen[i] + hydrogen[j]]
        strength = _FALL((distance / (radius[i] + radius[j]) - STRONG) / (broken - STRONG))
        n = int(systems.atoms_per_system.max())
        bonds = distance.new_zeros(systems.n_systems, n, n).index_put(
            (systems.system_idx[i], place[i], place[j]), strength**SHARP
        )
        twice = bonds @ bonds
        thrice = twice @ bonds
        three = bonds + twice + thrice
        paths = three + thrice @ three
        none = torch.finfo(paths.dtype).tiny
        strongest = torch.where(paths > none, paths.clamp(min=none) ** (1 / SHARP), 0.0)
        reach = 1 - (1 - strongest).clamp(min=0) ** 3
        common = torch.where(twice > none, twice.clamp(min=none) ** (1 / SHARP), 0.0).clamp(max=1)
        half = 4 * strength * (1 - strength) * (1 - common[systems.system_idx[i], place[i], place[j]])
        half = torch.where(hydrogen[i] + hydrogen[j] == 0, half, 0.0)
        halves = distance.new_zeros(systems.n_atoms).index_add(0, i, half)
        return cls(reach[systems.system_idx, place], place, halves)

    def whole(self, i: Tensor, j: Tensor, near: Tensor) -> Tensor:
        """1 where no bond is half broken here or at atoms j near atoms i, 0 where one is, smooth, [atoms].

        A bond of strength b is half broken by ``4 b (1 − b) (1 − s)``, s the strength of the strongest path of two
        bonds, since atoms with a common neighbour are near without a bond; ``near`` [pairs] weighs the pairs.
        """
        around = self.halves.index_add(0, i, near * self.halves[j])
        return _FALL((around - _HALF[0]) / (_HALF[1] - _HALF[0]))

    def lengthened(self, a: Tensor, b: Tensor, distance: Tensor, cutoff: float) -> Tensor:
        """``r + (1 − w) r_c``: distances that are beyond the cut-off for atoms that are not linked."""
        return distance + (1 - self.weights[a, self.place[b]]) * cutoff


@dataclass(frozen=True)
class Features:
    """Of the atoms of a batch, with their graph to the positions."""

    numbers: Tensor  # [atoms]
    values: Tensor  # [atoms, F] scaled symmetry functions
    presence: Tensor  # [atoms] 0 for an atom without neighbours, near 1 for a bonded one, smooth; times the trust
    links: Links | None = None  # which atoms count as neighbours; None: all
    trust: Tensor | None = None  # [atoms] 1 inside the data, 0 far outside, smooth; None: 1

    def of_atoms(self, atoms: Tensor) -> Features:
        """Those of ``atoms`` [m], without the links."""
        trust = None if self.trust is None else self.trust[atoms]
        return Features(self.numbers[atoms], self.values[atoms], self.presence[atoms], trust=trust)


class AtomFeatures(nn.Module):
    """Scaled symmetry functions, and the presence ``1 − exp(−(n/n_0)²)`` with ``n_i = Σ_j f_c(r_ij)``.

    Presence is exactly zero, with its slope, for an atom without neighbours; corrections are multiplied with it.

    Args:
        functions: the symmetry functions.
        scaler: their centring and scaling.
        bonded: only atoms linked by at most six bonds are neighbours (:class:`Links`), so that molecules do not
            see each other: their interaction is the parent's. Others are moved smoothly beyond the cut-off.
        domain: outside of which corrections fade to the parent; None: they never do.
    """

    def __init__(
        self, functions: SymmetryFunctions, scaler: Scaler, bonded: bool = False, domain: Domain | None = None
    ) -> None:
        super().__init__()
        self.bonded = bonded
        self.domain = domain
        self.functions = functions
        self.scaler = scaler
        self.envelope = Cutoff(functions.cutoff, "poly2")

    @classmethod
    def default(
        cls,
        elements: Sequence[str],
        cutoff: float = 5.0,
        *,
        size: str = "small",
        data: Iterable[Systems] = (),
        bonded: bool = False,
        **options: Any,
    ) -> AtomFeatures:
        """An automatic set for ``elements``, scaled to the structures of ``data``, if any.

        Options are those of :func:`bp_descriptors.presets.default_functions`.

        Raises:
            ValueError: an unknown element or size, a cut-off below 1.5 Å.
        """
        options = {"cutoff_kind": "poly2", **options}
        functions = SymmetryFunctions.default(elements, cutoff, size=size, **options)
        with torch.no_grad():
            batches = [(_Seen.of(functions, bonded, s).described, s.numbers) for s in data]
        if batches:
            return cls(functions, Scaler.fit(functions, batches, mode="sigma"), bonded)
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        return cls(functions, Scaler(functions, statistics, "none"), bonded)

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that there are symmetry functions for."""
        return frozenset(number_of(s) for s in self.functions.elements)

    def forward(self, systems: Systems) -> Features:
        """The features of a batch of molecules; atoms of other elements have none, and no trust."""
        seen = _Seen.of(self.functions, self.bonded, systems)
        values = self.scaler(seen.described, systems.numbers)
        near = self.envelope(seen.distance)
        crowd = values.new_zeros(systems.n_atoms).index_add(0, seen.i, near)
        presence = -torch.expm1(-((crowd / HALF_CROWDED) ** 2))
        trust = None
        if self.domain is not None:
            trust = self.domain(values, systems.numbers) * seen.foreign
            if seen.links is not None and not self.domain.breaking:
                trust = trust * seen.links.whole(seen.i, seen.j, near)
            presence = presence * trust
        return Features(systems.numbers, values, presence, seen.links, trust)

    def to_config(self) -> dict[str, Any]:
        """Plain data; :meth:`from_config` reads it."""
        config = {"functions": self.functions.to_dict(), "scaler": self.scaler.to_dict(), "bonded": self.bonded}
        return config if self.domain is None else {**config, "domain": self.domain.to_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AtomFeatures:
        """Features of the configuration, their statistics yet to be loaded."""
        functions = SymmetryFunctions.from_dict(config["functions"])
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        domain = Domain.from_config(config["domain"]) if "domain" in config else None
        return cls(functions, Scaler(functions, statistics, **config["scaler"]), config.get("bonded", False), domain)


@dataclass(frozen=True)
class _Seen:
    """What symmetry functions see of a batch: pairs of atoms of their elements."""

    described: Tensor  # [atoms, F] zero for other elements
    i: Tensor  # [pairs]
    j: Tensor  # [pairs]
    distance: Tensor  # [pairs] Å, lengthened where atoms are not linked
    links: Links | None
    foreign: Tensor  # [atoms] what atoms of other elements leave of the trust: 0 for themselves, less than 1 near them

    @classmethod
    def of(cls, functions: SymmetryFunctions, bonded: bool, systems: Systems) -> _Seen:
        pairs = neighbor_list(systems.positions, functions.cutoff, systems.system_idx)
        vectors = pair_vectors(systems.positions, pairs)
        distance = norm(vectors)
        links = None
        if bonded:
            links = Links.of(systems, pairs.i, pairs.j, distance)
            longer = links.lengthened(pairs.i, pairs.j, distance, functions.cutoff)
            vectors, distance = vectors * (longer / distance)[:, None], longer
        elements = [number_of(s) for s in functions.elements]
        known = torch.isin(systems.numbers, systems.numbers.new_tensor(elements))
        trust = known.to(distance.dtype)
        if bool(known.all()):
            return cls(functions(systems.numbers, vectors, pairs), pairs.i, pairs.j, distance, links, trust)
        touching = torch.nonzero(known[pairs.i] & ~known[pairs.j]).squeeze(1)
        touch = _FALL((distance[touching] - _FOREIGN) / (functions.cutoff - _FOREIGN))
        trust = trust * _FALL(torch.zeros_like(trust).index_add(0, pairs.i[touching], touch))
        some = torch.nonzero(known[pairs.i] & known[pairs.j]).squeeze(1)
        atoms = torch.nonzero(known).squeeze(1)
        place = torch.cumsum(known.long(), 0) - 1
        inner = Pairs(place[pairs.i[some]], place[pairs.j[some]], pairs.shift[some], half=False)
        described = functions(systems.numbers[atoms], vectors[some], inner)
        values = described.new_zeros(systems.n_atoms, described.shape[1]).index_add(0, atoms, described)
        return cls(values, pairs.i[some], pairs.j[some], distance[some], links, trust)
