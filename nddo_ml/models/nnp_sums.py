"""From the atomic energies of a committee and their derivatives to what a potential predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bp_descriptors import Pairs
from nddo_ml.derivatives import forces_from_pairs, stress_from_virials, virials_from_pairs, volumes
from nddo_ml.elements import atomic_masses
from nddo_ml.energy.properties import point_charge_dipole
from nddo_ml.models.prediction import Prediction
from nddo_ml.systems import Systems


@dataclass(frozen=True)
class AtomicResults:
    """What the networks of a committee say of every atom."""

    energies: Tensor  # [members, atoms] eV
    charges: Tensor | None = None  # [members, atoms] e


@dataclass(frozen=True)
class Slopes:
    """Derivatives of a committee's energies; those by positions and strain are of electrostatics alone."""

    vectors: Tensor  # [members or one, pairs, 3] eV/Å
    positions: Tensor | None = None  # [members or one, atoms, 3] eV/Å
    strain: Tensor | None = None  # [members or one, systems, 3, 3] eV

    @classmethod
    def stacked(cls, parts: Sequence[Sequence[Tensor]]) -> Slopes:
        """Of the derivatives of each member."""
        return cls(*(torch.stack(list(one)) for one in zip(*parts, strict=True)))


def summed(
    systems: Systems,
    atoms: AtomicResults,
    slopes: Slopes | None,
    pairs: Pairs,
    vectors: Tensor,
    *,
    stress: bool,
    spread: bool,
) -> Prediction:
    """Sums over atoms and pairs, means over the committee.

    Args:
        systems: the batch.
        atoms: of each member.
        slopes: of each member or of their mean; None without forces.
        pairs: of neighbours.
        vectors: [pairs, 3] Å.
        stress: whether to give the stress and, of a potential without electrostatics, virials.
        spread: whether to give standard deviations over the members.

    Raises:
        InputError: a stress without a cell volume.
    """
    dtype = systems.positions.dtype
    n, n_atoms = systems.n_systems, systems.n_atoms
    energies = atoms.energies
    atomic = energies.mean(0)
    energy = atomic.new_zeros(n).index_add(0, systems.system_idx, atomic)
    results: dict[str, Any] = {"energy": energy.to(dtype), "atomic_energies": atomic.to(dtype)}
    if atoms.charges is not None:
        results |= charges_and_dipole(systems, atoms.charges.mean(0).to(dtype))
    if spread:
        totals = energies.new_zeros(len(energies), n).index_add(1, systems.system_idx, energies)
        results["energy_spread"] = totals.std(0).to(dtype)
    if slopes is not None:
        members = torch.stack([forces_from_pairs(g, pairs.i, pairs.j, n_atoms) for g in slopes.vectors])
        if slopes.positions is not None:
            members = members - slopes.positions
        results["forces"] = members.mean(0)
        if spread:
            results["forces_spread"] = members.std(0).norm(dim=1)
        if stress:
            virials = virials_from_pairs(slopes.vectors.mean(0), vectors, pairs.j, n_atoms)
            results["stress"] = stress_from_virials(virials, systems.system_idx, systems.cell)
            if slopes.strain is None:
                results["virials"] = virials
            else:
                results["stress"] = results["stress"] + slopes.strain.mean(0) / volumes(systems.cell)[:, None, None]
    return Prediction(**results)


def charges_and_dipole(systems: Systems, charges: Tensor) -> dict[str, Tensor]:
    """Fields of a Prediction; the dipole of a cell is that of its atoms as they lie, one choice of images of many."""
    masses = atomic_masses(systems.numbers, charges.dtype)
    dipole = point_charge_dipole(systems.positions, charges, masses, systems.system_idx, systems.n_systems)
    return {"charges": charges, "dipole": dipole}
