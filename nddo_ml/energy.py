"""Electronic energy at a given density: the one functional that forces and training differentiate."""

from __future__ import annotations

from torch import Tensor

from nddo_ml.fock import TwoParticleDensity
from nddo_ml.integrals.hcore import Integrals


def electronic_energy(integrals: Integrals, gamma: TwoParticleDensity) -> Tensor:
    """``E_el = Σ P h_core + Σ Γ (μν|λσ)`` at a frozen density, [systems] eV.

    At the converged density its derivative by anything the integrals depend on is the derivative of the
    self-consistent energy: the basis is orthogonal and the energy stationary.
    """
    layout = integrals.layout
    energy = (integrals.h_core * gamma.density).sum(dim=(1, 2))
    for group, w, g in zip(layout.atom_groups, integrals.one_center, gamma.one_center, strict=True):
        energy = energy.index_add(0, layout.system_idx[group.atoms], (w * g).sum(dim=(1, 2)))
    for pair, w, g in zip(layout.pair_groups, integrals.two_center, gamma.two_center, strict=True):
        energy = energy.index_add(0, layout.system_idx[pair.a], (w * g).sum(dim=(1, 2)))
    return energy
