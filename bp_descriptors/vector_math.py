"""Compiled functions of arrays that the compiler can vectorise: exponentials, cut-offs, powers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numba import njit

_ORDERED = {"contract", "nsz"}  # floating-point freedom that keeps the order of operations
_FREE = {"contract", "nsz", "reassoc", "arcp"}  # and the freedom to sum in any order


def compiled(
    inline: Literal["never", "always"] = "never", reorder: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """numba's njit with the freedom of rounding that vectorising needs; never with that to assume no NaN."""
    freedom = _FREE if reorder else _ORDERED
    return njit(nogil=True, inline=inline, fastmath=freedom, error_model="numpy")


@compiled(inline="always")
def exponential(x: float) -> float:
    """exp(x) for x <= 0 without branches or calls; relative error below 1e-15 (1 + |x|/10)."""
    x = max(x, -700.0)
    k = math.floor(x * 1.4426950408889634 + 0.5)
    f = x - k * 0.693145751953125
    f = f - k * 1.42860682030941723e-6
    p = 1.6059043836821613e-10  # 1/13!, and the other coefficients of the series on |f| <= ln(2)/2
    p = p * f + 2.08767569878681e-09
    p = p * f + 2.505210838544172e-08
    p = p * f + 2.755731922398589e-07
    p = p * f + 2.7557319223985893e-06
    p = p * f + 2.48015873015873e-05
    p = p * f + 1.984126984126984e-04
    p = p * f + 1.388888888888889e-03
    p = p * f + 8.333333333333333e-03
    p = p * f + 4.1666666666666664e-02
    p = p * f + 1.6666666666666666e-01
    p = p * f + 0.5
    p = p * f + 1.0
    p = p * f + 1.0
    return p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@compiled(inline="always")
def sine_of_pi(y: float) -> float:
    """sin(π y) for |y| <= 1/2, by its series."""
    z = (math.pi * y) ** 2
    s = -1.9572941063391263e-20
    s = s * z + 8.22063524662433e-18
    s = s * z - 2.8114572543455206e-15
    s = s * z + 7.647163731819816e-13
    s = s * z - 1.6059043836821613e-10
    s = s * z + 2.505210838544172e-08
    s = s * z - 2.7557319223985893e-06
    s = s * z + 1.984126984126984e-04
    s = s * z - 8.333333333333333e-03
    s = s * z + 1.6666666666666666e-01
    return math.pi * y * (1.0 - s * z)


@compiled()
def cutoff_arrays(
    kind: int, inner: float, radius: float, r: np.ndarray, n: int, value: np.ndarray, slope: np.ndarray
) -> None:
    """f_c and df_c/dr of the first ``n`` of ``r``; kinds numbered as n2p2 does."""
    start = inner * radius
    scale = 1.0 / (radius - start)
    if kind == 1:
        for k in range(n):
            x = min(max((r[k] - start) * scale, 0.0), 1.0)
            s = sine_of_pi(0.5 - x)
            value[k] = 0.5 * (1.0 + s)
            # sin(πx) = cos(π(1/2 − x)), from the half angle as 2 sin cos to stay on the series' interval
            h = sine_of_pi(0.5 * x)
            g = sine_of_pi(0.5 - 0.5 * x)
            slope[k] = -math.pi * scale * h * g
    elif kind <= 3:
        norm = 1.0 if kind == 2 else math.tanh(1.0) ** -3
        for k in range(n):
            t = math.tanh(1.0 - min(r[k] * scale, 1.0))
            value[k] = norm * t * t * t
            slope[k] = -3.0 * norm * scale * t * t * (1.0 - t * t)
    elif kind == 4:
        for k in range(n):
            x = min(max((r[k] - start) * scale, 0.0), 1.0)
            gap = max(1.0 - x * x, 1e-3)
            value[k] = math.exp(1.0 - 1.0 / gap)
            slope[k] = -2.0 * x * scale * value[k] / (gap * gap)
    else:
        polynomial_cutoff(kind - 4, start, scale, r, n, value, slope)


