"""Excited states by configuration interaction of singles (Tamm–Dancoff): energies, transition dipoles.

Foresman, Head-Gordon, Pople & Frisch, J. Phys. Chem. 96, 135 (1992); Davidson, J. Comput. Phys. 17, 87 (1975).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.errors import InputError, ResponseError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.hamiltonian import Hamiltonian
from nddo_ml.models.nddo import NDDO
from nddo_ml.models.open import as_nddo
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.fock_many import coulomb, exchange
from nddo_ml.scf.solve import SCFResult
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV
from nddo_ml.workflows.response import dipole_matrices
from nddo_ml.workflows.second_derivatives import given

EXPLICIT = 600  # excitations up to which the whole matrix is diagonalised
_TOLERANCE = 1e-6  # eV, residual of a state
_ITERATIONS = 100
_NEAR = 0.1  # eV, smallest denominator of a correction
_SPACE = 12  # vectors a state, at which Davidson's space is made anew


@dataclass(frozen=True)
class ExcitedStates:
    """The lowest excited states of one molecule of one multiplicity, lowest first."""

    energies: Tensor  # [states] eV, above the ground state
    dipoles: Tensor  # [states, 3] e·Å, of the transitions from the ground state; zero for triplets
    strengths: Tensor  # [states] oscillator strengths
    amplitudes: Tensor  # [states, occupied, empty], normalised


def excited_states(
    model: AbstractModel, systems: Systems, n_states: int, *, triplets: bool = False, explicit: bool | None = None
) -> ExcitedStates:
    """The lowest singlets or triplets of one closed shell.

    ``A_ia,jb = δ_ij δ_ab (ε_a − ε_i) + 2 (ia|jb) − (ij|ab)``, without ``2 (ia|jb)`` for triplets; transition dipoles
    are ``√2 Σ x_ia ⟨i|μ|a⟩`` and ``f = ⅔ ΔE |μ|²`` in atomic units.

    Args:
        model: a method or a hybrid.
        systems: one molecule.
        n_states: how many, at most as many as there are excitations.
        triplets: triplets instead of singlets.
        explicit: diagonalise the whole matrix, or find the lowest states by Davidson's method; left out, by the size.

    Raises:
        InputError: more than one system, an open shell, a model without orbitals.
        SCFConvergenceError: the field did not converge.
        ResponseError: Davidson's method did not converge.
    """
    space = Singles.of(as_nddo(model), systems, triplets=triplets)
    return space.lowest(n_states, explicit=explicit)


@dataclass(frozen=True)
class Singles:
    """The space of single excitations of one closed shell."""

    systems: Systems
    hamiltonian: Hamiltonian
    scf: SCFResult
    builder: FockBuilder
    occupied: Tensor  # [M, occupied]
    empty: Tensor  # [M, empty]
    gap: Tensor  # [occupied, empty] eV
    triplets: bool

    @classmethod
    def of(cls, method: NDDO, systems: Systems, *, triplets: bool) -> Singles:
        """The space above a method's field; integrals have a graph where the positions require one.

        Raises:
            InputError: more than one system, an open shell, no occupied or no empty orbital.
            SCFConvergenceError: the field did not converge.
        """
        if systems.n_systems != 1:
            raise InputError(f"excited states are of one molecule at a time; got {systems.n_systems} systems")
        with torch.no_grad():
            scf = given(method(systems).scf)
        if scf.density.shape[1] != 1:
            raise InputError(f"{systems.formula(0)}: excited states are of closed shells; this is an open one")
        hamiltonian = method.hamiltonian(systems)
        with torch.no_grad():
            builder = FockBuilder.from_integrals(hamiltonian.integrals)
            orbitals, energies, n_occupied = scf.orbitals[0, 0], scf.orbital_energies[0, 0], int(scf.n_occupied[0, 0])
        real = int(energies.isfinite().sum())
        if not 0 < n_occupied < real:
            raise InputError("expected occupied and empty orbitals; the molecule lacks one of them")
        gap = energies[None, n_occupied:real] - energies[:n_occupied, None]
        occupied, empty = orbitals[:, :n_occupied], orbitals[:, n_occupied:real]
        return cls(systems, hamiltonian, scf, builder, occupied, empty, gap, triplets)

    @torch.no_grad()
    def lowest(self, n_states: int, *, explicit: bool | None = None) -> ExcitedStates:
        """The lowest states, as :func:`excited_states`."""
        size = self.gap.numel()
        wanted = min(n_states, size)
        if explicit if explicit is not None else size <= EXPLICIT:
            values, vectors = torch.linalg.eigh(self.product(torch.eye(size, dtype=self.gap.dtype)))
            values, vectors = values[:wanted], vectors[:, :wanted]
        else:
            values, vectors = lowest_eigenpairs(self.product, self.gap.reshape(-1), wanted)
        amplitudes = vectors.T.reshape(wanted, *self.gap.shape)
        dipoles = values.new_zeros(wanted, 3)
        if not self.triplets:
            moments = dipole_matrices(self.systems, self.hamiltonian)[:, 0].detach()
            between = self.occupied.T @ moments @ self.empty  # [3, occupied, empty]
            dipoles = 2**0.5 * torch.einsum("kia,nia->nk", between, amplitudes)
        strengths = 2 / 3 * values / HARTREE_EV * (dipoles / BOHR_ANGSTROM).square().sum(dim=1)
        return ExcitedStates(values, dipoles, strengths, amplitudes)

    def coupling(self, transitions: Tensor) -> Tensor:
        """``(2 J − K)[D]`` of transition densities D [n, M, M], which are not symmetric; ``−K[D]`` for triplets."""
        made = -exchange(self.builder, transitions)
        return made if self.triplets else made + 2 * coulomb(self.builder, transitions)

    def product(self, vectors: Tensor) -> Tensor:
        """``A x`` of the columns of [excitations, n]."""
        x = vectors.T.reshape(-1, *self.gap.shape)
        coupling = self.coupling(self.occupied @ x @ self.empty.T)
        product = self.gap * x + self.occupied.T @ coupling @ self.empty
        return product.reshape(x.shape[0], -1).T


def lowest_eigenpairs(product: Callable[[Tensor], Tensor], diagonal: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """The lowest eigenvalues [wanted] and vectors [n, wanted] of a symmetric matrix, by Davidson's method.

    Args:
        product: the matrix times the columns of [n, k].
        diagonal: [n], about the matrix's.
        wanted: how many.

    Raises:
        ResponseError: not converged.
    """
    n = diagonal.shape[0]
    begin = min(n, wanted + 4)
    space = torch.eye(n, dtype=diagonal.dtype)[:, diagonal.argsort()[:begin]]
    images = product(space)
    for _ in range(_ITERATIONS):
        values, small = torch.linalg.eigh(space.T @ images)
        values, small = values[:wanted], small[:, :wanted]
        vectors = space @ small
        residual = images @ small - vectors * values
        large = residual.norm(dim=0) > _TOLERANCE
        if not bool(large.any()):
            return values, vectors
        if space.shape[1] + int(large.sum()) > _SPACE * wanted:
            space, images = vectors, images @ small
        away = values[large] - diagonal[:, None]
        basis = residual[:, large] / torch.where(away.abs() < _NEAR, -_NEAR, away)
        for _ in range(2):
            basis = basis / basis.norm(dim=0)
            basis, sizes = torch.linalg.qr(basis - space @ (space.T @ basis))
            basis = basis[:, sizes.diagonal().abs() > 1e-6]
        space, images = torch.cat([space, basis], dim=1), torch.cat([images, product(basis)], dim=1)
    raise ResponseError(f"{int(large.sum())} of {wanted} excited states did not converge", [0])
