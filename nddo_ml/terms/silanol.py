"""The bending term of Si–O–H groups in PM7."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors.geometry import norm
from nddo_ml.elements import HYDROGEN, OXYGEN, SILICON
from nddo_ml.systems import Systems
from nddo_ml.terms.bonds import bonds_of
from nddo_ml.units import EV_KCAL_MOL


@dataclass(frozen=True)
class SilanolBending:
    """``Σ k (θ − 125°)² exp(−33 max(0, R_SiO² − 1.7²)) exp(−68 max(0, R_OH² − 1))`` over Si–O–H groups.

    θ is the angle Si–O–H, R in Å; of several silicon or hydrogen atoms at an oxygen the last in order counts. The
    form is that of MOPAC's open source (PM7); it ends smoothly where the bonds do.
    """

    stiffness: float = 15.0  # k, kcal/mol/rad²

    def energy(self, systems: Systems) -> Tensor:
        """Energy of the term, [systems] eV; differentiable by ``systems.positions``."""
        x, z = systems.positions, systems.numbers
        energy = x.new_zeros(systems.n_systems)
        if not bool((z == SILICON).any()):
            return energy
        bonds = bonds_of(systems, OXYGEN)
        last = [torch.full_like(z, -1) for _ in range(2)]
        for atom, element in zip(last, (SILICON, HYDROGEN), strict=True):
            chosen = z[bonds.j] == element
            atom.scatter_reduce_(0, bonds.i[chosen], bonds.j[chosen], "amax")
        oxygen = torch.nonzero((last[0] >= 0) & (last[1] >= 0)).squeeze(1)
        to_si, to_h = x[last[0][oxygen]] - x[oxygen], x[last[1][oxygen]] - x[oxygen]
        angle = torch.atan2(norm(torch.linalg.cross(to_si, to_h)), (to_si * to_h).sum(dim=1))
        stretched = 33 * (to_si.square().sum(dim=1) - 1.7**2).clamp(min=0)
        stretched = stretched + 68 * (to_h.square().sum(dim=1) - 1).clamp(min=0)
        term = self.stiffness / EV_KCAL_MOL * (angle - 125 * torch.pi / 180) ** 2 * torch.exp(-stretched)
        return energy.index_add(0, systems.system_idx[oxygen], term)
