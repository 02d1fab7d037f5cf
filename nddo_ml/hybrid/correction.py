"""Corrections: what a network may change in a method, and their composition.

A hybrid is ``NDDO(method, correction=…)``. A correction may shift atomic parameters, scale the resonance integrals and
core repulsions of near pairs, or add an energy; it never changes a charge, and nothing beyond its cut-off.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from nddo_ml.errors import InputError
from nddo_ml.hybrid.features import AtomFeatures, Features
from nddo_ml.integrals.layout import OrbitalLayout, PairGroup
from nddo_ml.methods.parameters import Parameters
from nddo_ml.systems import Systems


@dataclass(frozen=True)
class PairFactors:
    """Factors of a pair group; one where nothing changes."""

    resonance: Tensor  # [pairs, width_a, width_b], of the resonance integrals in the local frame
    core: Tensor  # [pairs], of the core repulsion


@dataclass(frozen=True)
class Spread:
    """How uncertain an added energy is, standard deviations."""

    energy: Tensor  # [systems] eV
    atoms: Tensor  # [atoms] eV

    @classmethod
    def together(cls, spreads: Iterable[Spread | None]) -> Spread | None:
        """Of the sum of energies, as if independent; None where nothing is known of any."""
        known = [s for s in spreads if s is not None]
        if not known:
            return None
        return cls(*(torch.stack([getattr(s, n).square() for s in known]).sum(0).sqrt() for n in ("energy", "atoms")))


class Correction(nn.Module, ABC):
    """One way to change a method; final classes are those of ``catalog.CORRECTIONS``.

    A correction whose networks are new changes nothing, and none changes an isolated atom.
    """

    features: AtomFeatures
    members: int = 1  # of a committee that says how uncertain its energy is
    of_field: ClassVar[bool] = True  # whether it changes the field; False: it only adds an energy

    def shifted(self, parameters: Parameters, features: Features) -> Parameters:
        """The parameters of the atoms [atoms], changed."""
        return parameters

    def pair_factors(
        self, pairs: Sequence[PairGroup], distances: Sequence[Tensor], features: Features
    ) -> Sequence[PairFactors | None]:
        """Factors of pair groups at distances [pairs] Å; None changes nothing."""
        return [None] * len(pairs)

    def atomic_energies(self, features: Features) -> Tensor | None:
        """An energy of every atom, [atoms] eV; None adds nothing."""
        return None

    def spread(self, features: Features, system_idx: Tensor, n_systems: int) -> Spread | None:
        """How uncertain the added energies are; None where nothing is known of it."""
        return None

    def shift_size(self, features: Features) -> Tensor | None:
        """Mean square of an atom's shifts over their bounds, [atoms], for a penalty; None without shifts."""
        return None

    @abstractmethod
    def scaled(self, factor: float) -> Correction:
        """A correction with the same networks whose changes are ``factor`` as large."""

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Plain data without the features; ``from_config(config, features)`` reads it."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any], features: AtomFeatures) -> Self:
        """A correction of the configuration, its weights yet to be loaded."""


C = TypeVar("C", bound=Correction)


class Corrections(nn.Module):
    """Several corrections, applied in order; those that share an ``AtomFeatures`` share its work."""

    def __init__(self, members: Sequence[Correction] = ()) -> None:
        super().__init__()
        for member in members:
            if not isinstance(member, Correction):
                raise InputError(
                    f"expected a correction, such as ParameterCorrection(features); got {type(member).__name__}"
                )
        self.members = nn.ModuleList(members)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Correction]:
        return iter(self._list)

    @property
    def committee(self) -> bool:
        """Whether an added energy comes with its spread."""
        return any(member.members > 1 for member in self._list)

    def elements(self, of_method: frozenset[int]) -> frozenset[int]:
        """Atomic numbers that the method and every correction know; one with a domain leaves others as they are."""
        for member in self._list:
            if member.features.domain is None:
                of_method = of_method & member.features.elements
        return of_method

    def at(self, systems: Systems) -> CorrectionsAt:
        """The corrections for a batch; features are computed once."""
        features: dict[AtomFeatures, Features] = {}
        for member in self._list:
            if member.features not in features:
                features[member.features] = member.features(systems)
        return CorrectionsAt(systems, [(m, features[m.features]) for m in self._list])

    def to_config(self) -> dict[str, Any]:
        """Plain data: the distinct features, and the corrections with the number of theirs; read by the catalog."""
        distinct = list(dict.fromkeys(m.features for m in self._list))
        members = [
            {"kind": type(m).__name__, "features": distinct.index(m.features), "options": m.to_config()}
            for m in self._list
        ]
        return {"features": [f.to_config() for f in distinct], "members": members}

    @property
    def _list(self) -> list[Correction]:
        return [member for member in self.members if isinstance(member, Correction)]


@dataclass(frozen=True)
class CorrectionsAt:
    """Corrections with the features of one batch."""

    systems: Systems
    members: list[tuple[Correction, Features]] = field(default_factory=list)

    def shifted(self, parameters: Parameters) -> Parameters:
        """The method's parameters with all shifts."""
        for correction, features in self.members:
            parameters = correction.shifted(parameters, features)
        return parameters

    def pair_factors(self, layout: OrbitalLayout) -> tuple[PairFactors | None, ...]:
        """The product of all factors, one entry a pair group; None where nothing changes."""
        x, groups = self.systems.positions, layout.pair_groups
        distances = [(x[group.b] - x[group.a]).norm(dim=1) for group in groups]
        product: list[PairFactors | None] = [None] * len(groups)
        for correction, features in self.members:
            found = correction.pair_factors(groups, distances, features)
            product = [_times(one, other) for one, other in zip(product, found, strict=True)]
        return tuple(product)

    def energy(self) -> Tensor:
        """The sum of all added energies, [systems] eV."""
        energy = self.systems.positions.new_zeros(self.systems.n_systems)
        for correction, features in self.members:
            atomic = correction.atomic_energies(features)
            if atomic is not None:
                energy = energy.index_add(0, self.systems.system_idx, atomic)
        return energy

    def spread(self) -> Spread | None:
        """The uncertainty of all added energies, as if independent; None where nothing is known of it."""
        systems = self.systems
        return Spread.together(c.spread(f, systems.system_idx, systems.n_systems) for c, f in self.members)

    def shift_size(self) -> Tensor:
        """Mean over atoms of the squares of shifts over bounds, [systems]."""
        total = self.systems.positions.new_zeros(self.systems.n_systems)
        for correction, features in self.members:
            size = correction.shift_size(features)
            if size is not None:
                total = total.index_add(0, self.systems.system_idx, size)
        return total / self.systems.atoms_per_system


def copied(correction: C, config: dict[str, Any]) -> C:
    """A correction of the same class and weights with another configuration; the features are shared."""
    copy = type(correction).from_config(config, correction.features)
    copy.load_state_dict(correction.state_dict())
    return copy


def _times(one: PairFactors | None, other: PairFactors | None) -> PairFactors | None:
    if one is None or other is None:
        return one or other
    return PairFactors(one.resonance * other.resonance, one.core * other.core)
