"""What the field of a batch is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nddo_ml.energy.core_repulsion import core_repulsion
from nddo_ml.environments.embedding import Environment
from nddo_ml.hybrid.correction import CorrectionsAt, PairFactors
from nddo_ml.integrals.build import Integrals, build_integrals
from nddo_ml.integrals.layout import OrbitalLayout, build_layout
from nddo_ml.methods.parameters import Method, Parameters, parameters_of
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm


@dataclass(frozen=True)
class Hamiltonian:
    """Parameters, integrals, and the energies that do not depend on the density, with their graph."""

    parameters: Parameters
    layout: OrbitalLayout
    factors: tuple[PairFactors | None, ...]  # of pair groups
    integrals: Integrals
    core: Tensor  # [systems] eV, repulsion of the cores
    other: Tensor  # [systems] eV, energies beside the field and the core repulsion


def build_hamiltonian(
    systems: Systems,
    method: Method,
    corrections: CorrectionsAt,
    terms: Sequence[EnergyTerm],
    environment: Environment | None = None,
) -> Hamiltonian:
    """The Hamiltonian of a batch by a method, changed by corrections at its atoms, with energy terms beside it.

    An environment adds a potential for the electrons and an energy of the cores.
    """
    parameters = corrections.shifted(parameters_of(systems, method))
    layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
    factors = corrections.pair_factors(layout)
    integrals, core = assemble(systems, method, parameters, layout, factors)
    other = corrections.energy()
    for term in terms:
        other = other + term.energy(systems)
    if environment is not None:
        embedding = environment.embed(systems, parameters, layout)
        integrals, other = embedding.added_to(integrals), other + embedding.energy
    return Hamiltonian(parameters, layout, factors, integrals, core, other)


def assemble(
    systems: Systems,
    method: Method,
    parameters: Parameters,
    layout: OrbitalLayout,
    factors: Sequence[PairFactors | None],
) -> tuple[Integrals, Tensor]:
    """Integrals and core repulsion [systems] eV of parameters of atoms and factors of pair groups."""
    resonance = [None if f is None else f.resonance for f in factors]
    repulsion = [None if f is None else f.core for f in factors]
    integrals = build_integrals(systems.positions, layout, parameters, resonance)
    return integrals, core_repulsion(systems.numbers, parameters, method, integrals, repulsion)
