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
from nddo_ml.core.solve import Around, CoreResult
from nddo_ml.derivatives import contracted_gradient
from nddo_ml.energy.functional import charges_of_products, reaction_weight
from nddo_ml.environments.embedding import Embedding, Environment
from nddo_ml.hybrid.correction import Corrections, Spread
from nddo_ml.integrals.layout import OrbitalLayout, build_layout
from nddo_ml.methods.parameters import Parameters, parameters_of
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm
from nddo_ml.terms.closed import CLOSED


@dataclass(frozen=True)
class Surrounded:
    """Surroundings of a batch and what they add, with its graph."""

    embedding: Embedding
    layout: OrbitalLayout
    positions: Tensor | None  # [sites, 3] Å, from which graphs begin; of what feels forces

    @classmethod
    def of(
        cls, environment: Environment, systems: Systems, parameters: Parameters, layout: OrbitalLayout
    ) -> Surrounded:
        """At positions of the systems that begin a graph, so do those of the sites."""
        x, sites = systems.positions, environment.positions
        if sites is not None and x.requires_grad:
            sites = sites.detach().to(x).requires_grad_()
            environment = environment.with_positions(sites)
        return cls(environment.embed(systems, parameters, layout), layout, sites)

    @property
    def for_core(self) -> Around:
        """As the core reads it."""
        reaction = self.embedding.reaction
        return Around(self.layout.join_products(self.embedding.one_electron), reaction[0] if reaction else None)

    def weights(self, density: Tensor) -> list[Tensor]:
        """Of potential and reaction in the energy at a density, in the order of :attr:`outputs`."""
        charge = charges_of_products(self.layout, density)
        return [*charge, *(reaction_weight(self.layout, charge) for _ in self.embedding.reaction)]

    @property
    def outputs(self) -> list[Tensor]:
        """Potential and reaction."""
        return [*self.embedding.one_electron, *self.embedding.reaction]


@dataclass(frozen=True)
class Beside:
    """Of a batch at some positions."""

    positions: Tensor  # [atoms, 3] Å, from which the graphs begin
    parameters: Parameters | ParameterTable | None  # None: the method's own
    factors: Tensor | None  # [pairs, N_FACTORS]
    energy: Tensor  # [systems] eV, with a graph
    terms: tuple[Tensor, Tensor]  # energies [systems] eV and gradient [atoms, 3] of terms that have closed forms
    closed: Corrected | None = None  # corrections instead of a graph
    surrounded: Surrounded | None = None
    spread: Spread | None = None  # of the corrections' energy

    @classmethod
    def of(
        cls,
        systems: Systems,
        plan: Plan,
        corrections: Corrections,
        closed: ClosedCorrections | None,
        terms: Sequence[EnergyTerm],
        environment: Environment | None = None,
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
        if not len(corrections) and environment is None:
            return cls(x, None, None, energy, sums)
        batch = None if closed is None or environment is not None else closed.batch(systems, plan)
        if closed is not None and batch is not None:
            at = closed.at(batch, x.detach().numpy()[plan.order])
            table, factors = (None, None) if at.rows is None else (at.rows.table, torch.from_numpy(at.change.factors))
            return cls(x, table, factors, energy, sums, at, spread=at.spread)
        graph = corrections.at(systems)
        parameters = graph.shifted(parameters_of(systems, plan.method))
        layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
        factors = factors_by_pair(graph.pair_factors(layout), layout)
        energy, surrounded = energy + graph.energy(), None
        if environment is not None:
            surrounded = Surrounded.of(environment, systems, parameters, layout)
            energy = energy + surrounded.embedding.energy
        changed = parameters if len(corrections) else None
        return cls(x, changed, factors, energy, sums, surrounded=surrounded, spread=graph.spread())

    @property
    def total(self) -> Tensor:
        """The energy beside field and core repulsion, [systems] eV."""
        found = self.energy.detach() + self.terms[0]
        return found if self.closed is None else found + torch.from_numpy(self.closed.energy)

    def gradient(self, result: CoreResult) -> tuple[Tensor, Tensor | None]:
        """Derivatives of energies and of what the field depends on by the positions, [atoms, 3] eV/Å.

        Also by those of the surroundings, [sites, 3] eV/Å, where they have some.
        """
        outputs, weights = [self.energy], [torch.ones_like(self.energy)]
        around = self.surrounded
        if around is not None:
            outputs += around.outputs
            weights += around.weights(result.scf.density)
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
        sites = None if around is None else around.positions
        inputs = [self.positions] if sites is None else [self.positions, sites]
        slope, *by_sites = contracted_gradient(outputs, weights, inputs)
        slope = slope + self.terms[1]
        return slope if closed is None else slope + closed, by_sites[0] if by_sites else None

    def _by_closed_form(self, result: CoreResult) -> Tensor:
        assert self.closed is not None
        plan = self.closed.plan
        by_row = None if result.by_parameter is None else result.by_parameter.numpy()[plan.order]
        slope = self.closed.backward(by_row, None if result.by_factor is None else result.by_factor.numpy())
        return torch.from_numpy(np.ascontiguousarray(slope[plan.back]))
