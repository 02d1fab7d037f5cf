"""Core–core repulsion of the MNDO family: one function a form, by the names that methods call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.elements import (
    ALUMINIUM,
    BARIUM,
    BORON,
    BROMINE,
    CARBON,
    CHLORINE,
    FLUORINE,
    HAFNIUM,
    HYDROGEN,
    IODINE,
    MOLYBDENUM,
    NITROGEN,
    OXYGEN,
    SILICON,
    SODIUM,
)
from nddo_ml.integrals.build import Integrals
from nddo_ml.integrals.layout import PairGroup
from nddo_ml.integrals.limits import integral_weight
from nddo_ml.methods.parameters import Method, Parameters

# AM1: pair-wise Gaussians (K, L in 1/Å², M in Å) of boron with these elements replace boron's own.
# Dewar, Jie & Zoebisch, Organometallics 7, 513 (1988).
AM1_BORON_GAUSSIANS = {
    (HYDROGEN,): ((0.412253, 10.0, 0.832586), (-0.149917, 6.0, 1.186220)),
    (CARBON,): ((0.261751, 8.0, 1.063995), (0.050275, 5.0, 1.936492)),
    (FLUORINE, CHLORINE, BROMINE, IODINE): ((0.359244, 9.0, 0.819351), (0.074729, 9.0, 1.574414)),
}


@dataclass(frozen=True)
class CorePairs:
    """Pairs of atoms of one group, as the core–core functions need them."""

    a: Tensor  # [pairs] atoms
    b: Tensor
    z_a: Tensor  # [pairs] atomic numbers
    z_b: Tensor
    r: Tensor  # [pairs] Å
    coulomb: Tensor  # [pairs] Z_A Z_B γ, eV
    charges: Tensor  # [pairs] Z_A Z_B
    alpha: Tensor  # [pairs] 1/Å, diatomic; 0 where the pair has none
    x: Tensor  # [pairs] diatomic
    diatomic: Tensor  # [pairs] whether the pair has diatomic parameters

    def of(self, one: int | tuple[int, ...], two: int | tuple[int, ...]) -> Tensor:
        """Which pairs are of these elements, in either order, [pairs] bool."""
        first, second = (torch.as_tensor(v, device=self.z_a.device).view(-1) for v in (one, two))
        forward = torch.isin(self.z_a, first) & torch.isin(self.z_b, second)
        return forward | (torch.isin(self.z_b, first) & torch.isin(self.z_a, second))


def core_repulsion(
    numbers: Tensor,
    parameters: Parameters,
    method: Method,
    integrals: Integrals,
    factors: Sequence[Tensor | None] | None = None,
) -> Tensor:
    """Core–core energy of every system, [systems] eV.

    Sums over pairs the method's function of the distance, with γ the repulsion of the two cores' charges:
    :func:`classic_energy` or one of those below it.

    Args:
        numbers: [atoms] atomic numbers.
        parameters: [atoms] each.
        method: for the name of its function and its diatomic parameters.
        integrals: of the same geometry.
        factors: a pair group: [pairs], what multiplies the repulsion; None multiplies with one.
    """
    layout = integrals.layout
    energy = integrals.core_charge.new_zeros(layout.n_systems)
    function = CORE_REPULSIONS[method.info.core_repulsion]
    factors = [None] * len(layout.pair_groups) if factors is None else factors
    for group, r, factor in zip(layout.pair_groups, integrals.distance, factors, strict=True):
        of_pairs = function(parameters, _pairs(numbers, parameters, method, group, r))
        of_pairs = of_pairs if factor is None else of_pairs * factor
        energy = energy.index_add(0, layout.system_idx[group.a], of_pairs)
    return energy


def _pairs(numbers: Tensor, p: Parameters, method: Method, group: PairGroup, r: Tensor) -> CorePairs:
    z_a, z_b = numbers[group.a], numbers[group.b]
    charges = p.core_charge[group.a] * p.core_charge[group.b]
    radius = p.multipoles.core_radius[group.a] + p.multipoles.core_radius[group.b]
    r_bohr = r / p.constants.bohr_angstrom
    gamma = p.constants.hartree_ev * torch.rsqrt(r_bohr**2 + radius**2)
    if p.point_charges is not None:
        w = integral_weight(r, p.point_charges)
        gamma = w * gamma + (1 - w) * p.constants.hartree_ev / r_bohr
    alpha, x = (t.to(r.device)[z_a, z_b].to(r.dtype) for t in (method.pair_alpha, method.pair_x))
    return CorePairs(
        group.a,
        group.b,
        z_a,
        z_b,
        r,
        charges * gamma,
        charges,
        torch.nan_to_num(alpha),
        x,
        torch.isfinite(alpha) & (x.abs() > 1e-5),
    )


def classic_energy(p: Parameters, pairs: CorePairs) -> Tensor:
    """MNDO, AM1, PM3 and RM1: atomic exponents and Gaussians, or diatomic parameters, [pairs] eV.

    With ``f_X = exp(−α_X R)``, times R/Å where X is the N or O of an N–H or O–H pair::

        E_AB = Z_A Z_B γ (1 + f_A + f_B) + Z_A Z_B / R Σ_k K_k exp(−L_k (R − M_k)²)      (atomic α)
        E_AB = Z_A Z_B γ (1 + 2 x_AB exp(−α_AB R))                                       (diatomic α, x)

    R in Å. The Gaussians of both atoms count. Sources: Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977); Dewar et
    al., J. Am. Chem. Soc. 107, 3902 (1985); Stewart, J. Mol. Model. 10, 155 (2004).
    """
    gaussians = _gaussians(p, pairs.a, pairs.r) + _gaussians(p, pairs.b, pairs.r)
    return _classic(p, pairs, gaussians)


def _classic(p: Parameters, pairs: CorePairs, gaussians: Tensor) -> Tensor:
    decay = _atomic_decay(p, pairs)
    if bool(pairs.diatomic.any()):
        decay = torch.where(pairs.diatomic, 2 * pairs.x * torch.exp(-pairs.alpha * pairs.r), decay)
        gaussians = torch.where(pairs.diatomic, 0.0, gaussians)
    return pairs.coulomb * (1 + decay) + pairs.charges * gaussians / pairs.r


def am1_energy(p: Parameters, pairs: CorePairs) -> Tensor:
    """AM1: :func:`classic_energy`, but for boron's Gaussians and the molybdenum–hydrogen pair, [pairs] eV."""
    gaussians = _gaussians(p, pairs.a, pairs.r) + _gaussians(p, pairs.b, pairs.r)
    for atoms, z, partner in ((pairs.a, pairs.z_a, pairs.z_b), (pairs.b, pairs.z_b, pairs.z_a)):
        gaussians = gaussians + _boron_gaussians(p, atoms, z, partner, pairs.r)
    energy = _classic(p, pairs, gaussians)
    hydride = pairs.of(MOLYBDENUM, HYDROGEN)
    if not bool(hydride.any()):
        return energy
    special = pairs.coulomb * (1 + 2 * pairs.r * pairs.x * torch.exp(-pairs.alpha * pairs.r))
    return torch.where(hydride, special, energy)


