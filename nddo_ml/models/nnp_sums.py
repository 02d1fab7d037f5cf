"""From the atomic energies of a committee and their derivatives by the pairs' vectors to what a potential predicts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bp_descriptors import Pairs
from nddo_ml.derivatives import forces_from_pairs, stress_from_virials, virials_from_pairs
from nddo_ml.models.prediction import Prediction
from nddo_ml.systems import Systems


def summed(
    systems: Systems,
    energies: Tensor,
    gradients: Tensor | None,
    pairs: Pairs,
    vectors: Tensor,
    *,
    stress: bool,
    spread: bool,
) -> Prediction:
    """Sums over atoms and pairs, means over the committee.

    Args:
        systems: the batch.
        energies: [members, atoms] eV.
        gradients: [members or one, pairs, 3] eV/Å by the vectors; None without forces.
        pairs: of neighbours.
        vectors: [pairs, 3] Å.
        stress: whether to give stress and virials.
        spread: whether to give standard deviations over the members.

    Raises:
        InputError: a stress without a cell volume.
    """
    dtype = systems.positions.dtype
    n, n_atoms = systems.n_systems, systems.n_atoms
    atomic = energies.mean(0)
    energy = atomic.new_zeros(n).index_add(0, systems.system_idx, atomic)
    results: dict[str, Any] = {"energy": energy.to(dtype), "atomic_energies": atomic.to(dtype)}
    if spread:
        totals = energies.new_zeros(len(energies), n).index_add(1, systems.system_idx, energies)
        results["energy_spread"] = totals.std(0).to(dtype)
    if gradients is not None:
        members = torch.stack([forces_from_pairs(g, pairs.i, pairs.j, n_atoms) for g in gradients])
        results["forces"] = members.mean(0)
        if spread:
            results["forces_spread"] = members.std(0).norm(dim=1)
        if stress:
            virials = virials_from_pairs(gradients.mean(0), vectors, pairs.j, n_atoms)
            results["virials"] = virials
            results["stress"] = stress_from_virials(virials, systems.system_idx, systems.cell)
    return Prediction(**results)
