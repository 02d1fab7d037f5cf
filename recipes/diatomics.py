"""CCSD(T)/CBS energies and forces of H2, N2 and CO along their bonds: the first two are not among the conformers.

    python recipes/diatomics.py recipes/data/diatomics.extxyz

The scheme is that of ANI-1ccx with canonical instead of local-pair coupled cluster, cores frozen:
E = E_HF(CBS) + E_MP2(CBS) + [E_CCSD(T) − E_MP2](cc-pVTZ), extrapolated from cc-pVTZ and cc-pVQZ (Neese and Valeev,
J. Chem. Theory Comput. 7, 33 (2011)): E_HF(n) = E + A exp(−5.46 √n), E_MP2(n) = E + B n^(−3.05). Forces are central
differences. Bonds stay where the restricted determinant is stable or nearly so. Needs PySCF (pip install
'nddo-ml[label]') and some minutes.
"""

import sys
from math import exp, sqrt

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pyscf import cc, gto, mp, scf

from nddo_ml.units import HARTREE_EV

BONDS = {"H2": ("HH", 0.50, 1.10), "N2": ("NN", 0.90, 1.40), "CO": ("CO", 0.95, 1.45)}  # Å
POINTS = 13
STEP = 0.002  # Å
# Zero of ANI-1ccx less ours, kcal/mol an atom: fitted to NH3, CH4, HCN, CO and CO2 of its conformers, to 0.1 kcal/mol.
ZERO = {"H": -0.245, "C": -0.813, "N": -1.691, "O": -2.311}
KCAL = HARTREE_EV / 627.509


def energy(symbols: str, bond: float) -> float:
    """CCSD(T)/CBS energy, eV, of two atoms ``bond`` Å apart."""
    field, pairs, higher = {}, {}, 0.0
    for n, basis in ((3, "cc-pvtz"), (4, "cc-pvqz")):
        molecule = gto.M(atom=[(symbols[0], (0, 0, 0)), (symbols[1], (0, 0, bond))], basis=basis, verbose=0)
        mean_field = scf.RHF(molecule).run(conv_tol=1e-11)
        frozen = sum(s != "H" for s in symbols)
        second = mp.MP2(mean_field, frozen=frozen).run()
        field[n], pairs[n] = mean_field.e_tot, second.e_corr
        if n == 3:
            coupled = cc.CCSD(mean_field, frozen=frozen).run(conv_tol=1e-10)
            higher = coupled.e_corr + coupled.ccsd_t() - second.e_corr
    a, b = exp(-5.46 * sqrt(3)), exp(-5.46 * sqrt(4))
    limit = (field[4] * a - field[3] * b) / (a - b)
    limit += (4**3.05 * pairs[4] - 3**3.05 * pairs[3]) / (4**3.05 - 3**3.05)
    return (limit + higher) * HARTREE_EV + sum(ZERO[s] for s in symbols) * KCAL


def labelled(symbols: str, bond: float) -> Atoms:
    """The molecule with its energy and forces."""
    atoms = Atoms(symbols, [(0, 0, 0), (0, 0, bond)], info={"level": "CCSD(T)/CBS, zero of ANI-1ccx"})
    slope = (energy(symbols, bond + STEP) - energy(symbols, bond - STEP)) / (2 * STEP)
    forces = np.array([(0, 0, slope), (0, 0, -slope)])
    atoms.calc = SinglePointCalculator(atoms, energy=energy(symbols, bond), forces=forces)
    return atoms


if __name__ == "__main__":
    ase.io.write(sys.argv[1], [labelled(s, float(r)) for s, a, b in BONDS.values() for r in np.linspace(a, b, POINTS)])
