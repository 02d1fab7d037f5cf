"""Which systems go into which reference file."""

from __future__ import annotations

import numpy as np
from geometries import (
    Geometry,
    X,
    Y,
    Z,
    capped,
    diatomic,
    displaced,
    g2,
    merged,
    qm9,
    rotated,
    star,
    table_elements,
    table_pairs,
)

SP_METHODS = ("MNDO", "AM1", "PM3", "RM1")


def core_set() -> list[Geometry]:
    """Small molecules, atoms, ions and radicals of H, C, N, O, F, S, Cl: every method has them."""
    neutral = [
        "H2",
        "H2O",
        "CH4",
        "NH3",
        "HF",
        "CO2",
        "C2H4",
        "HCl",
        "C6H6",
        "CO",
        "N2",
        "F2",
        "HCN",
        "SH2",
        "PH3",
    ]
    radicals = ["OH", "CH3", "NO", "NH2", "O2", "CH2_s3B1d", "CH2_s1A1d", "NO2", "CN", "HCO", "C2H3"]
    systems = [g2(name) for name in neutral + radicals]
    systems += [
        displaced(g2(name), 0.1, k) for k, name in enumerate(["H2O", "CH4", "C6H6", "CH3OH", "CH3", "CH3SH"])
    ]
    systems += [Geometry(f"atom:{s}", (s,), np.zeros((1, 3))) for s in ("H", "F", "Cl")]
    systems += [Geometry(f"atom:{s}3", (s,), np.zeros((1, 3)), 0, 3) for s in ("C", "O", "S")]
    systems += [
        Geometry("atom:N4", ("N",), np.zeros((1, 3)), 0, 4),
        Geometry("atom:Cl-", ("Cl",), np.zeros((1, 3)), -1),
    ]
    systems += [
        star("N", "H", 4, +1),
        star("O", "H", 3, +1, shape=None),
        diatomic("O", "H", 0.97, X, charge=-1),
    ]
    systems += [displaced(star("N", "H", 4, +1), 0.08, 1), g2("CN", -1, 1), g2("NO", +1, 1), g2("H2O", +1, 2)]
    axes = [X, -X, Y, -Y, Z, -Z]
    systems += [
        Geometry(f"CO:axis{k}", ("C", "O"), np.vstack([0.1 * Y, 0.1 * Y + 1.15 * a]))
        for k, a in enumerate(axes)
    ]
    return systems


def sp_methods() -> list[tuple[str, Geometry]]:
    return [(method, g) for method in SP_METHODS for g in core_set()]


SETS = {"sp_methods": sp_methods}
