"""Energy terms beside the self-consistent field, and which of them belong to a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.systems import Systems
from nddo_ml.terms.dispersion import DispersionD3
from nddo_ml.terms.halogen_bonds import HalogenBondsX
from nddo_ml.terms.hydrogen_bonds import HydrogenBondsH4, HydrogenRepulsion, SoftHydrogenRepulsion
from nddo_ml.terms.peptide import PeptideBonds
from nddo_ml.terms.pm6 import FlatNitrogen, TripleBonds


class EnergyTerm(Protocol):
    """A function of the geometry alone that adds to the energy of any model."""

    def energy(self, systems: Systems) -> Tensor:
        """[systems] eV, differentiable by ``systems.positions``."""


# kcal/mol heights of the amide term: MOPAC manual, "Peptide linkages"
_AM1, _PM3, _RM1 = (PeptideBonds(3.3191),), (PeptideBonds(7.1853),), (PeptideBonds(2.4127),)
_PM6 = (PeptideBonds(2.5), FlatNitrogen(), TripleBonds())
_D3H4 = (DispersionD3(), HydrogenBondsH4(), HydrogenRepulsion())
# D3H4 of each method: Řezáč & Hobza, J. Chem. Theory Comput. 8, 141 (2012), digits as in the authors' program Cuby.
_AM1_D3H4 = (
    DispersionD3(s6=1.0, s_r6=0.9, alpha=15.0),
    HydrogenBondsH4(4.89, 6.23, 2.54, 4.56, water=0.49, ammonium=2.78033398584304, carboxylate=1.0815791686586),
    SoftHydrogenRepulsion(0.9, 11.10, 2.36),
)
_PM3_D3H4 = (
    DispersionD3(s6=1.0, s_r6=0.9, alpha=22.0),
    HydrogenBondsH4(2.71, 4.37, 2.29, 3.86, water=0.91, ammonium=2.5390633931627, carboxylate=0.88610264413703),
    SoftHydrogenRepulsion(1.55, 6.86, 2.23),
)
_RM1_D3H4 = (
    DispersionD3(s6=1.0, s_r6=1.0, alpha=16.0),
    HydrogenBondsH4(3.76, 3.90, 3.14, 2.95, water=0.94, ammonium=1.21, carboxylate=1.10),
    SoftHydrogenRepulsion(0.3, 4.46, 2.11),
)
METHOD_TERMS: dict[str, tuple[EnergyTerm, ...]] = {
    "MNDO": (PeptideBonds(6.1737),),
    "AM1": _AM1,
    "AM1-D3H4": (*_AM1, *_AM1_D3H4),
    "PM3": _PM3,
    "PM3-D3H4": (*_PM3, *_PM3_D3H4),
    "RM1": _RM1,
    "RM1-D3H4": (*_RM1, *_RM1_D3H4),
    "PM6": _PM6,
    "PM6-D3H4": (*_PM6, *_D3H4),
    "PM6-D3H4X": (*_PM6, *_D3H4, HalogenBondsX()),
}
SAVED_TERMS: Mapping[str, type[EnergyTerm]] = {"dispersion": DispersionD3, "hydrogen_bonds": HydrogenBondsH4}


def terms_of(method: str, added: Sequence[EnergyTerm]) -> tuple[EnergyTerm, ...]:
    """The energy terms of a method with others added; one of a class that the method has takes its place."""
    replaced = {type(term) for term in added}
    return (*(term for term in METHOD_TERMS.get(method, ()) if type(term) not in replaced), *added)


def terms_to_config(terms: Sequence[EnergyTerm]) -> dict[str, dict[str, Any]]:
    """Plain data; :func:`terms_from_config` reads it.

    Raises:
        InputError: a term that cannot be saved, or two of one class.
    """
    names = {kind: name for name, kind in SAVED_TERMS.items()}
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
        TypeError: an unknown option.
    """
    return tuple(SAVED_TERMS[name](**options) for name, options in config.items())
