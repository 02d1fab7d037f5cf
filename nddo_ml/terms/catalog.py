"""Energy terms beside a field or a network, by name, and those of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from bp_descriptors import Pairs
from nddo_ml.errors import InputError
from nddo_ml.methods.published import METHODS
from nddo_ml.systems import Systems
from nddo_ml.terms.dispersion import DispersionD3
from nddo_ml.terms.halogen_bonds import HalogenBondsX
from nddo_ml.terms.hydrogen_bonds import HydrogenBondsH4, HydrogenRepulsion, SoftHydrogenRepulsion
from nddo_ml.terms.hydrogen_bonds_eh import HydrogenBondsEH
from nddo_ml.terms.pair_dispersion import PairDispersion
from nddo_ml.terms.peptide import PeptideBonds
from nddo_ml.terms.pm6 import FlatNitrogen, TripleBonds
from nddo_ml.terms.screened_repulsion import ScreenedRepulsionZBL
from nddo_ml.terms.silanol import SilanolBending


class EnergyTerm(Protocol):
    """A function of the geometry alone that adds to the energy of any model."""

    def energy(self, systems: Systems) -> Tensor:
        """[systems] eV, differentiable by ``systems.positions``."""


@runtime_checkable
class PairTerm(EnergyTerm, Protocol):
    """An energy term that is a sum over near pairs, of which each atom has half."""

    def reach(self, numbers: Tensor) -> float:
        """Distance in Å beyond which pairs of these elements have no energy."""

    def atomic_energies(self, numbers: Tensor, pairs: Pairs, vectors: Tensor) -> Tensor:
        """[atoms] eV of a full list of pairs, differentiable by ``vectors`` [pairs, 3] Å."""


TERMS: Mapping[str, type[EnergyTerm]] = {  # by the names that methods, saved models and configurations use
    "dispersion": DispersionD3,
    "hydrogen_bonds": HydrogenBondsH4,
    "hydrogen_repulsion": HydrogenRepulsion,
    "soft_hydrogen_repulsion": SoftHydrogenRepulsion,
    "halogen_bonds": HalogenBondsX,
    "peptide_bonds": PeptideBonds,
    "flat_nitrogen": FlatNitrogen,
    "triple_bonds": TripleBonds,
    "silanol_bending": SilanolBending,
    "pair_dispersion": PairDispersion,
    "hydrogen_bonds_eh": HydrogenBondsEH,
    "screened_repulsion": ScreenedRepulsionZBL,
}


def terms_of(method: str, added: Sequence[EnergyTerm] = ()) -> tuple[EnergyTerm, ...]:
    """The energy terms of a method with others added; one of a class that the method has takes its place."""
    replaced = {type(term) for term in added}
    own = terms_from_config(METHODS[method].terms)
    return (*(term for term in own if type(term) not in replaced), *added)


def terms_to_config(terms: Sequence[EnergyTerm]) -> dict[str, dict[str, Any]]:
    """Plain data; :func:`terms_from_config` reads it.

    Raises:
        InputError: a term that cannot be saved, or two of one class.
    """
    names = {kind: name for name, kind in TERMS.items()}
    config: dict[str, dict[str, Any]] = {}
    for term in terms:
        name = names.get(type(term))
        if name is None or name in config:
            known = ", ".join(kind.__name__ for kind in names)
            raise InputError(f"energy terms that can be saved are one {known} each; got {type(term).__name__}")
        config[name] = dict(vars(term))
    return config


def terms_from_config(config: Mapping[str, Mapping[str, Any]]) -> tuple[EnergyTerm, ...]:
    """Energy terms by name with their options.

    Raises:
        InputError: an unknown name.
        TypeError: an unknown option.
    """
    unknown = sorted(set(config) - set(TERMS))
    if unknown:
        raise InputError(f"energy terms are {', '.join(TERMS)}; got {unknown[0]!r}")
    return tuple(TERMS[name](**options) for name, options in config.items())