def mndod_energy(p: Parameters, pairs: CorePairs) -> Tensor:
    """MNDO/d: :func:`classic_energy`, where Na, Mg and Al have another exponent with some partners, [pairs] eV.

    Source: Thiel & Voityuk, J. Phys. Chem. 100, 616 (1996).
    """
    decay = _atomic_decay(p, pairs)
    if bool(pairs.diatomic.any()):
        special = torch.exp(-pairs.alpha * pairs.r)
        metal_a = (pairs.z_a >= SODIUM) & (pairs.z_a <= ALUMINIUM)
        partner = torch.exp(-torch.where(metal_a, p.alpha[pairs.b], p.alpha[pairs.a]) * pairs.r)
        partner = torch.where(pairs.z_a == pairs.z_b, special, partner)
        decay = torch.where(pairs.diatomic, special + partner, decay)
    return pairs.coulomb * (1 + decay)


def pm6_energy(p: Parameters, pairs: CorePairs) -> Tensor:
    """PM6: :func:`_diatomic_energy` with its addition to C–C, [pairs] eV."""
    carbon = torch.where(pairs.of(CARBON, CARBON), 9.278465 * torch.exp(-5.983752 * pairs.r), 0.0)
    return _diatomic_energy(p, pairs, carbon)


def pm7_energy(p: Parameters, pairs: CorePairs) -> Tensor:
    """PM7: :func:`_diatomic_energy` with additions to C–C and O–H, [pairs] eV."""
    carbon = torch.where(pairs.of(CARBON, CARBON), 8.947612 * torch.exp(-6.024265 * pairs.r), 0.0)
    hydroxyl = torch.where(pairs.of(OXYGEN, HYDROGEN), 0.012037 * torch.exp(-0.701333 * 2 * pairs.r), 0.0)
    return _diatomic_energy(p, pairs, carbon + hydroxyl)


