"""Systems that torch solves: the definition of a field's energy and forces, with a graph where one is wanted."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nddo_ml.derivatives import contracted_gradient
from nddo_ml.energy.adjoint import implicit_density
from nddo_ml.energy.functional import EnergyWeights, electronic_energy, energy_weights, flat_integrals
from nddo_ml.energy.properties import charges_and_dipole
from nddo_ml.environments.embedding import Environment
from nddo_ml.models.base import Request
from nddo_ml.models.chunks import ChunkResult, starting_density
from nddo_ml.models.compiled import Changed, Recipe, field_by_core
from nddo_ml.models.hamiltonian import Hamiltonian, build_hamiltonian
from nddo_ml.models.trained import solved_for_training
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.solve import SCFResult, solve_scf
from nddo_ml.systems import Systems


def solved_by_torch(
    batch: Systems,
    index: Tensor,
    recipe: Recipe,
    n_occupied: Tensor,
    open_shell: Tensor,
    request: Request,
    *,
    keep_graph: bool,
    training: bool,
) -> ChunkResult:
    """The results of some systems of a batch, forces where asked for.

    Args:
        batch: the batch.
        index: [k] the systems to solve.
        recipe: method, corrections, energy terms, options.
        n_occupied: [k, 2].
        open_shell: [k] bool.
        request: as of the call of the batch.
        keep_graph: whether results keep their graph.
        training: whether the model is trained: sizes of shifts are given, spreads are not.
    """
    forces, environment = request.forces, request.environment
    systems, atoms = batch.select_with_atoms(index)
    if keep_graph and not (forces or systems.positions.requires_grad) and environment is None:
        chunk = solved_for_training(systems, (index, atoms), recipe, n_occupied, open_shell, request.start)
        if chunk is not None:
            return chunk if training else replace(chunk, shift_size=None)
    around, sites = (None, None) if environment is None else environment.select(index)
    if forces:
        systems, around = _free_to_move(systems, around)
    with torch.set_grad_enabled(keep_graph or forces):
        corrections = recipe.corrections.at(systems)
        hamiltonian = build_hamiltonian(systems, recipe.method, corrections, recipe.terms, around)
        start = starting_density(request.start, index, open_shell, hamiltonian.layout.size)
        builder = FockBuilder.from_integrals(hamiltonian.integrals)
        # without a graph the core has been asked before
        ask_core = keep_graph and around is None
        scf = _field(systems, recipe, hamiltonian, builder, n_occupied, open_shell, start, ask_core=ask_core)
        density = scf.density
        if keep_graph:
            density = implicit_density(hamiltonian.integrals, builder, scf, recipe.response, index)
        weights = energy_weights(hamiltonian.integrals, density)
        electronic = electronic_energy(hamiltonian.integrals, weights.detached())
        force = on_sites = None
        if forces:
            force, on_sites = _forces(hamiltonian, weights, systems, around, keep_graph=keep_graph)
    with torch.set_grad_enabled(keep_graph):
        charges, dipole = charges_and_dipole(systems, hamiltonian.layout, hamiltonian.parameters, density)
    energies = (electronic, hamiltonian.core, electronic + hamiltonian.core + hamiltonian.other)
    electronic, core, energy = (t if keep_graph else t.detach() for t in energies)
    size = corrections.shift_size() if keep_graph and training else None
    spread = None if training else corrections.spread()
    doubt = (None, None) if spread is None else (spread.energy, spread.atoms)
    others = (*doubt, sites, on_sites)
    return ChunkResult(index, atoms, scf, electronic, core, energy, charges, dipole, force, size, *others)


def _field(
    systems: Systems,
    recipe: Recipe,
    h: Hamiltonian,
    builder: FockBuilder,
    n_occupied: Tensor,
    open_shell: Tensor,
    start: Tensor | None,
    *,
    ask_core: bool,
) -> SCFResult:
    """The fields of a Hamiltonian: the core's where it is asked and has all of them, else iterated."""
    if ask_core:
        changed = Changed(h.parameters, h.layout, h.factors)
        found = field_by_core(systems, recipe, changed, n_occupied, open_shell, start)
        if found is not None:
            return found.scf
    spins = n_occupied if bool(open_shell.any()) else n_occupied[:, :1]
    return solve_scf(builder, h.parameters.shell_populations, spins, recipe.options, start)


def _free_to_move(systems: Systems, around: Environment | None) -> tuple[Systems, Environment | None]:
    """The same with positions, and sites around them, by which an energy can be differentiated."""
    if not systems.positions.requires_grad:
        systems = systems.with_positions(systems.positions.detach().requires_grad_())
    if around is not None and around.positions is not None:
        around = around.with_positions(around.positions.detach().to(systems.positions).requires_grad_())
    return systems, around


def _forces(
    hamiltonian: Hamiltonian,
    weights: EnergyWeights,
    systems: Systems,
    around: Environment | None,
    *,
    keep_graph: bool,
) -> tuple[Tensor, Tensor | None]:
    """−∂E/∂R at a frozen density, on atoms and on sites around them, if any.

    These are the integrals' derivatives times their weights, and the other energies' own.
    """
    sites = None if around is None else around.positions
    moved = [systems.positions] if sites is None else [systems.positions, sites]
    rest = (hamiltonian.core + hamiltonian.other).sum()
    outputs = [*flat_integrals(hamiltonian.integrals), rest]
    factors = [*weights.flat, torch.ones_like(rest)]
    force, *on_sites = contracted_gradient(outputs, factors, moved, create_graph=keep_graph)
    return -force, -on_sites[0] if on_sites else None
