"""Second derivatives: Hessian, vibrations, infrared intensities and polarisability by the density's response."""

from __future__ import annotations

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
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.hamiltonian import Hamiltonian
from nddo_ml.models.nddo import NDDO
from nddo_ml.scf.density import spins_a_matrix, total_density
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV
from nddo_ml.workflows.normal_modes import Vibrations, free_motions, normal_modes
from nddo_ml.workflows.second_derivatives import derivative_rows, given, second_derivatives


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
    _size(systems)
    return second_derivatives(model, systems, analytic=True)[0].hessian


def dipole_derivatives(model: AbstractModel, systems: Systems) -> Tensor:
    """``∂μ/∂R``, [3, 3 atoms] e, of one molecule.

    Raises:
        InputError: more than one system.
    """
    _size(systems)
    rows = torch.full_like(systems.charge, 3)
    return derivative_rows(model, systems, rows, lambda p: given(p.dipole), forces=False)[0]


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
    _size(systems)
    (found,) = second_derivatives(model, systems, dipoles=intensities, analytic=True)
    return normal_modes(systems, found, free_motions(model))


@torch.no_grad()
def polarizability(model: NDDO, systems: Systems) -> Tensor:
    """Static dipole polarisability ``α_kl = ∂μ_k/∂F_l``, [systems, 3, 3] Å³.

    A field F adds −F ∂μ/∂P to the Fock matrix; the density answers by coupled-perturbed theory.

    Raises:
        SCFConvergenceError, ResponseError: the field or its response was not solved.
    """
    scf = given(model(systems).scf)
    hamiltonian = model.hamiltonian(systems)
    builder = FockBuilder.from_integrals(hamiltonian.integrals)
    moments = dipole_matrices(systems, hamiltonian)
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
        scf = given(model(systems).scf)
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


def dipole_matrices(systems: Systems, hamiltonian: Hamiltonian) -> Tensor:
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
