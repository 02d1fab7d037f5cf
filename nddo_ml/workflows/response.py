"""Second derivatives: Hessian, vibrations, infrared intensities and polarisability by the density's response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from nddo_ml.derivatives import gradient
from nddo_ml.elements import atomic_masses
from nddo_ml.energy.adjoint import density_response, implicit_density
from nddo_ml.energy.functional import electronic_energy, energy_weights
from nddo_ml.energy.properties import coulson_charges, dipole_moment
from nddo_ml.errors import InputError
from nddo_ml.methods.published import METHODS
from nddo_ml.methods.tables import polarizability_volumes
from nddo_ml.models.base import AbstractModel, Prediction
from nddo_ml.models.hamiltonian import Hamiltonian
from nddo_ml.models.nddo import NDDO
from nddo_ml.scf.density import spins_a_matrix, total_density
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

_WAVENUMBER = 521.470898  # cm⁻¹ of an angular frequency √(eV/u)/Å: √(e/u)/(2π c), CODATA 2018
_INTENSITY = 974.880  # km/mol of (∂μ/∂Q)² = e²/u: N_A e²/(12 ε_0 c² u), CODATA 2018
_COPIES = 48  # worked on in one batch
_LINEAR = 1e-3  # of the largest: a smaller rotation about the axis of a linear molecule is none
T = TypeVar("T")


@dataclass(frozen=True)
class Vibrations:
    """Harmonic vibrations of one molecule, lowest first; translations and rotations are projected out."""

    frequencies: Tensor  # [modes] cm⁻¹; imaginary ones negative
    modes: Tensor  # [modes, atoms, 3] Cartesian displacements, normalised with the masses: Σ m |d|² = 1, u^−½
    intensities: Tensor | None  # [modes] km/mol, of the infrared absorption


def hessian(model: AbstractModel, systems: Systems) -> Tensor:
    """``∂²E/∂R∂R`` of one molecule, [3 atoms, 3 atoms] eV/Å², analytic.

    Row k is the derivative of minus the k-th force component at the relaxed density; with NDDO that is
    coupled-perturbed theory, one adjoint solve a row, all rows in batches.

    Args:
        model: whose forces keep their graph to the positions.
        systems: one molecule.

    Raises:
        InputError: more than one system.
        SCFConvergenceError, ResponseError: as from the model.
    """
    n = 3 * _size(systems)
    matrix = _rows(model, systems, n, lambda p: -_given(p.forces).view(-1, n), forces=True)
    return 0.5 * (matrix + matrix.T)


def dipole_derivatives(model: AbstractModel, systems: Systems) -> Tensor:
    """``∂μ/∂R``, [3, 3 atoms] e, of one molecule.

    Raises:
        InputError: more than one system.
    """
    _size(systems)
    return _rows(model, systems, 3, lambda p: _given(p.dipole), forces=False)


def vibrations(model: AbstractModel, systems: Systems, *, intensities: bool = False) -> Vibrations:
    """Harmonic vibrations of one molecule, at a stationary point of the energy.

    Translations and rotations are projected out but where the model's surroundings hold the molecule: among point
    charges neither are, in a field translations alone.

    Args:
        model: any model whose forces are differentiable.
        systems: one molecule; its ``masses`` are those of its isotopes, where it has any.
        intensities: whether to give infrared intensities as well, which needs a model with dipoles (NDDO).

    Raises:
        InputError: more than one system, or intensities from a model without dipoles.
    """
    if intensities and "dipole" not in model.capabilities.properties:
        raise InputError(f"infrared intensities need a model with dipoles; {model.name} has none")
    n = _size(systems)
    standard = atomic_masses(systems.numbers, systems.positions.dtype)
    masses = (standard if systems.masses is None else systems.masses).repeat_interleave(3)
    weighted = hessian(model, systems) / torch.sqrt(masses[:, None] * masses[None, :])
    free = 6 if model.environment is None else model.environment.free_motions
    basis = _internal_basis(systems.positions.detach(), masses, free)
    values, vectors = torch.linalg.eigh(basis.T @ weighted @ basis)
    modes = (basis @ vectors).T / masses.sqrt()
    strength = None
    if intensities:
        strength = _INTENSITY * (modes @ dipole_derivatives(model, systems).T).square().sum(dim=1)
    return Vibrations(_WAVENUMBER * values.sign() * values.abs().sqrt(), modes.view(-1, n, 3), strength)


@torch.no_grad()
def polarizability(model: NDDO, systems: Systems) -> Tensor:
    """Static dipole polarisability ``α_kl = ∂μ_k/∂F_l``, [systems, 3, 3] Å³.

    A field F adds −F ∂μ/∂P to the Fock matrix; the density answers by coupled-perturbed theory.

    Raises:
        SCFConvergenceError, ResponseError: the field or its response was not solved.
    """
    scf = _given(model(systems).scf)
    hamiltonian = model.hamiltonian(systems)
    builder = FockBuilder.from_integrals(hamiltonian.integrals)
    moments = _dipole_matrices(systems, hamiltonian)
    spins = scf.density.shape[1]
    columns, names = [], torch.arange(systems.n_systems, device=systems.numbers.device)
    for push in moments:
        perturbation = -push[:, None].expand(-1, spins, -1, -1)
        change = density_response(builder, scf, perturbation, model.response_options, names)
        columns.append((moments * total_density(change)).sum(dim=(2, 3)).T)
    return torch.stack(columns, dim=2) * (HARTREE_EV * BOHR_ANGSTROM)  # e²/(4π ε_0) in eV Å


def fitted_polarizability(model: NDDO, systems: Systems) -> Tensor:
    """Static polarisability fitted to experiment, ``c_1 α + (c_2 + Σ_A v_A) 1``, [systems, 3, 3] Å³.

    α is :func:`polarizability`, too small because the basis is minimal; c_1, c_2 and the volumes v_A of the atoms are
    the method's. MOPAC prints this as polarisability, with the factor on the diagonal alone, which is the same along
    the principal axes.

    Raises:
        InputError: a method for which nothing was fitted.
        SCFConvergenceError, ResponseError: the field or its response was not solved.
    """
    method = model.method
    if method.info.polarizability is None:
        known = ", ".join(info.name for info in METHODS.values() if info.polarizability is not None)
        raise InputError(f"a fitted polarisability needs one of {known}; got {method.name}")
    factor, constant = method.info.polarizability
    volumes = polarizability_volumes(method.name).to(systems.positions)[systems.numbers]
    added = volumes.new_full((systems.n_systems,), constant).index_add(0, systems.system_idx, volumes)
    return factor * polarizability(model, systems) + added[:, None, None] * torch.eye(3).to(volumes)


def orbital_energies(model: NDDO, systems: Systems) -> Tensor:
    """Orbital energies with their graph, [systems, spin, M] eV, lowest first; padded ones are infinite.

    ``ε_i = C_iᵀ F(P, I) C_i`` at fixed orbitals, which is first-order perturbation theory; of degenerate orbitals only
    symmetric functions, such as their sum, have a derivative. In training mode the graph reaches the networks.

    Raises:
        SCFConvergenceError: the field did not converge.
        ResponseError (when differentiated): its response was not solved.
    """
    with torch.no_grad():
        scf = _given(model(systems).scf)
    with torch.enable_grad():
        hamiltonian = model.hamiltonian(systems)
        builder = FockBuilder.from_integrals(hamiltonian.integrals)
        names = torch.arange(systems.n_systems, device=systems.numbers.device)
        density = implicit_density(hamiltonian.integrals, builder, scf, model.response_options, names)
        density = density if density.requires_grad else density.requires_grad_()
        energy = electronic_energy(hamiltonian.integrals, energy_weights(hamiltonian.integrals, density))
        (fock,) = gradient(energy, [density], create_graph=True)
        fock = fock / spins_a_matrix(density)
        levels = (scf.orbitals * (0.5 * (fock + fock.transpose(2, 3)) @ scf.orbitals)).sum(dim=2)
    return torch.where(scf.real_rows[:, None], levels, torch.inf)


def _size(systems: Systems) -> int:
    if systems.n_systems != 1:
        raise InputError(f"second derivatives are of one molecule at a time; got {systems.n_systems} systems")
    return systems.n_atoms


def _rows(
    model: AbstractModel, systems: Systems, n_rows: int, pick: Callable[[Prediction], Tensor], *, forces: bool
) -> Tensor:
    """Derivatives [rows, 3 atoms] of the components ``pick(prediction)`` [copies, rows], each from its own copy."""
    scf = model(systems).scf if model.capabilities.density else None
    found = []
    for rows in torch.arange(n_rows, device=systems.numbers.device).split(_COPIES):
        n = rows.shape[0]
        copies = _copies(systems, n)
        with torch.enable_grad():
            start = None if scf is None else scf.density.expand(n, -1, -1, -1)
            value = pick(model(copies, forces=forces, start=start))
            (slope,) = gradient(value[torch.arange(n), rows], [copies.positions])
        found.append(slope.view(n, -1))
    return torch.cat(found)


def _copies(systems: Systems, n: int) -> Systems:
    """A batch of ``n`` times the same molecule, its positions a leaf."""
    copies = systems.select(systems.charge.new_zeros(n))
    return copies.with_positions(copies.positions.detach().requires_grad_())


def _given(value: T | None) -> T:
    if value is None:
        raise InputError("the model does not give what this derivative needs")
    return value


def _dipole_matrices(systems: Systems, hamiltonian: Hamiltonian) -> Tensor:
    """``∂μ_k/∂P`` of the total density, symmetric, [3, systems, M, M] e·Å."""
    layout = hamiltonian.layout
    like = systems.positions
    masses = atomic_masses(systems.numbers, like.dtype)
    with torch.enable_grad():
        density = like.new_zeros(layout.n_systems, layout.size, layout.size).requires_grad_()
        charges = coulson_charges(layout, hamiltonian.parameters, density)
        dipole = dipole_moment(layout, hamiltonian.parameters, density, like.detach(), charges, masses)
        matrices = [gradient(dipole[:, k], [density], retain_graph=True)[0] for k in range(3)]
    stacked = torch.stack(matrices)
    return 0.5 * (stacked + stacked.transpose(2, 3))


def _internal_basis(positions: Tensor, masses: Tensor, free: int) -> Tensor:
    """Orthonormal mass-weighted displacements without the first ``free`` of translations and rotations,
    [3 atoms, modes]."""
    n = positions.shape[0]
    weight = masses.view(n, 3)
    centred = positions - (weight * positions).sum(dim=0) / weight.sum(dim=0)
    axes = torch.eye(3, dtype=positions.dtype, device=positions.device)
    moves = [axis.expand(n, 3) for axis in axes] + [torch.linalg.cross(axis.expand(n, 3), centred) for axis in axes]
    if not free:
        return torch.eye(3 * n, dtype=positions.dtype, device=positions.device)
    rigid = torch.stack([(m * weight.sqrt()).reshape(-1) for m in moves[:free]], dim=1)
    vectors, sizes, _ = torch.linalg.svd(rigid, full_matrices=True)
    rank = int((sizes > _LINEAR * sizes[0]).sum())
    return vectors[:, rank:]
