"""Which systems go into which reference file."""

from __future__ import annotations

from elements import element_set, homonuclear, pair_set, sp_elements
from geometries import Geometry
from molecules import core_set, drug_like, extra_set, far_apart, organic_set, s22_set, stretched

SP_METHODS = ("MNDO", "AM1", "PM3", "RM1")
HYDROGEN_BONDED = ["Water_dimer", "Ammonia_dimer", "Formic_acid_dimer", "Formamide_dimer"]


def common(symbols: list[str], part: int, parts: int) -> list[Geometry]:
    """What every method has, and its share of the organic molecules."""
    systems = core_set() + extra_set() + far_apart() + stretched() + s22_set(HYDROGEN_BONDED)
    systems = [g for g in systems if g.elements <= set(symbols)]
    names = {g.name for g in systems}
    return systems + [g for g in organic_set(symbols, part, parts) if g.name not in names]


def sp_method(method: str, part: int) -> list[Geometry]:
    symbols = sp_elements(method.lower())
    systems = common(symbols, part, 4) + element_set(symbols) + homonuclear(symbols)
    systems += pair_set(method.lower(), symbols) + drug_like(
        [21 + 5000 * part, 7000 + part, 60000 + part, 120000 + part]
    )
    return systems


def sp_methods() -> list[tuple[str, Geometry]]:
    return [(m, g) for part, m in enumerate(SP_METHODS) for g in sp_method(m, part)]


SETS = {"sp_methods": sp_methods}
