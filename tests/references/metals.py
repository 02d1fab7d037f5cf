"""Compounds of the transition metals: atoms, diatomics, halides, oxides, mononuclear complexes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from elements import HALOGENS, occupations
from geometries import DIRECTIONS, Geometry, X, Y, Z, bond, capped, diatomic, displaced, star

# ligands as they stand with the donor atom at the origin and the metal at -x: symbols, positions (Å), charge
LIGANDS: dict[str, tuple[tuple[str, ...], list[list[float]], int]] = {
    "CO": (("C", "O"), [[0, 0, 0], [1.14, 0, 0]], 0),
    "CN": (("C", "N"), [[0, 0, 0], [1.16, 0, 0]], -1),
    "NH3": (
        ("N", "H", "H", "H"),
        [[0, 0, 0], [0.34, 0.95, 0], [0.34, -0.475, 0.823], [0.34, -0.475, -0.823]],
        0,
    ),
    "PH3": (("P", "H", "H", "H"), [[0, 0, 0], [0.6, 1.28, 0], [0.6, -0.64, 1.109], [0.6, -0.64, -1.109]], 0),
    "H2O": (("O", "H", "H"), [[0, 0, 0], [0.59, 0.76, 0.1], [0.59, -0.76, -0.1]], 0),
    "CH3": (
        ("C", "H", "H", "H"),
        [[0, 0, 0], [0.37, 1.02, 0], [0.37, -0.51, 0.883], [0.37, -0.51, -0.883]],
        -1,
    ),
    "C2H4": (
        ("C", "C", "H", "H", "H", "H"),
        [
            [0, 0.69, 0],
            [0, -0.69, 0],
            [0.15, 1.25, 0.92],
            [0.15, 1.25, -0.92],
            [0.15, -1.25, 0.92],
            [0.15, -1.25, -0.92],
        ],
        0,
    ),
    "H": (("H",), [[0, 0, 0]], -1),
    "O": (("O",), [[0, 0, 0]], -2),
    **{h: ((h,), [[0, 0, 0]], -1) for h in HALOGENS},
}
SQUARE = np.array([X, Y, -X, -Y])
SHAPE = {2: DIRECTIONS[2], 3: DIRECTIONS[3], 4: DIRECTIONS[4], 5: DIRECTIONS[5], 6: DIRECTIONS[6]}
SHORT = {
    "CO": 0.9,
    "CN": 0.95,
    "O": 0.85,
    "H": 0.98,
}  # bond length over the sum of covalent radii; others 0.97


def turn_x_to(direction: np.ndarray) -> np.ndarray:
    """A rotation matrix that turns the x axis to a unit vector."""
    helper = Z if abs(direction @ Z) < 0.9 else Y
    second = np.cross(helper, direction)
    second /= np.linalg.norm(second)
    return np.column_stack([direction, second, np.cross(direction, second)])


def complex_of(
    metal: str,
    ligands: Sequence[str],
    oxidation: int,
    multiplicity: int | None = None,
    shape: np.ndarray | None = None,
) -> Geometry:
    """A mononuclear complex; its charge follows from the oxidation state and the ligands."""
    symbols, positions, charge = [metal], [np.zeros((1, 3))], oxidation
    directions = SHAPE[len(ligands)] if shape is None else shape
    for name, direction in zip(ligands, directions, strict=True):
        atoms, local, ligand_charge = LIGANDS[name]
        turned = np.asarray(local, dtype=float) @ turn_x_to(direction).T
        positions.append(turned + SHORT.get(name, 0.97) * bond(metal, atoms[0]) * direction)
        symbols += atoms
        charge += ligand_charge
    counts = {name: list(ligands).count(name) for name in dict.fromkeys(ligands)}
    label = metal + "".join(f"({k}){n}" for k, n in counts.items()) + ("sq" if shape is SQUARE else "")
    return Geometry(label, tuple(symbols), np.vstack(positions), charge, multiplicity)


def sandwich(metal: str, ring: int, distance: float, charge: int = 0, multiplicity: int | None = None) -> Geometry:
    """Two parallel C_n H_n rings: ferrocene, dibenzenechromium."""
    angle = 2 * np.pi * np.arange(ring) / ring
    circle = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(ring)])
    carbon = 1.42 / (2 * np.sin(np.pi / ring))
    rings = [r * circle + s * distance * Z for s in (1, -1) for r in (carbon, carbon + 1.08)]
    symbols = (metal, *(["C"] * ring + ["H"] * ring) * 2)
    return Geometry(f"{metal}(C{ring}H{ring})2", symbols, np.vstack([np.zeros((1, 3)), *rings]), charge, multiplicity)


def high_spin(d: int) -> int:
    return 1 + (d if d <= 5 else 10 - d)


def metal_set(symbols: list[str]) -> list[Geometry]:
    """Atom, ion, hydride, oxide and halides of every transition metal, in sensible spin states."""
    systems = []
    for k, m in enumerate(symbols):
        s, _, d = occupations()[m]
        electrons, atom = s + d, high_spin(d) + (s == 1)
        halogen = HALOGENS[k % 4]
        systems.append(Geometry(f"atom:{m}", (m,), np.zeros((1, 3)), 0, atom))
        systems.append(Geometry(f"atom:{m}", (m,), np.zeros((1, 3)), 2, high_spin(electrons - 2)))
        lower = atom - 1 if atom > 1 else 2
        systems.append(diatomic(m, "H", bond(m, "H", 0.98), X, multiplicity=lower))
        systems.append(diatomic(m, "O", bond(m, "O", 0.85), Y, multiplicity=atom - 2 if atom > 2 else atom))
        systems.append(diatomic(m, halogen, bond(m, halogen, 0.97), Z, multiplicity=lower))
        systems.append(displaced(star(m, HALOGENS[k % 3], 2, 0, high_spin(electrons - 2)), 0.05, k))
        systems.append(displaced(star(m, HALOGENS[(k + 1) % 3], 3, 0, high_spin(electrons - 3)), 0.05, k))
        systems.append(capped(m, ("C", "N", "S", "P", "Si", "B")[k % 6], multiplicity=lower))
        if 4 <= electrons <= 6:
            systems.append(star(m, HALOGENS[k % 2], electrons))
    return systems


def complexes() -> list[Geometry]:
    """Carbonyls, ammines, aqua ions, cyanides, oxides, halides, alkyls, sandwiches."""
    carbonyls = {"Cr": 6, "Mo": 6, "W": 6, "Fe": 5, "Ru": 5, "Os": 5, "Ni": 4, "Pd": 4, "Pt": 4}
    systems = [complex_of(m, ["CO"] * n, 0) for m, n in carbonyls.items()]
    systems += [complex_of(m, ["CO"] * n, -1) for m, n in (("V", 6), ("Mn", 5), ("Co", 4), ("Rh", 4))]
    systems += [complex_of("Co", ["H", *["CO"] * 4], 1), complex_of("Re", [*["CO"] * 5, "Cl"], 1)]
    systems += [
        complex_of("Tc", [*["CO"] * 5, "Br"], 1),
        complex_of("Rh", ["CO", "CO", "Cl", "Cl"], 1, shape=SQUARE),
    ]
    systems += [complex_of(m, ["H2O"] * 6, q, s) for m, q, s in (("Sc", 3, 1), ("Ti", 3, 2), ("V", 2, 4), ("Cr", 3, 4))]
    systems += [
        complex_of(m, ["H2O"] * 6, q, s) for m, q, s in (("Mn", 2, 6), ("Fe", 2, 5), ("Fe", 3, 6), ("Co", 2, 4))
    ]
    systems += [complex_of(m, ["H2O"] * 6, q, s) for m, q, s in (("Ni", 2, 3), ("Cu", 2, 2), ("Zn", 2, 1), ("Y", 3, 1))]
    systems += [complex_of(m, ["H2O"] * 6, q) for m, q in (("La", 3), ("Lu", 3), ("Mg", 2), ("Al", 3), ("Cd", 2))]
    systems += [complex_of(m, ["NH3"] * 6, q) for m, q in (("Co", 3), ("Ru", 2), ("Rh", 3), ("Ir", 3), ("Os", 2))]
    systems += [complex_of(m, ["NH3"] * 2, 1) for m in ("Cu", "Ag", "Au")]
    systems += [complex_of(m, ["NH3", "NH3", "Cl", "Cl"], 2, shape=SQUARE) for m in ("Pd", "Pt", "Ni")]
    systems += [complex_of(m, ["Cl"] * 4, q, shape=SQUARE) for m, q in (("Pd", 2), ("Pt", 2), ("Au", 3), ("Rh", 1))]
    systems += [
        complex_of(m, [x] * 6, q) for m, x, q in (("Pt", "Cl", 4), ("Zr", "F", 4), ("Ti", "F", 4), ("Hf", "Cl", 4))
    ]
    systems += [
        complex_of(m, [x] * 6, q, s) for m, x, q, s in (("Ir", "F", 6, 4), ("Re", "Cl", 4, 4), ("Os", "Cl", 4, 3))
    ]
    systems += [complex_of(m, ["O"] * 4, q) for m, q in (("V", 5), ("Cr", 6), ("Mn", 7), ("Mo", 6), ("Tc", 7))]
    systems += [complex_of(m, ["O"] * 4, q) for m, q in (("W", 6), ("Re", 7), ("Ru", 8), ("Os", 8))]
    systems += [complex_of("Mn", ["O"] * 4, 6, 2), complex_of("Fe", ["O"] * 4, 6, 3)]
    systems += [complex_of("V", ["O", "Cl", "Cl", "Cl"], 5), complex_of("Nb", ["O", "Cl", "Cl", "Cl"], 5)]
    systems += [complex_of(m, ["O", "O", "Cl", "Cl"], 6) for m in ("Cr", "Mo", "W")]
    systems += [
        complex_of(m, ["CN"] * n, q)
        for m, n, q in (("Fe", 6, 2), ("Co", 6, 3), ("Ag", 2, 1), ("Au", 2, 1), ("Zn", 4, 2))
    ]
    systems += [complex_of("Fe", ["CN"] * 6, 3, 2), complex_of("Ni", ["CN"] * 4, 2, shape=SQUARE)]
    systems += [complex_of(m, ["CH3"] * n, q) for m, n, q in (("Ti", 4, 4), ("Zr", 4, 4), ("Ta", 5, 5), ("W", 6, 6))]
    systems += [complex_of(m, ["CH3"] * 2, 2) for m in ("Zn", "Cd", "Hg")]
    systems += [complex_of("Ti", ["CH3", "Cl", "Cl", "Cl"], 4), complex_of("Au", ["CH3", "PH3"], 1)]
    systems += [
        complex_of("Pt", ["Cl", "Cl", "Cl", "C2H4"], 2, shape=SQUARE),
        complex_of("Pd", ["PH3"] * 4, 0),
    ]
    systems += [
        complex_of("Ir", ["PH3", "PH3", "CO", "Cl"], 1, shape=SQUARE),
        complex_of("Ni", ["PH3"] * 4, 0),
    ]
    systems += [sandwich(m, 5, z, q, s) for m, z, q, s in (("Fe", 1.65, 0, 1), ("Fe", 1.68, 1, 2), ("Ru", 1.82, 0, 1))]
    systems += [
        sandwich("Co", 5, 1.64, 1),
        sandwich("Cr", 6, 1.61),
        sandwich("Mo", 6, 1.78),
        sandwich("Ni", 5, 1.82, 0, 3),
    ]
    return systems
