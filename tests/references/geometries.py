"""Building blocks of the MOPAC references: templates, g2 molecules, QM9; displacements from fixed seeds."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data import atomic_numbers, covalent_radii

TABLES = Path(__file__).parents[2] / "nddo_ml" / "data"
DIGITS = 5  # decimals of the coordinates, all of them given to MOPAC
X, Y, Z = np.eye(3)


@dataclass(frozen=True)
class Geometry:
    """A system to be computed: positions in Å; ``uhf`` forces UHF for singlets."""

    name: str
    symbols: tuple[str, ...]
    positions: np.ndarray
    charge: int = 0
    multiplicity: int | None = None
    uhf: bool = False

    @property
    def spin(self) -> int:
        """Multiplicity; by default the lowest one that the electron count allows."""
        electrons = sum(atomic_numbers[s] for s in self.symbols) - self.charge
        return self.multiplicity or 1 + electrons % 2

    @property
    def elements(self) -> frozenset[str]:
        return frozenset(self.symbols)


def of(name: str, atoms: Atoms, charge: int = 0, multiplicity: int | None = None, uhf: bool = False) -> Geometry:
    return Geometry(name, tuple(atoms.get_chemical_symbols()), atoms.positions.copy(), charge, multiplicity, uhf)


def displaced(g: Geometry, sigma: float, seed: int) -> Geometry:
    """The geometry with normal displacements of standard deviation ``sigma`` (Å)."""
    noise = np.random.default_rng(seed).normal(scale=sigma, size=g.positions.shape)
    return replace(g, name=f"{g.name}~{sigma:g}", positions=g.positions + noise)


def radius(symbol: str) -> float:
    """Covalent radius, Å; the large alkali and alkaline-earth values are kept below 2 Å."""
    return min(float(covalent_radii[atomic_numbers[symbol]]), 2.0)


def bond(a: str, b: str, scale: float = 1.0) -> float:
    return scale * (radius(a) + radius(b))


DIRECTIONS = {
    0: np.zeros((0, 3)),
    1: np.array([X]),
    2: np.array([X, -X]),
    3: np.array([X, [-0.5, 3**0.5 / 2, 0], [-0.5, -(3**0.5) / 2, 0]]),
    4: np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5,
    5: np.array([Z, -Z, X, [-0.5, 3**0.5 / 2, 0], [-0.5, -(3**0.5) / 2, 0]]),
    6: np.array([X, -X, Y, -Y, Z, -Z]),
}
PYRAMIDAL = np.array([[0.94, 0, 0.34], [-0.47, 0.814, 0.34], [-0.47, -0.814, 0.34]])
BENT = np.array([[0.79, 0, 0.61], [-0.79, 0, 0.61]])


def star(
    centre: str,
    ligand: str,
    n: int,
    charge: int = 0,
    multiplicity: int | None = None,
    shape: np.ndarray | None = None,
) -> Geometry:
    """A central atom with ``n`` equal ligand atoms around it."""
    directions = DIRECTIONS[n] if shape is None else shape
    positions = np.vstack([np.zeros(3), bond(centre, ligand) * directions])
    return Geometry(f"{centre}{ligand}{n}", (centre, *[ligand] * n), positions, charge, multiplicity)


CAPS = {"B": 2, "C": 3, "N": 2, "O": 1, "Si": 3, "P": 2, "S": 1, "Al": 2, "As": 2, "Se": 1, "Ge": 3}


def capped(a: str, b: str, scale: float = 1.0, multiplicity: int | None = None) -> Geometry:
    """a–b with the free valences of ``b`` filled by hydrogen: Na–CH3, Ca–OH, K–Cl."""
    end = bond(a, b, scale) * X
    hydrogens = CAPS.get(b, 0)
    tilt = {0: np.zeros((0, 3)), 1: BENT[:1], 2: PYRAMIDAL[1:], 3: PYRAMIDAL}[hydrogens]
    out = tilt[:, [2, 0, 1]] if hydrogens else tilt
    positions = np.vstack([np.zeros(3), end, end + bond(b, "H") * out])
    name = f"{a}-{b}{'H' + str(hydrogens) if hydrogens else ''}" + ("" if scale == 1 else f"*{scale:g}")
    return Geometry(name, (a, b, *["H"] * hydrogens), positions, 0, multiplicity)


def diatomic(a: str, b: str, distance: float, axis: np.ndarray = X, **state: int | bool) -> Geometry:
    name = f"{a}{b}@{distance:g}"
    return Geometry(name, (a, b), np.vstack([np.zeros(3), distance * np.asarray(axis)]), **state)


def g2(name: str, charge: int = 0, multiplicity: int | None = None) -> Geometry:
    atoms = molecule(name)
    unpaired = round(float(atoms.get_initial_magnetic_moments().sum()))
    return of(f"g2:{name}", atoms, charge, multiplicity or 1 + abs(unpaired))


def merged(name: str, a: Geometry, b: Geometry, shift: np.ndarray) -> Geometry:
    """Two geometries in one system, the second moved by ``shift`` (Å)."""
    positions = np.vstack([a.positions, b.positions + np.asarray(shift)])
    multiplicity = max(a.spin, b.spin) if 1 in (a.spin, b.spin) else None
    return Geometry(name, a.symbols + b.symbols, positions, a.charge + b.charge, multiplicity)


def rotated(g: Geometry, seed: int) -> Geometry:
    """The geometry turned by a random rotation."""
    q = np.random.default_rng(seed).normal(size=4)
    w, x, y, z = q / np.linalg.norm(q)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    return replace(g, positions=g.positions @ turn.T)


def qm9(indices: list[int]) -> list[Geometry]:
    """QM9 molecules by their index in the data set (from the package qm9pack, read without importing it)."""
    import importlib.util
    import json

    spec = importlib.util.find_spec("qm9pack")
    if spec is None or spec.origin is None:
        raise SystemExit("the package qm9pack is needed for the QM9 geometries: pip install qm9pack")
    wanted, found = set(indices), []
    csv.field_size_limit(10**7)
    for part in sorted((Path(spec.origin).parent / "data").glob("qm9_part?.csv")):
        with part.open(newline="") as file:
            for row in csv.DictReader(file):
                if int(row["Index"]) in wanted:
                    symbols = tuple(json.loads(row["Elements"].replace("'", '"')))
                    found.append(Geometry(f"qm9:{row['Index']}", symbols, np.array(json.loads(row["XYZ_Ang"]))))
    return sorted(found, key=lambda g: int(g.name[4:]))


def table_elements(method: str, with_d: bool | None = None) -> list[str]:
    """Symbols of the elements in the method's table; on demand only those with or without d orbitals."""
    with (TABLES / f"{method}.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["U_ss"]]
    return [r["symbol"] for r in rows if with_d is None or bool(r.get("U_dd") or r.get("zeta_d")) == with_d]


def table_pairs(method: str) -> list[tuple[str, str]]:
    """Element pairs with a pairwise core–core term in the method's table."""
    path = TABLES / f"{method}_pairs.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [(r["symbol_a"], r["symbol_b"]) for r in csv.DictReader(file)]
