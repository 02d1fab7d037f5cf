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
    factor1: Tensor  # [atoms] ρ1 over the exact solution of its equation
    factor2: Tensor  # [atoms] the same of ρ2

    def map(self, function: Callable[[Tensor], Tensor]) -> Multipoles:
        """Apply ``function`` to every field."""
        return Multipoles(*(function(getattr(self, name)) for name in self.__dataclass_fields__))


def solve_multipoles(p: Parameters, parent: Multipoles | None = None) -> Multipoles:
    """Multipole parameters from exponents and one-centre integrals.

    Dipole ``D1 = ⟨ns| r |np⟩/√3`` and quadrupole ``D2 = (⟨np| r² |np⟩/5)^½`` of Slater orbitals whose principal
    quantum number n is the element's period; the additive
    radii make the interaction of two equal multipoles on one centre equal to the one-centre integrals (hartree)::

        g_ss = 1/(2ρ0)
        h_sp = 1/(4ρ1) − 1/(4 √(D1² + ρ1²))
        h_pp = 1/(8ρ2) − 1/(4 √(D2² + ρ2²)) + 1/(8 √(2 D2² + ρ2²)),    h_pp = (g_pp − g_p2)/2

    MOPAC stops after five secant steps, which for a few elements (He, Ne) is short of convergence, and the methods
    were fitted that way. The table's radii are those; for changed parameters they are scaled by what the exact
    solution changes. The exact solver carries no gradient through its iteration; two further Newton steps at its end
    do, which is implicit differentiation, exact to second order.
    Source: Dewar & Thiel, Theor. Chim. Acta 46, 89 (1977).

    Args:
        p: parameters, [atoms] each; atoms of width 1 get D = 0 and ρ1 = ρ2 = 1.
        parent: the multipoles of the unchanged parameters; None for the table itself.
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
    zero = torch.zeros_like(one)
    if parent is None:
        exact1, exact2 = _solve(_dipole_self_energy, d1, h_sp), _solve(_quadrupole_self_energy, d2, h_pp)
        factor1 = _secant(_dipole_self_energy, d1, h_sp, (h_sp / d1**2) ** (1 / 3)) / exact1
        factor2 = _secant(_quadrupole_self_energy, d2, h_pp, (h_pp / (3 * d2**4)) ** 0.2) / exact2
    else:
        factor1, factor2 = parent.factor1, parent.factor2
        exact1 = _solve(_dipole_self_energy, d1, h_sp, parent.rho1_bohr / factor1)
        exact2 = _solve(_quadrupole_self_energy, d2, h_pp, parent.rho2_bohr / factor2)
    return Multipoles(
        d1_bohr=torch.where(has_p, d1, zero),
        d2_bohr=torch.where(has_p, d2, zero),
        rho0_bohr=0.5 * HARTREE_EV / g_ss,
        rho1_bohr=torch.where(has_p, factor1 * exact1, one),
        rho2_bohr=torch.where(has_p, factor2 * exact2, one),
        factor1=torch.where(has_p, factor1, one),
        factor2=torch.where(has_p, factor2, one),
    )


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
