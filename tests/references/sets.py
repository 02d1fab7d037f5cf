"""Which systems go into which reference file."""

from __future__ import annotations

import numpy as np
from elements import NOBLE, element_set, homonuclear, occupations, pair_set, sp_elements
from geometries import CAPS, PYRAMIDAL, Geometry, X, Y, capped, diatomic, g2, merged, star, table_elements
from metals import complex_of, complexes, metal_set
from molecules import (
    COMPLEXES,
    EXTRA,
    core_set,
    drug_like,
    far_apart,
    from_file,
    organic_set,
    pulled,
    s22_set,
    stretched,
)

SP_METHODS = ("MNDO", "AM1", "PM3", "RM1")
HYDROGEN_BONDED = ["Water_dimer", "Ammonia_dimer", "Formic_acid_dimer", "Formamide_dimer"]


def common(symbols: list[str], part: int, parts: int) -> list[Geometry]:
    """What every method has, and its share of the organic molecules."""
    systems = core_set() + from_file(EXTRA) + far_apart() + stretched() + s22_set(HYDROGEN_BONDED)
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


def hypervalent() -> list[Geometry]:
    """Compounds of main-group elements above their normal valence, and their ions."""
    ions = [("Si", "F", 6, -2), ("Al", "F", 6, -3), ("P", "F", 6, -1), ("As", "F", 6, -1), ("Sb", "F", 6, -1)]
    ions += [("I", "Cl", 2, -1), ("I", "I", 2, -1), ("Cl", "O", 4, -1), ("P", "O", 4, -3), ("Br", "O", 4, -1)]
    ions += [
        ("Al", "Cl", 4, -1),
        ("S", "O", 4, -2),
        ("Ge", "Cl", 3, -1),
        ("Sn", "Cl", 6, -2),
        ("Sb", "Cl", 6, -1),
    ]
    neutral = [("S", "F", 4), ("S", "F", 6), ("P", "F", 5), ("P", "Cl", 5), ("As", "F", 5), ("Sb", "Cl", 5)]
    neutral += [("Se", "F", 6), ("Te", "F", 6), ("Br", "F", 3), ("Br", "F", 5), ("I", "F", 5), ("Cl", "F", 5)]
    neutral += [
        ("S", "O", 3),
        ("Xe", "F", 4),
        ("Xe", "F", 6),
        ("Xe", "O", 4),
        ("Se", "O", 2),
        ("Te", "Cl", 4),
    ]
    neutral += [("Pb", "Cl", 2), ("Sn", "Cl", 2), ("Bi", "Cl", 5), ("Tl", "Br", 1), ("In", "Cl", 1)]
    return [star(*entry) for entry in ions + neutral]


def partners(symbols: list[str], per_element: int) -> list[Geometry]:
    """X-YHn of every element with a few of the elements that have hydrogen caps, and halogens."""
    ends = [*CAPS, "F", "Cl", "Br", "I"]
    chosen = [(s, ends[(3 * k + 5 * j) % len(ends)]) for k, s in enumerate(symbols) for j in range(per_element)]
    chosen = [(a, b) for a, b in chosen if b in symbols]
    return [capped(a, b) for a, b in dict.fromkeys(chosen) if a != b and a not in NOBLE and a != "H"]


def distinct(systems: list[Geometry]) -> list[Geometry]:
    """One of each name, charge and multiplicity."""
    return list({(g.name, g.charge, g.spin, g.uhf): g for g in systems}.values())


def pm6() -> list[tuple[str, Geometry]]:
    symbols = [s for s in table_elements("pm6") if s in occupations()]
    metals = [s for s in symbols if occupations()[s][2]]
    main = [s for s in symbols if s not in metals]
    systems = common(symbols, 0, 2) + element_set(main) + homonuclear(main) + partners(main, 3)
    systems += metal_set(metals) + complexes() + hypervalent() + drug_like([100, 21988, 50001, 90002, 133000])
    return [("PM6", g) for g in distinct(systems)]


def pm6_dh() -> list[tuple[str, Geometry]]:
    """Complexes, some of them pulled apart or pushed together, with PM6-DH+."""
    return [("PM6-DH+", g) for method, g in pm6_d3h4() if method == "PM6"]


