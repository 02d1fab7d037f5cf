"""Molecules with one bond pulled apart in high-spin states, to be labelled: what a broken bond is like.

    python recipes/stretched.py conformers_train.extxyz stretched.extxyz
    nddo-ml label stretched.extxyz --output stretched_forces.extxyz --grid 50,194 --density-fitting weigend \\
        --convergence 1e-7

Pulled are bonds outside of rings between fragments that keep their shape, to a random 1.3 to 2.2 times the sum of the
covalent radii, and H2, N2 and CO at thirty lengths each, 1.2 to 2.4 times that sum. Both electrons of every pair of
the bond (its order in RM1) are unpaired, so that a single determinant describes the bond at any length.
"""

import sys

import ase.io
import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from nddo_ml import NDDO, Systems
from nddo_ml.energy.properties import bond_orders
from nddo_ml.integrals.layout import build_layout
from nddo_ml.methods.tables import load_method
from nddo_ml.workflows.fragments import bonds, side_of

COUNT = 190
HEAVY = 5  # at most so many heavy atoms
RANGE = (1.3, 2.2)  # sums of covalent radii
DIATOMICS = {"H2": 3, "N2": 7, "CO": 5}  # multiplicities of two atoms in their ground states
POINTS, LENGTHS = 30, (1.2, 2.4)


def pulled(atoms: Atoms, bond: tuple[int, int], ratio: float, multiplicity: int) -> Atoms | None:
    """The structure with the bond at ``ratio`` sums of covalent radii; None where it is part of a ring."""
    kept, moved = bond
    side = side_of(atoms, kept, moved)
    if side is None:
        return None
    made = Atoms(atoms.numbers, atoms.positions, info={"multiplicity": multiplicity})
    axis = made.positions[moved] - made.positions[kept]
    length = ratio * covalent_radii[atoms.numbers[list(bond)]].sum()
    made.positions[list(side)] += axis * (length / np.linalg.norm(axis) - 1)
    return made


def order_of(atoms: Atoms, bond: tuple[int, int]) -> int:
    """The bond's order in RM1, rounded, at least 1."""
    systems = Systems.from_ase(atoms)
    layout = build_layout(systems.system_idx, load_method("RM1").width[systems.numbers], 1)
    orders = bond_orders(layout, NDDO("RM1")(systems).scf.total_density)
    return max(1, round(float(orders[0][bond])))


def candidates(conformers: list[Atoms], random: np.random.Generator) -> list[Atoms]:
    """One pulled bond of each of some conformers, a third of them with a hydrogen."""
    small = [a for a in conformers if 2 <= (a.numbers > 1).sum() <= HEAVY]
    made: list[Atoms] = []
    for k in random.permutation(len(small)):
        atoms = small[k]
        hydrogen = len(made) % 3 == 0
        choices = [b for b in bonds(atoms) if (min(atoms.numbers[list(b)]) == 1) == hydrogen]
        if not choices:
            continue
        bond = choices[random.integers(len(choices))]
        result = pulled(atoms, bond, random.uniform(*RANGE), 2 * order_of(atoms, bond) + 1)
        if result is not None:
            made.append(result)
        if len(made) == COUNT:
            break
    return made


if __name__ == "__main__":
    source, target = sys.argv[1:]
    structures = candidates(ase.io.read(source, ":"), np.random.default_rng(1))
    for formula, multiplicity in DIATOMICS.items():
        pair = Atoms(formula, [(0, 0, 0), (0, 0, 1)])
        structures += [pulled(pair, (0, 1), ratio, multiplicity) for ratio in np.linspace(*LENGTHS, POINTS)]
    ase.io.write(target, structures)
