"""Energy terms beside a model that has forces and stress of its own: their energies, forces and stress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bp_descriptors import Pairs
from nddo_ml.derivatives import gradient, volumes
from nddo_ml.models.nnp_sums import AtomicResults, Slopes
from nddo_ml.models.prediction import Prediction
from nddo_ml.models.strained import Strained
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm, PairTerm


@dataclass(frozen=True)
class TermEnergies:
    """The sum of some energy terms and its derivatives."""

    energy: Tensor  # [systems] eV
    forces: Tensor | None  # [atoms, 3] eV/Å
    stress: Tensor | None  # [systems, 3, 3] eV/Å³

    @classmethod
    def of(
        cls, terms: Sequence[EnergyTerm], systems: Systems, *, forces: bool, stress: bool, keep_graph: bool
    ) -> TermEnergies:
        """The terms of a batch; stress is the derivative by a strain ε of positions and cell over the volume.

        Raises:
            InputError: what a term does not treat, such as a periodic cell; a stress without a volume.
        """
        with torch.set_grad_enabled(keep_graph or forces or stress):
            apart = Strained.of(systems, forces=forces, stress=stress)
            energy = systems.positions.new_zeros(systems.n_systems)
            for term in terms:
                energy = energy + term.energy(apart.systems)
            slopes = list(gradient(energy, apart.inputs, create_graph=keep_graph)) if apart.inputs else []
        force = -slopes[0] if forces else None
        tension = slopes[1] / volumes(systems.cell)[:, None, None] if stress else None
        return cls(energy if keep_graph else energy.detach(), force, tension)


def with_terms(
    prediction: Prediction, terms: Sequence[EnergyTerm], systems: Systems, *, keep_graph: bool
) -> Prediction:
    """A prediction with the terms' energy, forces and stress added; what has no unique share of them is left out."""
    forces, stress = prediction.forces, prediction.stress
    added = TermEnergies.of(terms, systems, forces=forces is not None, stress=stress is not None, keep_graph=keep_graph)
    return replace(
        prediction,
        energy=prediction.energy + added.energy,
        forces=forces if forces is None or added.forces is None else forces + added.forces,
        stress=stress if stress is None or added.stress is None else stress + added.stress,
        atomic_energies=None,
        virials=None,
    )


def pair_terms(terms: Sequence[EnergyTerm], numbers: Tensor, cutoff: float) -> list[PairTerm]:
    """Those of the terms that are sums over pairs nearer than a cut-off, Å, for atoms of these elements."""
    return [term for term in terms if isinstance(term, PairTerm) and term.reach(numbers) <= cutoff]


def with_pair_terms(
    atoms: AtomicResults,
    slopes: Slopes | None,
    terms: Sequence[PairTerm],
    numbers: Tensor,
    pairs: Pairs,
    vectors: Tensor,
    *,
    keep_graph: bool,
) -> tuple[AtomicResults, Slopes | None]:
    """Atomic energies and their derivatives with those of pair terms added; arguments are those of a potential."""
    with torch.set_grad_enabled(keep_graph or slopes is not None):
        if slopes is not None and not keep_graph:
            vectors = vectors.detach().requires_grad_()
        energies = torch.stack([term.atomic_energies(numbers, pairs, vectors) for term in terms]).sum(0)
        if slopes is not None:
            (own,) = gradient(energies, [vectors], create_graph=keep_graph)
            slopes = replace(slopes, vectors=slopes.vectors + own)
    return replace(atoms, energies=atoms.energies + energies), slopes
