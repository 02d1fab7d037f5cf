"""Stress atom by atom, from per-atom virials: where a defect or a surface pulls and presses."""

from __future__ import annotations

import torch
from torch import Tensor

from bp_descriptors import neighbor_list
from nddo_ml.derivatives import volumes
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems


def local_stress(model: AbstractModel, systems: Systems, radius: float = 0.0) -> Tensor:
    """``σ_i = −½ (W_i + W_iᵀ) N / V``, averaged over the atoms within ``radius``; [atoms, 3, 3] eV/Å³, ASE's sign.

    W_i is the per-atom virial (:mod:`nddo_ml.derivatives`) and V/N a system's volume per atom, so that the mean over
    all atoms is the stress of the cell. Of a single atom only the pressure within a few neighbour shells means
    anything, which is what the average is for.

    Args:
        model: a potential that gives virials: without electrostatics and energy terms.
        systems: cells with a volume.
        radius: Å; 0: no average.

    Raises:
        InputError: a model without virials, or a system without a volume.

    Source: Fan et al., Phys. Rev. B 92, 094301 (2015).
    """
    if "virials" not in model.capabilities.properties:
        raise InputError(f"local stresses need per-atom virials, which {model.name} does not give")
    virials = model(systems, stress=True).virials
    if virials is None:
        raise InputError(f"local stresses need per-atom virials, which {model.name} did not give")
    density = systems.atoms_per_system / volumes(systems.cell)
    stress = -0.5 * (virials + virials.transpose(1, 2)) * density[systems.system_idx, None, None]
    if radius <= 0:
        return stress
    pairs = neighbor_list(systems.positions, radius, systems.system_idx, systems.cell, systems.pbc)
    total = stress.index_add(0, pairs.i, stress[pairs.j])
    count = torch.ones_like(stress[:, 0, 0]).index_add(0, pairs.i, torch.ones_like(pairs.i, dtype=stress.dtype))
    return total / count[:, None, None]
