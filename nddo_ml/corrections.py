"""Energy terms beside the self-consistent field, and which of them belong to a method."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from nddo_ml.dispersion import DispersionD3
from nddo_ml.halogen_bonds import HalogenBondsX
from nddo_ml.hydrogen_bonds import HydrogenBondsH4, HydrogenRepulsion
from nddo_ml.peptide import PeptideBonds
from nddo_ml.pm6_terms import FlatNitrogen, TripleBonds
from nddo_ml.systems import Systems


class EnergyTerm(Protocol):
    """A function of the geometry alone that adds to the energy of any model."""

    def energy(self, systems: Systems) -> Tensor:
        """[systems] eV, differentiable by ``systems.positions``."""


_PM6 = (PeptideBonds(2.5), FlatNitrogen(), TripleBonds())
_D3H4 = (DispersionD3(), HydrogenBondsH4(), HydrogenRepulsion())
# kcal/mol heights of the amide term: MOPAC manual, "Peptide linkages"
METHOD_TERMS: dict[str, tuple[EnergyTerm, ...]] = {
    "MNDO": (PeptideBonds(6.1737),),
    "AM1": (PeptideBonds(3.3191),),
    "PM3": (PeptideBonds(7.1853),),
    "RM1": (PeptideBonds(2.4127),),
    "PM6": _PM6,
    "PM6-D3H4": (*_PM6, *_D3H4),
    "PM6-D3H4X": (*_PM6, *_D3H4, HalogenBondsX()),
}