def pm7() -> list[tuple[str, Geometry]]:
    """A third of PM6's, every atom, hydrogen-bonded and dispersion complexes, also pulled apart, silanols."""
    relaxed = {g.name: g for g in from_file(COMPLEXES)}
    moved = ["water_water", "water_ammonia", "peptide_peptide", "acetate_water", "methylammonium_formaldehyde"]
    of_pm6 = [g for _, g in pm6()]
    systems = of_pm6[::3] + [g for g in of_pm6 if g.name.startswith("atom:")] + [*relaxed.values(), *s22_set()]
    systems += [pulled(relaxed[name], d) for name in moved for d in (-0.25, 0.3, 0.9, 2.5)]
    systems += [*partners(["Si"], 6), star("Si", "O", 4, -4)]
    symbols = set(table_elements("pm7"))
    return [("PM7", g) for g in distinct(systems) if g.elements <= symbols]


def mndod() -> list[tuple[str, Geometry]]:
    symbols = table_elements("mndod")
    systems = element_set(symbols) + homonuclear(symbols) + partners(symbols, 2) + pair_set("mndod", symbols)
    systems += [g for g in common(symbols, 1, 3) + hypervalent() if g.elements <= set(symbols)]
    return [("MNDOD", g) for g in distinct(systems)]


def older_metals() -> list[tuple[str, Geometry]]:
    """The elements with d orbitals of methods that otherwise have none: Mo in AM1, lanthanides in RM1."""
    jobs = []
    for method in ("AM1", "RM1"):
        metals = table_elements(method.lower(), with_d=True)
        known = {*metals, *sp_elements(method.lower())}
        systems = metal_set(metals) + [g for g in complexes() if g.elements & set(metals)]
        systems += [complex_of(m, ["H2O"] * 6, 3, 1) for m in metals if method == "RM1"]
        jobs += [(method, g) for g in distinct(systems) if g.elements <= known]
    return jobs


def pm6_d3h4() -> list[tuple[str, Geometry]]:
    """Complexes, some of them pulled apart or pushed together, with PM6 and the corrected methods."""
    relaxed = {g.name: g for g in from_file(COMPLEXES)}
    moved = ["water_water", "water_ammonia", "peptide_peptide", "acetate_water", "CF3Br_formaldehyde"]
    moved += ["methylammonium_formaldehyde", "iodobenzene_acetone", "CF3I_pyridine", "chlorobenzene_acetone"]
    systems = [*relaxed.values(), *s22_set()]
    systems += [pulled(relaxed[name], d) for name in moved for d in (-0.25, 0.3, 0.9, 2.5)]
    return [(method, g) for g in systems for method in ("PM6", "PM6-D3H4", "PM6-D3H4X")]


def singled_out() -> list[tuple[str, Geometry]]:
    """What the other sets do not show: pairs of lanthanoids without parameters, helium beside d orbitals, donors that
    are not quite water.
    """
    pairs = [star("Lu", "F", 3, shape=PYRAMIDAL), diatomic("Lu", "Na", 3.2, X, charge=2)]
    pairs += [diatomic(s, "He", d, Y, charge=q) for s, d, q in (("La", 2.5, 3), ("Al", 2.0, 3), ("Cl", 2.2, 1))]
    axes = PYRAMIDAL / np.linalg.norm(PYRAMIDAL, axis=1, keepdims=True)
    methyl = 1.5 * axes[2] + 1.09 * np.array([-axes[0], -axes[1], [0.0, 0.0, 1.0]])
    donor = np.vstack([np.zeros(3), 0.98 * axes[:2], 1.5 * axes[2], methyl])
    bridges = []
    for name, acceptor in (("H2O", g2("H2O")), ("NH3", g2("NH3"))):
        alkyl = Geometry("CH3OH2", ("O", "H", "H", "C", "H", "H", "H"), donor, +1)
        bridges.append(merged(f"CH3OH2+{name}", alkyl, acceptor, 2.7 * axes[0]))
        bridges.append(merged(f"H3O+{name}", star("O", "H", 3, +1), acceptor, 2.7 * X))
    return [("PM6", g) for g in pairs] + [("PM6-D3H4", g) for g in bridges]


SETS = {
    "sp_methods": sp_methods,
    "pm6": pm6,
    "pm7": pm7,
    "pm6_dh": pm6_dh,
    "mndod": mndod,
    "older_metals": older_metals,
    "pm6_d3h4": pm6_d3h4,
    "singled_out": singled_out,
}
