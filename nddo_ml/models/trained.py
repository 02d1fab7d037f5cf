"""Training steps whose fields the compiled core solves.

The core gives an energy's derivatives by parameters and factors of pairs; torch's integrals, with their graph, are
built in the backward pass, and only where a loss depends on charges or dipoles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from nddo_ml.core.factors import factors_by_pair
from nddo_ml.core.parameters import differentiable_parameters
from nddo_ml.core.solve import CoreResult
from nddo_ml.derivatives import contracted_gradient
from nddo_ml.energy.adjoint import Once, implicit_density
from nddo_ml.energy.functional import electronic_energy, energy_weights
from nddo_ml.energy.properties import charges_and_dipole
from nddo_ml.integrals.layout import build_layout
from nddo_ml.methods.parameters import parameters_of
from nddo_ml.models.chunks import ChunkResult, starting_density
from nddo_ml.models.compiled import Changed, Recipe, field_by_core
from nddo_ml.models.hamiltonian import assemble
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.systems import Systems


def solved_for_training(
    systems: Systems,
    places: tuple[Tensor, Tensor],
    recipe: Recipe,
    n_occupied: Tensor,
    open_shell: Tensor,
    start: Tensor | None,
) -> ChunkResult | None:
    """The results of a chunk with their graph to the networks' weights; None where the core does not have all fields.

    Args:
        systems: the chunk.
        places: of its systems and atoms in the batch.
        recipe: method, corrections, energy terms, options.
        n_occupied: [systems, 2].
        open_shell: [systems] bool.
        start: densities of the batch to start from, or None.
    """
    index, atoms = places
    corrections = recipe.corrections.at(systems)
    parameters = corrections.shifted(parameters_of(systems, recipe.method))
    layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
    changed = Changed(parameters, layout, corrections.pair_factors(layout))
    density = starting_density(start, index, open_shell, layout.size)
    found = field_by_core(systems, recipe, changed, n_occupied, open_shell, density, by_parameter=True)
    if found is None:
        return None
    field = _SolvedField(systems, index, recipe, changed, found)
    total, electronic, core, charges, dipole = field.values()
    energy = total + corrections.energy()
    for term in recipe.terms:
        energy = energy + term.energy(systems)
    shifts = corrections.shift_size()
    return ChunkResult(index, atoms, found.scf, electronic, core, energy, charges, dipole, None, shifts)


def _owners(changed: Changed) -> list[Any]:
    return [changed.parameters, changed.parameters.multipoles, *(f for f in changed.factors if f is not None)]


def _tensors(changed: Changed) -> list[Tensor]:
    """Those with a graph."""
    return [getattr(owner, name) for owner in _owners(changed) for name in _with_graph(owner)]


def _with_tensors(changed: Changed, tensors: Sequence[Tensor]) -> Changed:
    """The same with others in place of those with a graph."""
    left = iter(tensors)
    parameters, multipoles, *pairs = (
        replace(owner, **{name: next(left) for name in _with_graph(owner)}) for owner in _owners(changed)
    )
    found = iter(pairs)
    factors = tuple(None if f is None else next(found) for f in changed.factors)
    return Changed(replace(parameters, multipoles=multipoles), changed.layout, factors)


def _with_graph(owner: Any) -> list[str]:
    values = {f.name: getattr(owner, f.name) for f in fields(owner)}
    return [name for name, value in values.items() if isinstance(value, Tensor) and value.requires_grad]


@dataclass(frozen=True)
class _SolvedField:
    """Fields that the core solved, with their derivatives by parameters and factors."""

    systems: Systems
    index: Tensor  # [systems] numbers by which an error names them
    recipe: Recipe
    changed: Changed
    result: CoreResult

    def values(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Total, electronic and core energy [systems] eV, charges [atoms], dipole [systems, 3], with their graph."""
        found: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = _Values.apply(self, *_tensors(self.changed))
        return found

    def energy_outputs(self, changed: Changed, weight: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What the total energy depends on, and its derivatives times the weight of each system."""
        outputs, weights = [], []
        of_atoms = weight[self.systems.system_idx]
        for tensor, columns in differentiable_parameters(changed.parameters):
            assert self.result.by_parameter is not None
            slope = self.result.by_parameter[:, columns]
            outputs.append(tensor)
            weights.append(slope * (of_atoms if slope.ndim == 1 else of_atoms[:, None]))
        factors = factors_by_pair(changed.factors, changed.layout)
        if factors is not None:
            assert self.result.by_factor is not None
            counts = self.systems.atoms_per_system
            outputs.append(factors)
            of_pairs = torch.repeat_interleave(weight, counts * (counts - 1) // 2)
            weights.append(self.result.by_factor * of_pairs[:, None])
        return outputs, weights

    def by_torch(self, changed: Changed) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Electronic and core energy, charges and dipole through torch's integrals at the core's density."""
        parameters, layout = changed.parameters, changed.layout
        integrals, core = assemble(self.systems, self.recipe.method, parameters, layout, changed.factors)
        builder = FockBuilder.from_integrals(integrals)
        density = implicit_density(integrals, builder, self.result.scf, self.recipe.response, self.index)
        electronic = electronic_energy(integrals, energy_weights(integrals, density).detached())
        return electronic, core, *charges_and_dipole(self.systems, layout, parameters, density)


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: _SolvedField, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.field = field
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        result = field.result
        return (result.electronic + result.core, result.electronic, result.core, result.charges, result.dipole)

    @staticmethod
    def backward(ctx: Any, of_total: Tensor | None, *of_others: Tensor | None) -> tuple[Tensor | None, ...]:
        field: _SolvedField = ctx.field
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in ctx.saved_tensors]
            changed = _with_tensors(field.changed, leaves)
            outputs, weights = ([], []) if of_total is None else field.energy_outputs(changed, of_total)
            if any(g is not None and bool((g != 0).any()) for g in of_others):
                for output, weight in zip(field.by_torch(changed), of_others, strict=True):
                    if weight is not None:
                        outputs.append(output)
                        weights.append(weight)
            slopes = contracted_gradient(outputs, weights, leaves)
        if torch.is_grad_enabled():
            slopes = tuple(Once.apply(d, t) for d, t in zip(slopes, ctx.saved_tensors, strict=True))
        return None, *slopes
