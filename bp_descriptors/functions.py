"""The symmetry functions' terms, one value a pair or a triple: plain functions of distances and cosines.

2011 naming (Behler, J. Chem. Phys. 134, 074106): G1 to G3 radial, G4 narrow and G5 wide angular. The
weighted forms (Gastegger et al., J. Chem. Phys. 148, 241709 (2018)) are these terms times Z_j or Z_j Z_k.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bp_descriptors.cutoffs import Cutoff

_SMALLEST = 1e-12  # keeps fractional powers of 1 ± cos θ differentiable for collinear triples


def gaussian(r: Tensor, eta: float, r_s: float = 0.0) -> Tensor:
    """exp(−eta (r − r_s)²); ``r`` Å, ``eta`` Å⁻², ``r_s`` Å."""
    return torch.exp(-eta * (r - r_s).square())


def g1(r: Tensor, cutoff: Cutoff) -> Tensor:
    """G1 term of a pair: f_c(r)."""
    return cutoff(r)


def g2(r: Tensor, eta: float, r_s: float, cutoff: Cutoff) -> Tensor:
    """G2 term of a pair: exp(−eta (r − r_s)²) f_c(r); n2p2's type 2."""
    return gaussian(r, eta, r_s) * cutoff(r)


def g3(r: Tensor, kappa: float, cutoff: Cutoff) -> Tensor:
    """G3 term of a pair: cos(kappa r) f_c(r); ``kappa`` Å⁻¹."""
    return torch.cos(kappa * r) * cutoff(r)


def angular(cosine: Tensor, zeta: float, lambda_: float) -> Tensor:
    """2^(1−zeta) (1 + lambda cos θ)^zeta; derivatives of every order are finite for collinear triples."""
    half = 0.5 * (1.0 + lambda_ * cosine)
    if zeta != int(zeta) or zeta < 1:
        return 2.0 * half.clamp(min=_SMALLEST) ** zeta
    return 2.0 * _integer_power(half, int(zeta))


def g4(
    r_a: Tensor,
    r_b: Tensor,
    r_ab: Tensor,
    cosine: Tensor,
    eta: float,
    zeta: float,
    lambda_: float,
    cutoff: Cutoff,
    r_s: float = 0.0,
) -> Tensor:
    """G4 term of a triple: angular(cos θ) g2(r_a) g2(r_b) g2(r_ab); n2p2's type 3 (narrow)."""
    radial = g2(r_a, eta, r_s, cutoff) * g2(r_b, eta, r_s, cutoff) * g2(r_ab, eta, r_s, cutoff)
    return angular(cosine, zeta, lambda_) * radial


def g5(
    r_a: Tensor,
    r_b: Tensor,
    cosine: Tensor,
    eta: float,
    zeta: float,
    lambda_: float,
    cutoff: Cutoff,
    r_s: float = 0.0,
) -> Tensor:
    """G5 term of a triple: angular(cos θ) g2(r_a) g2(r_b); n2p2's type 9 (wide)."""
    return angular(cosine, zeta, lambda_) * g2(r_a, eta, r_s, cutoff) * g2(r_b, eta, r_s, cutoff)


def _integer_power(x: Tensor, n: int) -> Tensor:
    """x^n by repeated squaring; unlike ``pow`` it has finite higher derivatives at x = 0."""
    result = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        if n:
            x = x * x
    return torch.ones_like(x) if result is None else result
