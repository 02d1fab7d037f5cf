"""SDF, mol and PDB files with bond orders and formal charges.

Bonds are those of the input's record where it has some, else computed bond orders (Wiberg), else distances.
SDF: BIOVIA, CTfile Formats, V2000. PDB: wwPDB, Atomic Coordinate Entry Format 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.errors import InputError
from nddo_ml.results.lewis import Lewis, lewis_structure

if TYPE_CHECKING:
    from ase import Atoms

BONDS, ORDERS = "bonds", "bond_orders"  # in info: of the input, computed
MOST = 999  # atoms or bonds of a V2000 record
_ORDER = {1: 1.0, 2: 2.0, 3: 3.0, 4: 1.5}  # of a mol file's bond types
TOUCHING = 1.25  # times the sum of covalent radii, the distance up to which atoms are bonded
SHOWN = ("method", "charge", "multiplicity", "heat_of_formation_kcal_mol")


def write_sdf(frames: Iterator[Atoms], path: Path) -> None:
    """A record a structure, results as data items."""
    with path.open("w", encoding="utf-8") as file:
        for atoms in frames:
            file.write(_mol(atoms, path))
            for name, value in _data(atoms):
                file.write(f">  <{name}>\n{value}\n\n")
            file.write("$$$$\n")


def write_mol(frames: Iterator[Atoms], path: Path) -> None:
    """One structure."""
    path.write_text("".join(_mol(atoms, path) for atoms in frames), encoding="utf-8")


def write_pdb(frames: Iterator[Atoms], path: Path) -> None:
    """A model a structure; bonds as CONECT records, twice and thrice for double and triple ones."""
    first = list(islice(frames, 2))
    several = len(first) > 1
    with path.open("w", encoding="ascii", errors="replace") as file:
        for k, atoms in enumerate(chain(first, frames)):
            lewis = lewis_of(atoms)
            if several:
                file.write(f"MODEL     {k + 1:4d}\n")
            if atoms.pbc.any():
                a, b, c, alpha, beta, gamma = atoms.cell.cellpar()
                file.write(f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}{alpha:7.2f}{beta:7.2f}{gamma:7.2f} P 1\n")
            file.writelines(_pdb_atoms(atoms, lewis))
            file.writelines(_connections(lewis))
            if several:
                file.write("ENDMDL\n")
        file.write("END\n")


def lewis_of(atoms: Atoms) -> Lewis:
    """Bonds and formal charges of a structure with ``charge`` and ``multiplicity`` in ``info``."""
    orders: Iterable[tuple[int, int, float | None]]
    if BONDS in atoms.info:
        orders = [(int(i), int(j), _ORDER.get(int(order), 1.0)) for i, j, order in atoms.info[BONDS]]
    elif ORDERS in atoms.info:
        orders = [(int(i), int(j), float(order)) for i, j, order in atoms.info[ORDERS]]
    else:
        orders = [(i, j, None) for i, j in _near(atoms)]
    return lewis_structure(
        atoms.numbers.tolist(), orders, int(atoms.info.get("charge", 0)), int(atoms.info.get("multiplicity", 1))
    )


def _near(atoms: Atoms) -> list[tuple[int, int]]:
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    i, j = neighbor_list("ij", atoms, TOUCHING * covalent_radii[atoms.numbers])
    return [(int(a), int(b)) for a, b in zip(i, j, strict=True) if a < b]


def _mol(atoms: Atoms, path: Path) -> str:
    lewis = lewis_of(atoms)
    if len(atoms) > MOST or len(lewis.bonds) > MOST:
        raise InputError(f"{path}: expected at most {MOST} atoms and bonds, which SDF holds; got {len(atoms)} atoms")
    lines = [_title(atoms), "  nddo-ml          3D", ""]
    lines.append(f"{len(atoms):3d}{len(lewis.bonds):3d}  0  0  0  0  0  0  0  0999 V2000")
    for symbol, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True):
        lines.append(f"{x:10.4f}{y:10.4f}{z:10.4f} {symbol:<3} 0  0  0  0  0  0  0  0  0  0  0  0")
    lines += [f"{i + 1:3d}{j + 1:3d}{order:3d}  0" for i, j, order in lewis.bonds]
    lines += _property("CHG", [(k + 1, q) for k, q in enumerate(lewis.charges) if q])
    lines += _property("RAD", [(k + 1, u + 1) for k, u in enumerate(lewis.unpaired) if u])
    lines += _property("ISO", _isotopes(atoms))
    return "\n".join([*lines, "M  END"]) + "\n"


def _property(name: str, entries: list[tuple[int, int]]) -> list[str]:
    """Lines of a property, eight atoms each."""
    parts = [entries[k : k + 8] for k in range(0, len(entries), 8)]
    return [f"M  {name}{len(part):3d}" + "".join(f" {k:3d} {value:3d}" for k, value in part) for part in parts]


def _isotopes(atoms: Atoms) -> list[tuple[int, int]]:
    """Deuterium and tritium."""
    if "masses" not in atoms.arrays:
        return []
    masses = [(k + 1, round(m)) for k, m in enumerate(atoms.get_masses()) if atoms.numbers[k] == 1]
    return [(k, m) for k, m in masses if m > 1]


def _data(atoms: Atoms) -> Iterator[tuple[str, str]]:
    results: dict[str, Any] = {} if atoms.calc is None else atoms.calc.results
    if "energy" in results:
        yield "energy_eV", f"{results['energy']:.8f}"
    for name in SHOWN:
        if atoms.info.get(name) is not None:
            yield name, str(atoms.info[name])
    if "dipole" in results:
        yield "dipole_e_A", " ".join(f"{x:.6f}" for x in results["dipole"])
    if "charges" in results:
        yield "atom.dprop.PartialCharge", " ".join(f"{x:.6f}" for x in results["charges"])
    if "forces" in results:
        yield "forces_eV_A", "\n".join(" ".join(f"{x:.8f}" for x in row) for row in results["forces"])


def _pdb_atoms(atoms: Atoms, lewis: Lewis) -> Iterator[str]:
    arrays = atoms.arrays
    for k, (symbol, position) in enumerate(zip(atoms.symbols, atoms.positions, strict=True)):
        q = lewis.charges[k]
        name = str(arrays["atomtypes"][k]) if "atomtypes" in arrays else symbol.upper()
        residue = str(arrays["residuenames"][k]).strip() if "residuenames" in arrays else "MOL"
        number = int(arrays["residuenumbers"][k]) if "residuenumbers" in arrays else 1
        padded = f"{name:<4}" if len(symbol) == 2 or len(name) == 4 else f" {name:<3}"
        x, y, z = np.asarray(position)
        yield (
            f"HETATM{(k + 1) % 100000:5d} {padded[:4]} {residue[:3]:>3}  {number % 10000:4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}{1:6.2f}{0:6.2f}          {symbol.upper():>2}"
            f"{_signed(q)}\n"
        )


def _signed(charge: int) -> str:
    return f"{abs(charge)}{'+' if charge > 0 else '-'}" if charge else "  "


def _connections(lewis: Lewis) -> Iterator[str]:
    partners: dict[int, list[int]] = {}
    for i, j, order in lewis.bonds:
        partners.setdefault(i, []).extend([j] * order)
        partners.setdefault(j, []).extend([i] * order)
    for i in sorted(partners):
        for k in range(0, len(partners[i]), 4):
            yield f"CONECT{i + 1:5d}" + "".join(f"{j + 1:5d}" for j in partners[i][k : k + 4]) + "\n"


def _title(atoms: Atoms) -> str:
    name = atoms.info.get("name") or atoms.get_chemical_formula()
    return str(name).splitlines()[0][:80]
