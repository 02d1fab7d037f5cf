"""Charge separations and additive radii of the multipoles that stand for products of orbitals."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nddo_ml.methods.parameters import Multipoles, is_metal
from nddo_ml.methods.slater_condon import F0_DD, F2_DD, G1_PD, G2_SD, SP_TERMS, factorial

if TYPE_CHECKING:
    from nddo_ml.methods.parameters import Parameters

MIN_H_PP = 0.1  # eV; floors as in MOPAC: of (g_pp − g_p2)/2,
MIN_H_SP = 1e-7  # eV; of h_sp,
MIN_ZETA_P = 0.3  # 1/bohr; and of zeta_p where it sets charge separations
D_RADII = (0.1, 5.0)  # bohr; the range in which MOPAC looks for the additive radii of products with d orbitals
LARGEST = 1e5  # bohr, of the monopole of d orbitals that do not repel each other
_NEWTON_STEPS = 40


def solve_multipoles(p: Parameters, parent: Multipoles | None = None) -> Multipoles:
    """Multipole parameters from exponents and one-centre integrals.

    Dipoles ``D1 = ⟨ns| r |np⟩/√3`` and quadrupoles ``D2 = (⟨np| r² |np⟩/5)^½`` of Slater orbitals whose principal
    quantum number n is the element's period; the additive radii make the interaction of two equal multipoles on
    one centre equal to the one-centre integrals (hartree)::

        g_ss = 1/(2ρ0)
        h_sp = 1/(4ρ1) − 1/(4 √(D1² + ρ1²))
        h_pp = 1/(8ρ2) − 1/(4 √(D2² + ρ2²)) + 1/(8 √(2 D2² + ρ2²)),    h_pp = (g_pp − g_p2)/2

    MOPAC stops after five secant steps, which for a few elements (He, Ne) is short of convergence, and the methods
    were fitted that way. The table's radii are those; for changed parameters they are scaled by what the exact
    solution changes. The exact solver carries no gradient through its iteration; two further Newton steps at its
    end do, which is implicit differentiation, exact to second order.
    Sources: Dewar & Thiel, Theor. Chim. Acta 46, 89 (1977); with d orbitals Thiel & Voityuk, Theor. Chim. Acta 81,
    391 (1992).

    Args:
        p: parameters, [atoms] each; atoms of width 1 get D = 0 and radii of 1 for what they lack.
        parent: the multipoles of the unchanged parameters; None for the table itself.
    """
    has_p, one = p.width > 1, torch.ones_like(p.zeta_s)
    hartree = p.constants.hartree_ev
    zeta_s = torch.where(has_p, p.zeta_s, one)
    zeta_p = torch.where(has_p, p.zeta_p, one).clamp(min=MIN_ZETA_P)
    n = p.period.to(one.dtype)
    ratio = 4 * zeta_s * zeta_p / (zeta_s + zeta_p) ** 2
    d1 = (2 * n + 1) * ratio ** (n + 0.5) / (zeta_s + zeta_p) / 3**0.5
    d2 = torch.sqrt((4 * n**2 + 6 * n + 2) / 20) / zeta_p
    h_sp = torch.where(has_p, p.h_sp, one).clamp(min=MIN_H_SP) / hartree
    h_pp = (torch.where(has_p, 0.5 * (p.g_pp - p.g_p2), one)).clamp(min=MIN_H_PP) / hartree
    g_ss = torch.where(p.width > 0, p.g_ss, one)
    if parent is None:
        exact1, exact2 = _solve(_dipole_self_energy, d1, h_sp), _solve(_quadrupole_self_energy, d2, h_pp)
        factor1 = _secant(_dipole_self_energy, d1, h_sp, (h_sp / d1**2) ** (1 / 3)) / exact1
        factor2 = _secant(_quadrupole_self_energy, d2, h_pp, (h_pp / (3 * d2**4)) ** 0.2) / exact2
    else:
        factor1, factor2 = parent.factor.unbind(dim=1)
        exact1 = _solve(_dipole_self_energy, d1, h_sp, parent.radius[:, 1] / factor1)
        exact2 = _solve(_quadrupole_self_energy, d2, h_pp, parent.radius[:, 2] / factor2)
    rho0 = 0.5 * hartree / g_ss
    separation = [torch.where(has_p, d, 0.0) for d in (d1, d2)]
    radius = [rho0, *(torch.where(has_p, r, one) for r in (factor1 * exact1, factor2 * exact2))]
    d_separation, d_radius = _with_d(p, zeta_s, zeta_p)
    sp_radius = torch.stack(radius[1:], dim=1)
    with_d = torch.where(is_metal(p)[:, None], sp_radius.clamp(*D_RADII), sp_radius)
    return Multipoles(
        separation=torch.cat((torch.stack(separation, dim=1), d_separation), dim=1),
        radius=torch.cat((rho0[:, None], sp_radius, d_radius, with_d), dim=1),
        core_radius=torch.where(p.rho_core > 0, p.rho_core, rho0),
        own_core=(p.rho_core > 0) | (with_d != sp_radius).any(dim=1) | p.averages_d | ((p.period == 1) & has_p),
        factor=torch.stack([torch.where(has_p, f, one) for f in (factor1, factor2)], dim=1),
    )


def _with_d(p: Parameters, zeta_s: Tensor, zeta_p: Tensor) -> tuple[Tensor, Tensor]:
    """Separations of sd, pd, dd, [atoms, 3], and radii of dd (monopole), sd, pd, dd (quadrupole), [atoms, 4].

    ``D_sd² = 2⟨s|r²|d⟩/√15``, ``D_pd = ⟨p|r|d⟩/√5``, ``D_dd² = 2⟨d|r²|d⟩/7``; the self-energies are F0_dd, G2_sd/5,
    4 G1_pd/15 and 3 F2_dd/49. Where these are zero, the radii are the largest.
    """
    separation = zeta_s.new_zeros(zeta_s.shape[0], 3)
    radius = zeta_s.new_ones(zeta_s.shape[0], 4)
    rows = torch.nonzero(p.width == 9).squeeze(1)
    if not rows.numel():
        return separation, radius
    s, pp, d = (p.period[rows], zeta_s[rows]), (p.period[rows], zeta_p[rows]), (p.principal[rows, 2], p.zeta_d[rows])
    d_sd = torch.sqrt(2 / sqrt(15) * _radial_moment(2, s, d))
    d_pd = _radial_moment(1, pp, d) / sqrt(5)
    d_dd = torch.sqrt(2 / 7 * _radial_moment(2, d, d))
    radial = p.slater_condon[rows] / p.constants.hartree_ev
    f0_dd, g2_sd, g1_pd, f2_dd = (radial[:, k - SP_TERMS] for k in (F0_DD, G2_SD, G1_PD, F2_DD))
    radii = (
        0.5 / f0_dd.clamp(min=0.5 / LARGEST),
        _solve(_quadrupole_self_energy, d_sd / sqrt(2), g2_sd / 5).clamp(*D_RADII),
        _solve(_dipole_self_energy, d_pd, g1_pd * 4 / 15).clamp(*D_RADII),
        _solve(_quadrupole_self_energy, d_dd / sqrt(2), f2_dd * 3 / 49).clamp(*D_RADII),
    )
    return (
        separation.index_copy(0, rows, torch.stack((d_sd, d_pd, d_dd), dim=1)),
        radius.index_copy(0, rows, torch.stack(radii, dim=1)),
    )


def _radial_moment(power: int, one: tuple[Tensor, Tensor], two: tuple[Tensor, Tensor]) -> Tensor:
    """``⟨R_a| r^power |R_b⟩`` of Slater functions given as (principal quantum number, exponent); bohr^power."""
    (n, a), (m, b) = one, two
    top = n + m + power
    norm = (2 * a) ** (n + 0.5) * (2 * b) ** (m + 0.5) / torch.sqrt(factorial(2 * n) * factorial(2 * m)).to(a)
    return norm * factorial(top).to(a) / (a + b) ** (top + 1)


def _dipole_self_energy(u: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope in u = 1/ρ of the dipole's self-interaction."""
    root = torch.sqrt(1 + (d * u) ** 2)
    return 0.25 * u * (1 - 1 / root), 0.25 * (1 - 1 / root**3)


