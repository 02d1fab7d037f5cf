"""What is computed beside the compiled core: what networks change, energy terms, and their way back to positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nddo_ml.core.closed import ClosedCorrections, Corrected
from nddo_ml.core.factors import factors_by_pair
from nddo_ml.core.parameters import ParameterTable, differentiable_parameters
from nddo_ml.core.plan import Plan
from nddo_ml.core.solve import CoreResult
from nddo_ml.derivatives import contracted_gradient
from nddo_ml.hybrid.correction import Corrections, Spread
from nddo_ml.integrals.layout import build_layout
from nddo_ml.methods.parameters import Parameters, parameters_of
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm
from nddo_ml.terms.closed import CLOSED


@dataclass(frozen=True)
class Beside:
    """Of a batch at some positions."""

    positions: Tensor  # [atoms, 3] Å, from which the graphs begin
    parameters: Parameters | ParameterTable | None  # None: the method's own
    factors: Tensor | None  # [pairs, N_FACTORS]
    energy: Tensor  # [systems] eV, with a graph
    terms: tuple[Tensor, Tensor]  # energies [systems] eV and gradient [atoms, 3] of terms that have closed forms
    closed: Corrected | None = None  # corrections instead of a graph
    spread: Spread | None = None  # of the corrections' energy

    @classmethod
    def of(
        cls,
        systems: Systems,
        plan: Plan,
        corrections: Corrections,
        closed: ClosedCorrections | None,
        terms: Sequence[EnergyTerm],
    ) -> Beside:
        """By closed forms where there are some, else by torch."""
        x = systems.positions
        energy, sums = x.new_zeros(systems.n_systems), (x.new_zeros(systems.n_systems), torch.zeros_like(x))
        for term in terms:
            form = CLOSED.get(type(term))
            found = None if form is None else form(term, systems)
            if found is None:
                energy = energy + term.energy(systems)
            else:
                sums = sums[0] + found[0], sums[1] + found[1]
        if not len(corrections):
            return cls(x, None, None, energy, sums)
        batch = None if closed is None else closed.batch(systems, plan)
        if closed is not None and batch is not None:
            at = closed.at(batch, x.detach().numpy()[plan.order])
            return cls(x, at.rows.table, torch.from_numpy(at.change.factors), energy, sums, at)
        graph = corrections.at(systems)
        parameters = graph.shifted(parameters_of(systems, plan.method))
        layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
        factors = factors_by_pair(graph.pair_factors(layout), layout)
        return cls(x, parameters, factors, energy + graph.energy(), sums, spread=graph.spread())

    @property
    def total(self) -> Tensor:
        """The energy beside field and core repulsion, [systems] eV."""
        found = self.energy.detach() + self.terms[0]
        return found if self.closed is None else found + torch.from_numpy(self.closed.energy)

    def gradient(self, result: CoreResult) -> Tensor:
        """Derivatives of energies and of what the field depends on by the positions, [atoms, 3] eV/Å."""
        outputs, weights = [self.energy], [torch.ones_like(self.energy)]
        closed = None
        if self.closed is not None:
            closed = self._by_closed_form(result)
        elif isinstance(self.parameters, Parameters):
            assert result.by_parameter is not None
            for tensor, columns in differentiable_parameters(self.parameters):
                outputs.append(tensor)
                weights.append(result.by_parameter[:, columns])
            if self.factors is not None:
                assert result.by_factor is not None
                outputs.append(self.factors)
                weights.append(result.by_factor)
        slope = contracted_gradient(outputs, weights, [self.positions])[0] + self.terms[1]
        return slope if closed is None else slope + closed

    def _by_closed_form(self, result: CoreResult) -> Tensor:
        assert self.closed is not None
        assert result.by_parameter is not None
        assert result.by_factor is not None
        plan = self.closed.plan
        slope = self.closed.backward(result.by_parameter.numpy()[plan.order], result.by_factor.numpy())
        return torch.from_numpy(np.ascontiguousarray(slope[plan.back]))
