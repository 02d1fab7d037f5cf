"""The part of a model's energy that is constant but for steps, and so has no force."""

from __future__ import annotations

from torch import Tensor

from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems
from nddo_ml.terms.pm6 import TripleBonds

CONSTANTS = (TripleBonds,)


def constant_energy(model: AbstractModel, systems: Systems) -> Tensor:
    """[systems] eV; without it the energy is the one whose derivative the forces are, everywhere.

    Heats of formation and energies have it. What follows an energy from one geometry to another must not see the
    steps: an optimisation that judges a step, a curve along a bond, ASE's ``free_energy``.
    """
    energy = systems.positions.new_zeros(systems.n_systems)
    for term in getattr(model, "all_terms", ()):
        if isinstance(term, CONSTANTS):
            energy = energy + term.energy(systems)
    return energy
