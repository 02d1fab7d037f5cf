"""Small compounds of every element: atoms, hydrides, halides, oxides, ions, radicals, diatomics."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np
from geometries import (
    BENT,
    CAPS,
    PYRAMIDAL,
    TABLES,
    Geometry,
    X,
    bond,
    capped,
    diatomic,
    displaced,
    g2,
    merged,
    star,
    table_elements,
    table_pairs,
)

NOBLE = ("He", "Ne", "Ar", "Kr", "Xe")
HALOGENS = ("F", "Cl", "Br", "I")
VALENCE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 3, 6: 2, 7: 1}  # bonds by number of valence electrons
SHAPES = {5: PYRAMIDAL, 6: BENT}
ATOM_SPIN = {1: 2, 2: 1, 3: 2, 4: 3, 5: 4, 6: 3, 7: 2}


@cache
def occupations() -> dict[str, tuple[int, int, int]]:
    """Valence electrons (s, p, d) of the neutral atoms."""
    with (TABLES / "elements.csv").open(newline="") as file:
        return {r["symbol"]: (int(r["occ_s"]), int(r["occ_p"]), int(r["occ_d"])) for r in csv.DictReader(file)}


def valence_electrons(symbol: str) -> int:
    return sum(occupations()[symbol][:2])


def bound(symbol: str, ligand: str, change: int = 0, charge: int = 0) -> Geometry:
    """The saturated compound of a main-group element with ``change`` more ligands, and a charge."""
    v = valence_electrons(symbol)
    n = VALENCE[v] + change
    return star(symbol, ligand, n, charge, shape=SHAPES.get(v) if change == 0 else None)


def noble_compounds(symbol: str, seed: int) -> list[Geometry]:
    if symbol == "He":
        systems = [diatomic("He", "H", 0.8, X, charge=1), diatomic("He", "He", 2.5, X)]
    else:
        systems = [
            Geometry(f"atom:{symbol}", (symbol,), np.zeros((1, 3))),
            diatomic(symbol, "H", bond(symbol, "H"), X, charge=1),
            star(symbol, "F", 2),
            diatomic(symbol, symbol, 3.4, X),
        ]
    water = merged(f"{symbol}+H2O", g2("H2O"), Geometry(symbol, (symbol,), np.zeros((1, 3))), [0.3, 0.2, 3.1])
    return [*systems, displaced(water, 0.05, seed)]


def main_group(symbol: str, seed: int) -> list[Geometry]:
    """Atom, hydride (displaced), one halide, one radical, one ion, one oxide of a main-group element."""
    v, halogen = valence_electrons(symbol), HALOGENS[seed % 3]
    systems = [Geometry(f"atom:{symbol}", (symbol,), np.zeros((1, 3)), 0, ATOM_SPIN[v])]
    if symbol == "H":
        return systems
    systems.append(displaced(bound(symbol, "H"), 0.05, seed))
    if symbol != halogen:
        systems.append(bound(symbol, halogen))
    if v > 1:
        systems.append(displaced(bound(symbol, "H", -1), 0.05, seed + 1))
        systems.append(
            capped(symbol, "O", scale=0.95) if v in (2, 3) else diatomic(symbol, "O", bond(symbol, "O", 0.93))
        )
    if v >= 5:
        systems.append(displaced(bound(symbol, "H", +1, +1), 0.05, seed))
    elif v >= 3:
        systems += [bound(symbol, "H", -1, +1), bound(symbol, "H", 1 if v == 3 else -1, -1)]
    else:
        ion = Geometry(symbol, (symbol,), np.zeros((1, 3)), v)
        systems.append(merged(f"{symbol}.H2O", ion, g2("H2O"), -(bond(symbol, "O", 1.1) + 0.12) * np.eye(3)[2]))
    return systems


def element_set(symbols: list[str]) -> list[Geometry]:
    systems = []
    for seed, symbol in enumerate(symbols):
        make = noble_compounds if symbol in NOBLE else main_group
        systems += make(symbol, seed)
    return systems


def pair_set(method: str, symbols: list[str]) -> list[Geometry]:
    """One compound for every pair of these elements that has its own core–core parameters."""
    systems = []
    for a, b in table_pairs(method):
        if a not in symbols or b not in symbols:
            continue
        if a in CAPS or (a in HALOGENS and b not in CAPS):
            a, b = b, a
        systems.append(capped(a, b))
    return systems


def homonuclear(symbols: list[str]) -> list[Geometry]:
    """X2 of the p-block, singlets of groups 15 and 17, triplets of 13, 14 and 16."""
    spins = {3: 3, 4: 3, 5: 1, 6: 3, 7: 1}
    return [
        diatomic(s, s, bond(s, s, 0.97), X, multiplicity=spins[valence_electrons(s)])
        for s in symbols
        if s not in NOBLE and valence_electrons(s) in spins
    ]


def sp_elements(method: str) -> list[str]:
    """Elements without d orbitals in this method; thorium, without valence occupation, is left out."""
    return [s for s in table_elements(method, with_d=False) if s in occupations()]
