"""CCSD(T)/CBS energies and forces of H2, N2 and CO along their bonds: the first two are not among the conformers.

    python recipes/diatomics.py conformers_train.extxyz recipes/data/diatomics.extxyz

The scheme is that of ANI-1ccx with canonical instead of local-pair coupled cluster, cores frozen:
E = E_HF(CBS) + E_MP2(CBS) + [E_CCSD(T) − E_MP2](cc-pVTZ), extrapolated from cc-pVTZ and cc-pVQZ (Neese and Valeev,
J. Chem. Theory Comput. 7, 33 (2011)): E_HF(n) = E + A exp(−5.46 √n), E_MP2(n) = E + B n^(−3.05). What is left of the
difference to ANI-1ccx is an energy an element, fitted to ten of its conformers. Forces are central differences. Bonds
stay where the restricted determinant is stable or nearly so. Needs PySCF (nddo-ml[label]) and some minutes.
"""

import sys
from math import exp, sqrt

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pyscf import cc, gto, mp, scf

from nddo_ml.units import HARTREE_EV

BONDS = {"H2": (0.50, 1.10), "N2": (0.90, 1.40), "CO": (0.95, 1.45)}  # Å
POINTS = 13
STEP = 0.002  # Å
ELEMENTS = ("H", "C", "N", "O")
KNOWN = ("H3N", "CH4", "CHN", "CO", "CO2")  # the first two conformers of each give the zero of energy


def energy(atoms: Atoms) -> float:
    """CCSD(T)/CBS, eV."""
    field, pairs, higher = {}, {}, 0.0
    for n, basis in ((3, "cc-pvtz"), (4, "cc-pvqz")):
        places = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
        mean_field = scf.RHF(gto.M(atom=places, basis=basis, verbose=0)).run(conv_tol=1e-11)
        frozen = int((atoms.numbers > 2).sum())
        second = mp.MP2(mean_field, frozen=frozen).run()
        field[n], pairs[n] = mean_field.e_tot, second.e_corr
        if n == 3:
            coupled = cc.CCSD(mean_field, frozen=frozen).run(conv_tol=1e-10)
            higher = coupled.e_corr + coupled.ccsd_t() - second.e_corr
    a, b = exp(-5.46 * sqrt(3)), exp(-5.46 * sqrt(4))
    limit = (field[4] * a - field[3] * b) / (a - b)
    limit += (4**3.05 * pairs[4] - 3**3.05 * pairs[3]) / (4**3.05 - 3**3.05)
    return (limit + higher) * HARTREE_EV


def composition(atoms: Atoms) -> np.ndarray:
    """How many atoms of each element."""
    return np.array([atoms.get_chemical_symbols().count(element) for element in ELEMENTS], dtype=float)


def zero_of(conformers: list[Atoms]) -> np.ndarray:
    """Energy an element, eV, that takes ours to the energies of the conformers, by least squares."""
    some = [a for formula in KNOWN for a in [c for c in conformers if c.get_chemical_formula() == formula][:2]]
    difference = [a.get_potential_energy() - energy(a) for a in some]
    return np.linalg.lstsq(np.array([composition(a) for a in some]), np.array(difference), rcond=None)[0]


def labelled(formula: str, bond: float, zero: np.ndarray) -> Atoms:
    """The molecule with its energy and forces."""
    low, atoms, high = (Atoms(formula, [(0, 0, 0), (0, 0, bond + shift)]) for shift in (-STEP, 0.0, STEP))
    slope = (energy(high) - energy(low)) / (2 * STEP)
    atoms.info["level"] = "CCSD(T)/CBS, zero of ANI-1ccx"
    forces = np.array([(0, 0, slope), (0, 0, -slope)])
    atoms.calc = SinglePointCalculator(atoms, energy=energy(atoms) + float(composition(atoms) @ zero), forces=forces)
    return atoms


if __name__ == "__main__":
    source, target = sys.argv[1:]
    zero = zero_of(ase.io.read(source, ":"))
    curves = [(formula, bond) for formula, (a, b) in BONDS.items() for bond in np.linspace(a, b, POINTS).tolist()]
    ase.io.write(target, [labelled(formula, bond, zero) for formula, bond in curves])