def _quadrupole_self_energy(u: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope in u = 1/ρ of the quadrupole's self-interaction."""
    a, b = torch.sqrt(1 + (d * u) ** 2), torch.sqrt(1 + 2 * (d * u) ** 2)
    return u * (0.125 - 0.25 / a + 0.125 / b), 0.125 - 0.25 / a**3 + 0.125 / b**3


_SelfEnergy = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _solve(function: _SelfEnergy, d: Tensor, target: Tensor, start: Tensor | None = None) -> Tensor:
    """ρ with ``function(1/ρ, d) = target``; both functions rise and bend upwards, so Newton from above is safe."""
    with torch.no_grad():
        # function ≈ u/4 − const or u/8 − const far out, with const < 1/d, so this starts above the root
        u = 8 * target + 8 / d if start is None else 1 / start
        for _ in range(_NEWTON_STEPS if start is None else 8):
            value, slope = function(u, d)
            u = (u - (value - target) / slope).clamp(min=1e-3)
    for _ in range(2):
        value, slope = function(u, d)
        u = u - (value - target) / slope
    return 1 / u


def _secant(function: _SelfEnergy, d: Tensor, target: Tensor, guess: Tensor) -> Tensor:
    """ρ after five secant steps in 1/(2ρ) from ``guess``, the approximation that MOPAC uses."""
    old, new = guess, guess + 0.04
    for _ in range(5):
        f_old, f_new = function(2 * old, d)[0], function(2 * new, d)[0]
        change = f_new - f_old
        done = change.abs() < 1e-25
        step = (new - old) * (target - f_old) / torch.where(done, 1.0, change)
        old, new = torch.where(done, old, new), torch.where(done, new, old + step)
    return 0.5 / new
