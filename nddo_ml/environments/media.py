"""Solvents by name."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan

from nddo_ml.errors import InputError

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
_SURFACE_TENSION = {"water": 0.0072}  # kcal/mol/Å² of the accessible surface; Still et al., JACS 112, 6127 (1990)


@dataclass(frozen=True)
class Medium:
    """A continuum: what sets a solvent apart from another."""

    name: str  # of the solvent, or "ε = …"
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
    return Medium(key or f"ε = {epsilon:g}", epsilon, tension)
