"""Molecules, ions, radicals, complexes and stretched geometries of the common elements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.collections import g2 as g2_names
from ase.collections import s22
from ase.io import read
from ase.neighborlist import build_neighbor_list
from geometries import Geometry, X, Y, Z, diatomic, displaced, g2, merged, of, qm9, rotated, star
from scipy.sparse.csgraph import connected_components

EXTRA = Path(__file__).parent / "extra.xyz"
COMPLEXES = Path(__file__).parent / "complexes.xyz"


def core_set() -> list[Geometry]:
    """Small molecules, atoms, ions and radicals of H, C, N, O, F, P, S, Cl: every method has them."""
    neutral = "H2 H2O CH4 NH3 HF CO2 C2H4 HCl C6H6 CO N2 F2 HCN SH2 PH3"
    radicals = "OH CH3 NO NH2 O2 CH2_s3B1d CH2_s1A1d NO2 CN HCO C2H3"
    distorted = "H2O CH4 C6H6 CH3OH CH3 CH3SH"
    systems = [g2(name) for name in (neutral + " " + radicals).split()]
    systems += [displaced(g2(name), 0.1, k) for k, name in enumerate(distorted.split())]
    systems += [Geometry(f"atom:{s}", (s,), np.zeros((1, 3)), q) for s, q in [("Cl", -1), ("H", -1), ("F", -1)]]
    ammonium, hydronium = star("N", "H", 4, +1), star("O", "H", 3, +1)
    systems += [ammonium, hydronium, displaced(ammonium, 0.08, 1), diatomic("O", "H", 0.97, X, charge=-1)]
    systems += [g2("CN", -1, 1), g2("NO", +1, 1), g2("H2O", +1, 2), g2("C6H6", +1, 2), g2("O2", -1, 2)]
    axes = [X, -X, Y, -Y, Z, -Z]
    ends = [np.vstack([0.1 * Y, 0.1 * Y + 1.15 * axis]) for axis in axes]
    return systems + [Geometry(f"CO:axis{k}", ("C", "O"), end) for k, end in enumerate(ends)]


def organic_set(symbols: list[str], part: int, parts: int) -> list[Geometry]:
    """Every ``parts``-th molecule of the g2 set with these elements, by turns as it is and displaced."""
    known = [name for name in sorted(g2_names.names) if set(g2_names[name].get_chemical_symbols()) <= set(symbols)]
    known = [name for name in known if len(g2_names[name]) > 2][part::parts]
    return [displaced(rotated(g2(name), k), 0.07, k) if k % 2 else g2(name) for k, name in enumerate(known)]


def from_file(path: Path) -> list[Geometry]:
    """Geometries relaxed with GFN2-xTB; name, charge and multiplicity stand in the comment lines."""
    frames = read(path, index=":")
    return [of(f.info["name"], f, int(f.info["charge"]), int(f.info["multiplicity"])) for f in frames]


def pulled(g: Geometry, shift: float) -> Geometry:
    """The fragment of the last atom moved away from the rest by ``shift`` (Å) along the shortest contact."""
    atoms = Atoms(list(g.symbols), g.positions)
    graph = build_neighbor_list(atoms, self_interaction=False, bothways=True).get_connectivity_matrix()
    label = connected_components(graph)[1]
    fixed, moving = np.flatnonzero(label != label[-1]), np.flatnonzero(label == label[-1])
    vectors = g.positions[moving][:, None] - g.positions[fixed][None]
    contact = vectors.reshape(-1, 3)[np.linalg.norm(vectors, axis=-1).argmin()]
    positions = g.positions.copy()
    positions[moving] += shift * contact / np.linalg.norm(contact)
    return replace(g, name=f"{g.name}{shift:+g}", positions=positions)


def drug_like(indices: list[int]) -> list[Geometry]:
    return [displaced(g, 0.05, k) if k % 2 else g for k, g in enumerate(qm9(indices))]


def s22_set(names: list[str] | None = None) -> list[Geometry]:
    """The S22 complexes."""
    chosen = names or list(s22.names)
    return [of(f"s22:{name}", Atoms(s22[name])) for name in chosen]


def far_apart() -> list[Geometry]:
    """Two fragments 8 to 15 Å apart: neutral, ion and dipole, ion pair, radicals."""
    water, methanol = g2("H2O"), g2("CH3OH")
    sodium_free = star("N", "H", 4, +1)
    chloride = Geometry("Cl-", ("Cl",), np.zeros((1, 3)), -1)
    systems = []
    for distance in (6.0, 8.0, 9.9, 10.1, 12.0, 15.0):
        systems += [
            merged(f"water+methanol@{distance:g}", water, methanol, distance * np.array([0.6, 0.0, 0.8])),
            merged(f"NH4+Cl@{distance:g}", sodium_free, chloride, distance * X),
        ]
    systems += [merged(f"OH+OH@{d:g}", g2("OH"), g2("OH"), d * Y) for d in (3.0, 9.0)]
    return systems


def stretched() -> list[Geometry]:
    """Bonds pulled apart in UHF, triplets, and singlets whose spin symmetry MOPAC's guess may break."""
    systems = [diatomic("H", "H", d, X, multiplicity=m, uhf=True) for d in (0.74, 1.5, 3.0) for m in (1, 3)]
    systems += [diatomic("H", "F", d, Z, multiplicity=1, uhf=True) for d in (0.92, 2.5)]
    systems += [diatomic("N", "N", d, Y, multiplicity=m, uhf=m > 1) for d, m in ((1.1, 1), (1.8, 3), (2.5, 7))]
    systems += [g2(name, 0, 3) for name in ("C2H4", "C6H6", "H2CO")]
    return [*systems, g2("C2H4", -1, 2), g2("C4H4NH", +1, 2)]
