"""Angular integrals over products of real orbitals: tables made once from polynomials on the unit sphere.

Orbitals in the order s, px, py, pz, d(x²−y²), d(xz), d(z²), d(yz), d(xy); products of them in packed order.
"""

from __future__ import annotations

from functools import cache
from math import factorial, prod

import numpy as np
import torch
from torch import Tensor

from nddo_ml.integrals.packing import packed_pairs

Polynomial = dict[tuple[int, int, int], float]  # powers of x, y, z -> coefficient

_SHAPES: tuple[Polynomial, ...] = (
    {(0, 0, 0): 1.0},
    {(1, 0, 0): 1.0},
    {(0, 1, 0): 1.0},
    {(0, 0, 1): 1.0},
    {(2, 0, 0): 1.0, (0, 2, 0): -1.0},
    {(1, 0, 1): 1.0},
    {(0, 0, 2): 2.0, (2, 0, 0): -1.0, (0, 2, 0): -1.0},
    {(0, 1, 1): 1.0},
    {(1, 1, 0): 1.0},
)
SHELL = (0, 1, 1, 1, 2, 2, 2, 2, 2)  # angular momentum of each orbital


def multiply(f: Polynomial, g: Polynomial) -> Polynomial:
    """Product of two polynomials in x, y, z."""
    result: Polynomial = {}
    for p, a in f.items():
        for q, b in g.items():
            power = (p[0] + q[0], p[1] + q[1], p[2] + q[2])
            result[power] = result.get(power, 0.0) + a * b
    return result


def sphere_average(f: Polynomial) -> float:
    """Mean over the unit sphere; ⟨x^a y^b z^c⟩ = (a−1)!! (b−1)!! (c−1)!! / (a+b+c+1)!! for even a, b, c."""
    return sum(
        c * prod(_double_factorial(k - 1) for k in power) / _double_factorial(sum(power) + 1)
        for power, c in f.items()
        if all(k % 2 == 0 for k in power)
    )


def _double_factorial(n: int) -> int:
    return prod(range(n, 0, -2))


@cache
def harmonics() -> tuple[Polynomial, ...]:
    """Real spherical harmonics times √(4π), in the order of the orbitals: their mean square is 1."""
    norms = [sphere_average(multiply(f, f)) ** -0.5 for f in _SHAPES]
    return tuple({power: norm * c for power, c in f.items()} for f, norm in zip(_SHAPES, norms, strict=True))


@cache
def product_multipoles(width: int) -> Tensor:
    """Angular parts ⟨μ| C_lm |ν⟩ of the multipole moments of products, [9, products].

    ``C_lm = √(4π/(2l+1)) Y_lm`` are real; these are the real Gaunt coefficients up to a factor.
    """
    y = harmonics()
    table = [
        [sphere_average(multiply(multiply(y[i], y[k]), f)) / (2 * SHELL[lm] + 1) ** 0.5 for i, k in packed_pairs(width)]
        for lm, f in enumerate(y)
    ]
    return torch.tensor(table, dtype=torch.float64)


@cache
def coulomb_coupling(rank: int, width: int) -> Tensor:
    """Angular part ``Σ_m ⟨μν|C_km⟩⟨C_km|λσ⟩`` of a one-centre Coulomb integral, [products, products].

    By the addition theorem the sum is the Legendre polynomial P_k of the angle between the two electrons,
    that is a sum of products of moments ⟨μν| x^a y^b z^c⟩.
    """
    y = harmonics()
    products = [multiply(y[i], y[k]) for i, k in packed_pairs(width)]
    total = np.zeros((len(products), len(products)))
    legendre = np.polynomial.legendre.Legendre.basis(rank).convert(kind=np.polynomial.Polynomial)
    for degree, c in enumerate(legendre.coef):
        for a in range(degree + 1):
            for b in range(degree - a + 1):
                monomial: Polynomial = {(a, b, degree - a - b): 1.0}
                ways = factorial(degree) // prod(factorial(k) for k in next(iter(monomial)))
                moments = np.array([sphere_average(multiply(p, monomial)) for p in products])
                total += float(c) * ways * np.outer(moments, moments)
    return torch.from_numpy(total)
