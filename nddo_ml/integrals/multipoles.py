"""Charge separations and additive radii of the multipoles that stand for products of orbitals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nddo_ml.units import HARTREE_EV

if TYPE_CHECKING:
    from nddo_ml.parameters import Parameters

MIN_H_PP = 0.1  # eV; floors as in MOPAC: of (g_pp − g_p2)/2,
MIN_H_SP = 1e-7  # eV; of h_sp,
MIN_ZETA_P = 0.3  # 1/bohr; and of zeta_p where it sets charge separations
_NEWTON_STEPS = 40


@dataclass(frozen=True)
class Multipoles:
    """Point-charge models of the products ss (monopole), sp (dipole) and pp (quadrupole), in bohr."""

    d1_bohr: Tensor  # [atoms] dipole charge separation
    d2_bohr: Tensor  # [atoms] quadrupole charge separation
    rho0_bohr: Tensor  # [atoms] additive radius of the monopole
    rho1_bohr: Tensor  # [atoms] of the dipole; 1 where the atom has no p orbitals
    rho2_bohr: Tensor  # [atoms] of the quadrupole; 1 where the atom has no p orbitals

    def map(self, function: Callable[[Tensor], Tensor]) -> Multipoles:
        """Apply ``function`` to every field."""
        return Multipoles(*(function(getattr(self, name)) for name in self.__dataclass_fields__))


def solve_multipoles(p: Parameters, start: Multipoles | None = None) -> Multipoles:
    """Multipole parameters from exponents and one-centre integrals.

    Dipole ``D1 = ⟨ns| r |np⟩/√3`` and quadrupole ``D2 = (⟨np| r² |np⟩/5)^½`` of Slater orbitals whose principal
    quantum number n is the element's period; the additive
    radii make the interaction of two equal multipoles on one centre equal to the one-centre integrals (hartree)::

        g_ss = 1/(2ρ0)
        h_sp = 1/(4ρ1) − 1/(4 √(D1² + ρ1²))
        h_pp = 1/(8ρ2) − 1/(4 √(D2² + ρ2²)) + 1/(8 √(2 D2² + ρ2²)),    h_pp = (g_pp − g_p2)/2

    The iteration carries no gradient; two further Newton steps at its end do, which is implicit differentiation,
    exact to second order. Source: Dewar & Thiel, Theor. Chim. Acta 46, 89 (1977).

    Args:
        p: parameters, [atoms] each; atoms of width 1 get D = 0 and ρ1 = ρ2 = 1.
        start: a nearby solution to start from.
    """
    has_p = p.width > 1
    one = torch.ones_like(p.zeta_s)
    zeta_s = torch.where(has_p, p.zeta_s, one)
    zeta_p = torch.where(has_p, p.zeta_p, one).clamp(min=MIN_ZETA_P)
    n = p.period.to(one.dtype)
    ratio = 4 * zeta_s * zeta_p / (zeta_s + zeta_p) ** 2
    d1 = (2 * n + 1) * ratio ** (n + 0.5) / (zeta_s + zeta_p) / 3**0.5
    d2 = torch.sqrt((4 * n**2 + 6 * n + 2) / 20) / zeta_p
    h_sp = torch.where(has_p, p.h_sp, one).clamp(min=MIN_H_SP) / HARTREE_EV
    h_pp = (torch.where(has_p, 0.5 * (p.g_pp - p.g_p2), one)).clamp(min=MIN_H_PP) / HARTREE_EV
    g_ss = torch.where(p.width > 0, p.g_ss, one)
    rho1 = _solve(_dipole_self_energy, d1, h_sp, None if start is None else start.rho1_bohr)
    rho2 = _solve(_quadrupole_self_energy, d2, h_pp, None if start is None else start.rho2_bohr)
    zero = torch.zeros_like(one)
    return Multipoles(
        d1_bohr=torch.where(has_p, d1, zero),
        d2_bohr=torch.where(has_p, d2, zero),
        rho0_bohr=0.5 * HARTREE_EV / g_ss,
        rho1_bohr=torch.where(has_p, rho1, one),
        rho2_bohr=torch.where(has_p, rho2, one),
    )


def _dipole_self_energy(u: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope in u = 1/ρ of the dipole's self-interaction."""
    root = torch.sqrt(1 + (d * u) ** 2)
    return 0.25 * u * (1 - 1 / root), 0.25 * (1 - 1 / root**3)


def _quadrupole_self_energy(u: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope in u = 1/ρ of the quadrupole's self-interaction."""
    a, b = torch.sqrt(1 + (d * u) ** 2), torch.sqrt(1 + 2 * (d * u) ** 2)
    return u * (0.125 - 0.25 / a + 0.125 / b), 0.125 - 0.25 / a**3 + 0.125 / b**3


def _solve(
    function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], d: Tensor, target: Tensor, start: Tensor | None
) -> Tensor:
    """ρ with ``function(1/ρ, d) = target``; both functions rise and bend upwards, so Newton from above is safe."""
    with torch.no_grad():
        # function ≤ u/4, hence u ≥ 4 target; past the bend function ≈ u/8 − const, a root lies well below 8 target + 8/d
        u = 8 * target + 8 / d if start is None else 1 / start
        for _ in range(_NEWTON_STEPS if start is None else 8):
            value, slope = function(u, d)
            u = (u - (value - target) / slope).clamp(min=1e-3)
    for _ in range(2):
        value, slope = function(u, d)
        u = u - (value - target) / slope
    return 1 / u
