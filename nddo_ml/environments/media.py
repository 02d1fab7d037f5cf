"""Continua: solvents by name, and what the models of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import InitVar, dataclass, field
from math import isfinite, isinf, isnan
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from nddo_ml.environments.embedding import Embedding
from nddo_ml.errors import InputError
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.methods.parameters import Parameters
from nddo_ml.systems import Systems

# Relative permittivities at 298 K: Minnesota Solvent Descriptor Database (Winget, Dolney, Giesen, Cramer & Truhlar,
# University of Minnesota, 2010)
PERMITTIVITIES = {
    "water": 78.3553,
    "dmso": 46.826,
    "dmf": 37.219,
    "acetonitrile": 35.688,
    "methanol": 32.613,
    "ethanol": 24.852,
    "acetone": 20.493,
    "octanol": 9.8629,
    "dichloromethane": 8.93,
    "thf": 7.4257,
    "ethyl acetate": 5.9867,
    "chloroform": 4.7113,
    "diethyl ether": 4.24,
    "toluene": 2.3741,
    "benzene": 2.2706,
    "carbon tetrachloride": 2.228,
    "cyclohexane": 2.0165,
    "hexane": 1.8819,
}
_LARGEST = 400_000_000  # elements of a matrix, of which ten are held at once
_SURFACE_TENSION = {"water": 0.0072}  # kcal/mol/Å² of the accessible surface; Still et al., JACS 112, 6127 (1990)


@dataclass(frozen=True)
class Medium:
    """A continuum: what sets a solvent apart from another."""

    name: str | None  # of the solvent
    permittivity: float  # relative, 1 to infinity
    surface_tension: float  # kcal/mol/Å²


def medium_of(name: str | None, permittivity: float | None, surface_tension: float | None) -> Medium:
    """The solvent of a name, or of a relative permittivity; without a name there is no surface tension unless given.

    Raises:
        InputError: an unknown name, neither or both of them, a permittivity below one, a tension that is no number.
    """
    if (name is None) == (permittivity is None):
        raise InputError(f"a solvent is a name or a permittivity; got {name!r} and {permittivity}")
    key = "" if name is None else name.strip().lower().replace("-", " ").replace("_", " ")
    if name is not None and key not in PERMITTIVITIES:
        raise InputError(f"unknown solvent {name!r}; known are {', '.join(PERMITTIVITIES)}, and eps=NUMBER")
    epsilon = PERMITTIVITIES[key] if permittivity is None else float(permittivity)
    tension = _SURFACE_TENSION.get(key, 0.0) if surface_tension is None else float(surface_tension)
    if isnan(epsilon) or epsilon < 1 or not isfinite(tension):
        raise InputError(f"a permittivity is at least 1 and a surface tension finite; got {epsilon} and {tension}")
    return Medium(key or None, epsilon, tension)


@dataclass(frozen=True)
class Continuum(ABC):
    """Surroundings without sites that are the same everywhere, and turn and move with every molecule."""

    name: InitVar[str | None] = None
    eps: InitVar[float | None] = None
    surface_tension: InitVar[float | None] = None
    medium: Medium = field(init=False)

    KIND: ClassVar[str]  # the model's name in records

    def __post_init__(self, name: str | None, eps: float | None, surface_tension: float | None) -> None:
        object.__setattr__(self, "medium", medium_of(name, eps, surface_tension))

    @property
    def positions(self) -> None:
        """A continuum has no sites."""
        return

    @property
    def alike(self) -> bool:
        """See the protocol."""
        return True

    @property
    def free_motions(self) -> int:
        """All six."""
        return 6

    def record(self) -> dict[str, Any]:
        """See the protocol; ``environments.solvents.of_record`` reads it."""
        m = self.medium
        eps = "inf" if isinf(m.permittivity) else m.permittivity
        tension = {"surface_tension_kcal_mol_A2": m.surface_tension}
        return {"solvent": {"model": self.KIND, "name": m.name, "permittivity": eps, **tension}}

    def with_positions(self, positions: Tensor) -> Self:
        """Itself."""
        return self

    def over(self, n_systems: int) -> Self:
        """Itself."""
        return self

    def select(self, index: Tensor) -> tuple[Self, Tensor]:
        """See the protocol."""
        return self, index.new_zeros(0)

    def check(self, systems: Systems) -> None:
        """See the protocol: a matrix must not be too large."""
        size = self.elements(systems.atoms_per_system)
        large = torch.nonzero(size > _LARGEST).squeeze(1).tolist()
        if large:
            gigabytes = 80e-9 * int(size[large[0]])
            raise InputError(f"system {large[0]}: its surface needs some {gigabytes:.0f} GB; gb:… needs no surface")

    @abstractmethod
    def elements(self, atoms: Tensor) -> Tensor:
        """See the protocol."""

    @abstractmethod
    def embed(self, systems: Systems, parameters: Parameters, layout: OrbitalLayout) -> Embedding:
        """See the protocol."""
