"""What corrections know of an atom: scaled symmetry functions, and how far it is from being alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bp_descriptors import Scaler, SymmetryFunctions, neighbor_list, pair_vectors
from bp_descriptors.cutoffs import Cutoff
from bp_descriptors.geometry import norm
from nddo_ml.elements import HYDROGEN, covalent_radii, number_of
from nddo_ml.systems import Systems

STRONG = 1.2  # bonds up to this length in sums of covalent radii count fully,
BROKEN = (1.8, 1.45, 2.8)  # from here on not at all: without, with one (hydrogen bonds!), with two hydrogens
_FALL = Cutoff(1.0, "poly2")
SHARP = 16  # a smooth maximum over paths: the norm of this order
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
        return cls(reach[systems.system_idx, place], place)

    def lengthened(self, a: Tensor, b: Tensor, distance: Tensor, cutoff: float) -> Tensor:
        """``r + (1 − w) r_c``: distances that are beyond the cut-off for atoms that are not linked."""
        return distance + (1 - self.weights[a, self.place[b]]) * cutoff


@dataclass(frozen=True)
class Features:
    """Of the atoms of a batch, with their graph to the positions."""

    numbers: Tensor  # [atoms]
    values: Tensor  # [atoms, F] scaled symmetry functions
    presence: Tensor  # [atoms] 0 for an atom without neighbours, near 1 for a bonded one, smooth
    links: Links | None = None  # which atoms count as neighbours; None: all


class AtomFeatures(nn.Module):
    """Scaled symmetry functions, and the presence ``1 − exp(−(n/n_0)²)`` with ``n_i = Σ_j f_c(r_ij)``.

    Presence is exactly zero, with its slope, for an atom without neighbours; corrections are multiplied with it.

    Args:
        functions: the symmetry functions.
        scaler: their centring and scaling.
        bonded: only atoms linked by at most six bonds are neighbours (:class:`Links`), so that molecules do not
            see each other: their interaction is the parent's. Others are moved smoothly beyond the cut-off.
    """

    def __init__(self, functions: SymmetryFunctions, scaler: Scaler, bonded: bool = False) -> None:
        super().__init__()
        self.bonded = bonded
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
            batches = [(_describe(functions, bonded, s)[0], s.numbers) for s in data]
        if batches:
            return cls(functions, Scaler.fit(functions, batches, mode="sigma"), bonded)
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        return cls(functions, Scaler(functions, statistics, "none"), bonded)

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that there are symmetry functions for."""
        return frozenset(number_of(s) for s in self.functions.elements)

    def forward(self, systems: Systems) -> Features:
        """The features of a batch of molecules."""
        described, centers, distance, links = _describe(self.functions, self.bonded, systems)
        values = self.scaler(described, systems.numbers)
        crowd = distance.new_zeros(systems.n_atoms).index_add(0, centers, self.envelope(distance))
        return Features(systems.numbers, values, -torch.expm1(-((crowd / HALF_CROWDED) ** 2)), links)

    def to_config(self) -> dict[str, Any]:
        """Plain data; :meth:`from_config` reads it."""
        return {"functions": self.functions.to_dict(), "scaler": self.scaler.to_dict(), "bonded": self.bonded}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AtomFeatures:
        """Features of the configuration, their statistics yet to be loaded."""
        functions = SymmetryFunctions.from_dict(config["functions"])
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        return cls(functions, Scaler(functions, statistics, **config["scaler"]), config.get("bonded", False))


def _describe(
    functions: SymmetryFunctions, bonded: bool, systems: Systems
) -> tuple[Tensor, Tensor, Tensor, Links | None]:
    """Symmetry functions [atoms, F], and of the pairs the central atoms, their distances, their links."""
    pairs = neighbor_list(systems.positions, functions.cutoff, systems.system_idx)
    vectors = pair_vectors(systems.positions, pairs)
    distance = norm(vectors)
    links = None
    if bonded:
        links = Links.of(systems, pairs.i, pairs.j, distance)
        longer = links.lengthened(pairs.i, pairs.j, distance, functions.cutoff)
        vectors, distance = vectors * (longer / distance)[:, None], longer
    return functions(systems.numbers, vectors, pairs), pairs.i, distance, links
