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
from nddo_ml.energy.adjoint import Once, ResponseOptions, implicit_density
from nddo_ml.energy.functional import electronic_energy, energy_weights
from nddo_ml.energy.properties import charges_and_dipole
from nddo_ml.hybrid.correction import PairFactors
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.methods.parameters import Method, Parameters
from nddo_ml.models.hamiltonian import assemble
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.systems import Systems


@dataclass(frozen=True)
class Changed:
    """Parameters and factors of pairs that networks have changed."""

    parameters: Parameters
    factors: tuple[PairFactors | None, ...]

    @property
    def _owners(self) -> list[Any]:
        return [self.parameters, self.parameters.multipoles, *(f for f in self.factors if f is not None)]

    @property
    def tensors(self) -> list[Tensor]:
        """Those with a graph."""
        return [getattr(owner, name) for owner in self._owners for name in _with_graph(owner)]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Changed:
        """The same with others in place of ``tensors``."""
        left = iter(tensors)
        parameters, multipoles, *pairs = (
            replace(owner, **{name: next(left) for name in _with_graph(owner)}) for owner in self._owners
        )
        found = iter(pairs)
        factors = tuple(None if f is None else next(found) for f in self.factors)
        return Changed(replace(parameters, multipoles=multipoles), factors)


def _with_graph(owner: Any) -> list[str]:
    values = {f.name: getattr(owner, f.name) for f in fields(owner)}
    return [name for name, value in values.items() if isinstance(value, Tensor) and value.requires_grad]


@dataclass(frozen=True)
class SolvedField:
    """A field that the core solved, with its derivatives by parameters and factors."""

    systems: Systems
    index: Tensor  # [systems] numbers by which an error names them
    method: Method
    layout: OrbitalLayout
    changed: Changed
    result: CoreResult
    response: ResponseOptions

    def values(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Total, electronic and core energy [systems] eV, charges [atoms], dipole [systems, 3], with their graph."""
        found: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = _Values.apply(self, *self.changed.tensors)
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
        factors = factors_by_pair(changed.factors, self.layout)
        if factors is not None:
            assert self.result.by_factor is not None
            counts = self.systems.atoms_per_system
            outputs.append(factors)
            of_pairs = torch.repeat_interleave(weight, counts * (counts - 1) // 2)
            weights.append(self.result.by_factor * of_pairs[:, None])
        return outputs, weights

    def by_torch(self, changed: Changed) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Electronic and core energy, charges and dipole through torch's integrals at the core's density."""
        parameters = changed.parameters
        integrals, core = assemble(self.systems, self.method, parameters, self.layout, changed.factors)
        builder = FockBuilder.from_integrals(integrals)
        density = implicit_density(integrals, builder, self.result.scf, self.response, self.index)
        electronic = electronic_energy(integrals, energy_weights(integrals, density).detached())
        return electronic, core, *charges_and_dipole(self.systems, self.layout, parameters, density)


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, field: SolvedField, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.field = field
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        result = field.result
        return (result.electronic + result.core, result.electronic, result.core, result.charges, result.dipole)

    @staticmethod
    def backward(ctx: Any, of_total: Tensor | None, *of_others: Tensor | None) -> tuple[Tensor | None, ...]:
        field: SolvedField = ctx.field
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in ctx.saved_tensors]
            changed = field.changed.with_tensors(leaves)
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
