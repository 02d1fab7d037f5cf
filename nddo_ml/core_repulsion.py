"""Core–core repulsion of the MNDO family."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.integrals.hcore import Integrals
from nddo_ml.orbitals import PairGroup
from nddo_ml.parameters import Method, Parameters

# AM1: pair-wise Gaussians (K, L in 1/Å², M in Å) of boron with these elements replace boron's own.
# Dewar, Jie & Zoebisch, Organometallics 7, 513 (1988).
_BORON = 5
AM1_BORON_GAUSSIANS = {
    (1,): ((0.412253, 10.0, 0.832586), (-0.149917, 6.0, 1.186220)),
    (6,): ((0.261751, 8.0, 1.063995), (0.050275, 5.0, 1.936492)),
    (9, 17, 35, 53): ((0.359244, 9.0, 0.819351), (0.074729, 9.0, 1.574414)),
}


def core_repulsion(numbers: Tensor, parameters: Parameters, method: Method, integrals: Integrals) -> Tensor:
    """Core–core energy of every system, [systems] eV.

    With γ = (s_A s_A|s_B s_B) and ``f_X = exp(−α_X R)``, times R/Å where X is the N or O of an N–H or O–H pair::

        E_AB = Z_A Z_B γ (1 + f_A + f_B) + Z_A Z_B / R Σ_k K_k exp(−L_k (R − M_k)²)      (atomic α)
        E_AB = Z_A Z_B γ (1 + 2 x_AB exp(−α_AB R))                                       (diatomic α, x)

    R in Å. The Gaussians of both atoms count. Sources: Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977); Dewar et al.,
    J. Am. Chem. Soc. 107, 3902 (1985); Stewart, J. Mol. Model. 10, 155 (2004).

    Args:
        numbers: [atoms] atomic numbers.
        parameters: [atoms] each.
        method: the parent method, for its diatomic parameters.
        integrals: of the same geometry.
    """
    layout = integrals.layout
    energy = integrals.h_core.new_zeros(layout.n_systems)
    for pair, gamma, r in zip(layout.pair_groups, integrals.gamma, integrals.distance, strict=True):
        e = _pair_energy(numbers, parameters, method, pair, gamma, r)
        energy = energy.index_add(0, layout.system_idx[pair.a], e)
    return energy


def _pair_energy(
    numbers: Tensor, p: Parameters, method: Method, pair: PairGroup, gamma: Tensor, r: Tensor
) -> Tensor:
    z_a, z_b = numbers[pair.a], numbers[pair.b]
    charges = p.core_charge[pair.a] * p.core_charge[pair.b]
    decay = _decay(p.alpha[pair.a], z_a, z_b, r) + _decay(p.alpha[pair.b], z_b, z_a, r)
    gaussians = _gaussians(p, pair.a, r) + _gaussians(p, pair.b, r)
    if method.name == "AM1":
        gaussians = (
            gaussians + _boron_gaussians(p, pair.a, z_a, z_b, r) + _boron_gaussians(p, pair.b, z_b, z_a, r)
        )
    alpha = method.pair_alpha.to(r.device)[z_a, z_b].to(r.dtype)
    pairwise = torch.isfinite(alpha)
    if bool(pairwise.any()):
        x = method.pair_x.to(r.device)[z_a, z_b].to(r.dtype)
        decay = torch.where(pairwise, 2 * x * torch.exp(-torch.nan_to_num(alpha) * r), decay)
        gaussians = torch.where(pairwise, torch.zeros_like(gaussians), gaussians)
    return charges * (gamma * (1 + decay) + gaussians / r)


def _decay(alpha: Tensor, z: Tensor, partner: Tensor, r: Tensor) -> Tensor:
    """exp(−αR), times R/Å for N and O bound to hydrogen."""
    bare = torch.exp(-alpha * r)
    return torch.where((partner == 1) & ((z == 7) | (z == 8)), r * bare, bare)


def _gaussians(p: Parameters, atoms: Tensor, r: Tensor) -> Tensor:
    return (p.K[atoms] * torch.exp(-p.L[atoms] * (r[:, None] - p.M[atoms]) ** 2)).sum(dim=1)


def _boron_gaussians(p: Parameters, atoms: Tensor, z: Tensor, partner: Tensor, r: Tensor) -> Tensor:
    """What boron's Gaussians with this partner add to boron's own, zero for other pairs."""
    total = torch.zeros_like(r)
    for partners, terms in AM1_BORON_GAUSSIANS.items():
        mask = (z == _BORON) & torch.isin(partner, torch.tensor(partners, device=r.device))
        if bool(mask.any()):
            own = _gaussians(p, atoms, r)
            special = sum(k * torch.exp(-l * (r - m) ** 2) for k, l, m in terms)
            total = total + torch.where(mask, special - own, torch.zeros_like(r))
    return total
