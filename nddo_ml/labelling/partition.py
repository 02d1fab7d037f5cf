"""Atomic charges from the electron density: Hirshfeld's partition and the CM5 correction to it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError

BLOCK = 20_000  # grid points worked on at a time
NO_DENSITY = 1e-14  # electrons/bohr³ below which a point belongs to no atom

CM5_ALPHA = 2.474  # 1/Å
CM5_RADIUS = {1: 0.32, 6: 0.75, 7: 0.71, 8: 0.64}  # Å, covalent
CM5_PAIR = {(1, 6): 0.0502, (1, 7): 0.1747, (1, 8): 0.1671, (6, 7): 0.0556, (6, 8): 0.0234, (7, 8): -0.0346}


def hirshfeld_charges(molecule: Any, grids: Any, density: np.ndarray) -> np.ndarray:
    """Hirshfeld charges ``q_A = Z_A − ∫ w_A ρ dr``, ``w_A = ρ_A⁰ / Σ_B ρ_B⁰``, [atoms] e.

    ρ⁰ are densities of the neutral spherical atoms (restricted Hartree–Fock with fractional occupations, in
    the molecule's basis); the populations are scaled to the number of electrons, which the grid misses by
    about 1e-5. Source: Hirshfeld, Theor. Chim. Acta 44, 129 (1977).

    Args:
        molecule: PySCF Mole.
        grids: PySCF Grids, built.
        density: [basis, basis] total density matrix.
    """
    from pyscf.dft import numint
    from pyscf.scf.atom_hf import get_atm_nrhf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PySCF's of its own functions
        atoms = get_atm_nrhf(molecule)
    free = {symbol: _density_matrix(*solution[2:4]) for symbol, solution in atoms.items()}
    rows = molecule.aoslice_by_atom()[:, 2:]
    electrons = np.zeros(molecule.natm)
    for start in range(0, len(grids.weights), BLOCK):
        part = slice(start, start + BLOCK)
        orbitals = numint.eval_ao(molecule, grids.coords[part])
        rho = numint.eval_rho(molecule, orbitals, density) * grids.weights[part]
        pro = np.empty((molecule.natm, len(rho)))
        for atom, (first, last) in enumerate(rows):
            own = orbitals[:, first:last]
            pro[atom] = np.einsum("gi,gi->g", own @ free[molecule.atom_symbol(atom)], own)
        total = pro.sum(axis=0)
        inside = total > NO_DENSITY
        electrons += (pro[:, inside] / total[inside]) @ rho[inside]
    return molecule.atom_charges() - electrons * (molecule.nelectron / electrons.sum())


def cm5_shift(numbers: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """What charge model 5 adds to Hirshfeld charges, for H, C, N and O, [atoms] e.

    ``Δq_A = Σ_B T_AB exp[−α (R_AB − r_A − r_B)]``, T antisymmetric, so that the total charge stays. Source:
    Marenich, Jerome, Cramer & Truhlar, J. Chem. Theory Comput. 8, 527 (2012).

    Args:
        numbers: [atoms] atomic numbers.
        positions: [atoms, 3] Å.

    Raises:
        InputError: an element other than H, C, N and O.
    """
    for number in np.unique(numbers).tolist():
        if number not in CM5_RADIUS:
            raise InputError(f"CM5 charges are there for H, C, N and O; got {symbol_of(number)}")
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    radius = np.array([CM5_RADIUS[int(z)] for z in numbers])
    weight = np.exp(-CM5_ALPHA * (distance - radius[:, None] - radius[None]))
    transfer = np.array([[_transfer(int(a), int(b)) for b in numbers] for a in numbers])
    return (transfer * weight).sum(axis=1)


def _transfer(a: int, b: int) -> float:
    return CM5_PAIR.get((a, b), 0.0) - CM5_PAIR.get((b, a), 0.0)


def _density_matrix(orbitals: np.ndarray, occupations: np.ndarray) -> np.ndarray:
    return (orbitals * occupations) @ orbitals.T