def _diatomic_energy(p: Parameters, pairs: CorePairs, added: Tensor) -> Tensor:
    """PM6 and PM7: diatomic parameters for every pair, [pairs] eV.

    ``E_AB = Z_A Z_B γ (1 + 2 x_AB exp(−α_AB (R + 0.0003 R⁶)) + g) + Z_A Z_B / R Σ_A,B K exp(−L (R − M)²) +
    10⁻⁸ [(Z_A^⅓ + Z_B^⅓)/R]¹²``, atomic numbers in the last term; C–H, N–H and O–H have R² in the first exponent,
    g is ``added`` [pairs] and an addition to Si–O. A pair without parameters has ``1 + 10 exp(−2.18 R)`` and all its
    Gaussians, the first twice, as in MOPAC. Source: Stewart, J. Mol. Model. 13, 1173 (2007).
    """
    r = pairs.r
    exponent = torch.where(pairs.of(HYDROGEN, (CARBON, NITROGEN, OXYGEN)), r**2, r + 0.0003 * r**6)
    bracket = 2 * pairs.x * torch.exp(-pairs.alpha * exponent)
    bracket = bracket + added - torch.where(pairs.of(SILICON, OXYGEN), 7e-4 * torch.exp(-((r - 2.9) ** 2)), 0.0)
    gaussians = _gaussians(p, pairs.a, r, 1) + _gaussians(p, pairs.b, r, 1)
    if not bool(pairs.diatomic.all()):
        lanthanoid = _is_lanthanoid(pairs.z_a) | _is_lanthanoid(pairs.z_b)
        generic = 10 * torch.exp(-torch.where(lanthanoid, r.new_tensor(3.0), r.new_tensor(2.18)) * r)
        bracket = torch.where(pairs.diatomic, bracket, generic)
        more = gaussians + _gaussians(p, pairs.a, r) + _gaussians(p, pairs.b, r)
        gaussians = torch.where(pairs.diatomic, gaussians, more)
    size = sum(z.to(r.dtype) ** 0.3333 for z in (pairs.z_a, pairs.z_b))
    return pairs.coulomb * (1 + bracket) + pairs.charges * gaussians / r + 1e-8 * (size / r) ** 12


CORE_REPULSIONS: Mapping[str, Callable[[Parameters, CorePairs], Tensor]] = {
    "classic": classic_energy,
    "AM1": am1_energy,
    "MNDO/d": mndod_energy,
    "PM6": pm6_energy,
    "PM7": pm7_energy,
}


def _is_lanthanoid(z: Tensor) -> Tensor:
    return (z > BARIUM) & (z < HAFNIUM)


def _atomic_decay(p: Parameters, pairs: CorePairs) -> Tensor:
    """``f_A + f_B`` of atomic exponents."""
    return _decay(p.alpha[pairs.a], pairs.z_a, pairs.z_b, pairs.r) + _decay(
        p.alpha[pairs.b], pairs.z_b, pairs.z_a, pairs.r
    )


def _decay(alpha: Tensor, z: Tensor, partner: Tensor, r: Tensor) -> Tensor:
    """exp(−αR), times R/Å for N and O bound to hydrogen."""
    bare = torch.exp(-alpha * r)
    return torch.where((partner == HYDROGEN) & ((z == NITROGEN) | (z == OXYGEN)), r * bare, bare)


def _gaussians(p: Parameters, atoms: Tensor, r: Tensor, n: int = 4) -> Tensor:
    """The first n Gaussians of one atom of each pair."""
    height, exponent, center = (t[:, :n][atoms] for t in (p.K, p.L, p.M))
    return (height * torch.exp(-exponent * (r[:, None] - center) ** 2)).sum(dim=1)


def _boron_gaussians(p: Parameters, atoms: Tensor, z: Tensor, partner: Tensor, r: Tensor) -> Tensor:
    """What boron's Gaussians with this partner add to boron's own, zero for other pairs."""
    total = torch.zeros_like(r)
    for partners, terms in AM1_BORON_GAUSSIANS.items():
        mask = (z == BORON) & torch.isin(partner, torch.tensor(partners, device=r.device))
        if bool(mask.any()):
            own = _gaussians(p, atoms, r)
            special = sum(k * torch.exp(-l * (r - m) ** 2) for k, l, m in terms)
            total = total + torch.where(mask, special - own, torch.zeros_like(r))
    return total
