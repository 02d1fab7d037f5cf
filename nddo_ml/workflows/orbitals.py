"""Orbitals, densities and electrostatic potentials of one molecule in space.

The basis of NDDO is taken as orthogonal; in space its orbitals are Löwdin's, ``S^(−½)`` times Slater's, so that
orbitals are orthonormal and the density has the right number of electrons.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nddo_ml.derivatives import gradient
from nddo_ml.environments.charges import PointCharges
from nddo_ml.errors import InputError
from nddo_ml.integrals.build import overlap_matrix
from nddo_ml.integrals.gaussians import fitted_gaussians, slater_values
from nddo_ml.integrals.packing import pack_charges
from nddo_ml.models.hamiltonian import Hamiltonian
from nddo_ml.models.nddo import NDDO
from nddo_ml.systems import Systems
from nddo_ml.workflows.second_derivatives import given

MOST_POINTS = 10**8  # of a grid
_POINTS = 20_000  # in space, worked on at once


@dataclass(frozen=True)
class Orbitals:
    """The field of one molecule; rows are orbitals atom by atom, in the order of the atoms."""

    systems: Systems
    hamiltonian: Hamiltonian
    total_density: Tensor  # [M, M] in the orthogonal basis, of the layout
    slater: np.ndarray  # [spin, rows, orbitals], coefficients of Slater orbitals
    energies: np.ndarray  # [spin, orbitals] eV
    occupations: np.ndarray  # [spin, orbitals]: 2 or 1, and 0

    @classmethod
    def of(cls, model: NDDO, systems: Systems) -> Orbitals:
        """Of a molecule by a method or a hybrid.

        Raises:
            InputError: more than one system.
            SCFConvergenceError: the field did not converge.
        """
        if systems.n_systems != 1:
            raise InputError(f"orbitals are of one molecule at a time; got {systems.n_systems} systems")
        with torch.no_grad():
            scf = given(model(systems).scf)
            hamiltonian = model.hamiltonian(systems)
            overlap = overlap_matrix(systems.positions, hamiltonian.layout, hamiltonian.parameters)[0]
            values, vectors = torch.linalg.eigh(overlap)
            root = vectors @ torch.diag(values.rsqrt()) @ vectors.T
            rows = _rows(hamiltonian)
            spins = scf.orbitals.shape[1]
            slater = (root @ scf.orbitals[0])[:, rows].numpy()
            column = torch.arange(len(rows))
            filled = (column < scf.n_occupied[0, :, None]) * (3.0 - spins)
        return cls(systems, hamiltonian, scf.total_density[0], slater, scf.orbital_energies[0].numpy(), filled.numpy())

    def basis(self) -> list[tuple[tuple[np.ndarray, np.ndarray], ...]]:
        """Exponents (1/bohr²) and coefficients of Gaussians of the shells s, p, d of each atom."""
        p = self.hamiltonian.parameters
        made = []
        for atom, width in enumerate(self.hamiltonian.layout.width.tolist()):
            shells = []
            for l in range({1: 1, 4: 2, 9: 3}[width]):
                zeta = float((p.zeta_s, p.zeta_p, p.zeta_d)[l][atom])
                exponents, coefficients = fitted_gaussians(int(p.principal[atom, l]), l)
                shells.append((exponents * zeta**2, coefficients))
            made.append(tuple(shells))
        return made

    def on(self, points: np.ndarray, spin: int, orbital: int) -> np.ndarray:
        """Values [points] bohr^(−3/2) of an orbital at points [points, 3] Å."""
        return np.concatenate([self.slater[spin][:, orbital] @ self._basis_on(part) for part in _parts(points)])

    def density_on(self, points: np.ndarray, signs: tuple[int, int] = (1, 1)) -> np.ndarray:
        """Electron density [points] bohr⁻³, or with ``signs`` (1, −1) the spin density."""
        found = []
        for part in _parts(points):
            values = self._basis_on(part)
            each = [
                (f[:, None] * (c.T @ values) ** 2).sum(axis=0)
                for c, f in zip(self.slater, self.occupations, strict=True)
            ]
            found.append(each[0] if len(each) == 1 else signs[0] * each[0] + signs[1] * each[1])
        return np.concatenate(found)

    def potential_on(self, points: np.ndarray) -> np.ndarray:
        """Electrostatic potential [points] V: what the energy of the molecule changes by with a charge there.

        The molecule's own multipoles act, as they do on point charges that surround it.
        """
        found = []
        layout = self.hamiltonian.layout
        flat = self.total_density.reshape(-1)
        for part in _parts(points):
            charges = torch.zeros(len(part), dtype=torch.float64, requires_grad=True)
            around = PointCharges(
                charges,
                torch.as_tensor(part),
                torch.zeros(len(part), dtype=torch.int64),
                torch.zeros(len(part), dtype=torch.float64),
            )
            with torch.enable_grad():
                embedding = around.embed(self.systems, self.hamiltonian.parameters, layout)
                energy = embedding.energy.sum()
                for group, block in zip(layout.atom_groups, embedding.one_electron, strict=True):
                    energy = energy + (pack_charges(flat[group.block]) * block).sum()
                found.append(gradient(energy, [charges])[0].numpy())
        return np.concatenate(found)

    def _basis_on(self, points: np.ndarray) -> np.ndarray:
        """Slater orbitals [rows, points] at points in Å."""
        p = self.hamiltonian.parameters
        zeta = torch.stack((p.zeta_s, p.zeta_p, p.zeta_d), dim=1).detach().numpy()
        where = self.systems.positions.detach().numpy()
        bohr = p.constants.bohr_angstrom
        return np.concatenate(
            [
                slater_values((points - where[k]) / bohr, zeta[k], p.principal[k].numpy(), width)
                for k, width in enumerate(self.hamiltonian.layout.width.tolist())
            ]
        )


def grid_around(positions: np.ndarray, spacing: float, margin: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Points [n, 3] of a box around positions, z fastest, and how many there are along each axis; Å.

    Raises:
        InputError: a spacing that is not positive, or needs more points than memory holds.
    """
    if not spacing > 0:
        raise InputError(f"the spacing of a grid must be positive; got {spacing} Å")
    low, high = positions.min(axis=0) - margin, positions.max(axis=0) + margin
    nx, ny, nz = (int(n) for n in np.ceil((high - low) / spacing) + 1)
    if nx * ny * nz > MOST_POINTS:
        raise InputError(f"expected a grid of at most {MOST_POINTS:.0e} points; {spacing} Å needs {nx * ny * nz:.1e}")
    axes = [low[k] + spacing * np.arange(n) for k, n in enumerate((nx, ny, nz))]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3), (nx, ny, nz)


def _rows(hamiltonian: Hamiltonian) -> list[int]:
    """Rows of the layout, atom by atom."""
    layout = hamiltonian.layout
    starts, widths = layout.first_row.tolist(), layout.width.tolist()
    return [start + k for start, width in zip(starts, widths, strict=True) for k in range(width)]


def _parts(points: np.ndarray) -> list[np.ndarray]:
    ends = [*range(0, len(points), _POINTS), len(points)]
    return [points[a:b] for a, b in pairwise(ends)]