@compiled()
def polynomial_cutoff(
    order: int, start: float, scale: float, r: np.ndarray, n: int, value: np.ndarray, slope: np.ndarray
) -> None:
    """The polynomial cut-offs 1 to 4: 1 − x^(m+1) Σ_k c_k x^k, whose slope is −A x^m (1 − x)^m."""
    if order == 1:
        c0, c1, c2, c3, c4, area = 3.0, -2.0, 0.0, 0.0, 0.0, 6.0
    elif order == 2:
        c0, c1, c2, c3, c4, area = 10.0, -15.0, 6.0, 0.0, 0.0, 30.0
    elif order == 3:
        c0, c1, c2, c3, c4, area = 35.0, -84.0, 70.0, -20.0, 0.0, 140.0
    else:
        c0, c1, c2, c3, c4, area = 126.0, -420.0, 540.0, -315.0, 70.0, 630.0
    for k in range(n):
        x = min(max((r[k] - start) * scale, 0.0), 1.0)
        y = x * (1.0 - x)
        power, bump = x, 1.0
        for _ in range(order):
            power *= x
            bump *= y
        value[k] = 1.0 - power * (c0 + x * (c1 + x * (c2 + x * (c3 + x * c4))))
        slope[k] = -area * scale * bump


@compiled()
def gaussian_arrays(
    eta: float,
    shift: float,
    r: np.ndarray,
    cut: np.ndarray,
    cut_slope: np.ndarray,
    n: int,
    value: np.ndarray,
    slope: np.ndarray,
) -> None:
    """exp(−eta (r − shift)²) f_c and its slope, for the first ``n`` of ``r``."""
    for k in range(n):
        d = r[k] - shift
        g = exponential(-eta * d * d)
        value[k] = g * cut[k]
        slope[k] = g * (cut_slope[k] - 2.0 * eta * d * cut[k])


@compiled()
def power_arrays(zeta: float, lambda_: float, cosine: np.ndarray, n: int, value: np.ndarray, slope: np.ndarray) -> None:
    """2^(1−zeta) (1 + lambda c)^zeta and its slope in c, for the first ``n`` of ``cosine``."""
    exponent = int(zeta) - 1
    if exponent + 1 != zeta or zeta < 1.0:
        for k in range(n):
            p = max(0.5 * (1.0 + lambda_ * cosine[k]), 1e-12)
            q = p ** (zeta - 1.0)
            value[k] = 2.0 * p * q
            slope[k] = zeta * lambda_ * q
        return
    for k in range(n):
        slope[k] = 1.0
    bit = 1
    while 2 * bit <= exponent:
        bit *= 2
    while exponent > 0 and bit > 0:  # (1/2 + lambda c/2)^exponent, binary digits from the highest
        if exponent & bit:
            for k in range(n):
                slope[k] = slope[k] * slope[k] * (0.5 * (1.0 + lambda_ * cosine[k]))
        else:
            for k in range(n):
                slope[k] = slope[k] * slope[k]
        bit //= 2
    for k in range(n):
        q = slope[k]
        value[k] = (1.0 + lambda_ * cosine[k]) * q
        slope[k] = zeta * lambda_ * q


@compiled()
def factor_arrays(
    cutoffs: np.ndarray,
    factors: np.ndarray,
    chosen: np.ndarray,
    r: np.ndarray,
    n: int,
    cut: np.ndarray,
    out: np.ndarray,
) -> None:
    """Value and slope, ``out`` [2, factors, ·], of all factors of a plan; 1 and 0 for those not ``chosen``."""
    last = -1
    for f in range(factors.shape[0]):
        value, slope = out[0, f], out[1, f]
        if not chosen[f]:
            value[:n] = 1.0
            slope[:n] = 0.0
            continue
        c = int(factors[f, 0])
        if c != last:
            cutoff_arrays(int(cutoffs[c, 0]), cutoffs[c, 1], cutoffs[c, 2], r, n, cut[0], cut[1])
            last = c
        gaussian_arrays(factors[f, 1], factors[f, 2], r, cut[0], cut[1], n, value, slope)
        kappa = factors[f, 3]
        if kappa != 0.0:
            for k in range(n):
                cosine, sine = math.cos(kappa * r[k]), math.sin(kappa * r[k])
                slope[k] = cosine * slope[k] - kappa * sine * value[k]
                value[k] *= cosine


@compiled(reorder=True)
def dot(a: np.ndarray, b: np.ndarray, start: int, stop: int) -> float:
    """Σ_k a_k b_k from ``start`` to ``stop``."""
    total = 0.0
    for k in range(start, stop):
        total += a[k] * b[k]
    return total
