"""Overlap of Slater orbitals in the local frame of a pair.

In prolate spheroidal coordinates the overlap is a polynomial in μ and ν under ``exp(−pμ − tν)``; the
polynomials are tables made once from the quantum numbers, the integral over μ is elementary and that over ν
a Gauss–Legendre sum, which is smooth for equal exponents too. Source: Mulliken, Rieke, Orloff & Orloff, J.
Chem. Phys. 17, 1248 (1949).

The parameters of the MNDO family were fitted with ``exp(−tν)`` replaced by a short power series at small
|t|, as MOPAC does to this day; so do we (``_SERIES``), since the error of the series, up to 5e-6 in the
integral over ν, is visible in heats of formation.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import comb, factorial

import numpy as np
import torch
from torch import Tensor

_NODES = 24  # the sum is exact to rounding wherever the overlap is not below 1e-15
# (largest |t|, degree of the power series of exp(−tν), half the range of |t| over which it goes over into the next);
# beyond the last the exponential itself. MOPAC jumps; the ranges are wide where the jump is small, narrow where not.
_SERIES = ((0.5, 6, 0.02), (1.0, 7, 0.004), (2.0, 12, 0.02), (3.0, 15, 0.02))

# position of the orbitals with quantum numbers l and ±m: s, px, py, pz, d as in ``angular``
_ORBITALS = {(0, 0): (0,), (1, 0): (3,), (1, 1): (1, 2), (2, 0): (6,), (2, 1): (5, 7), (2, 2): (4, 8)}


def local_overlap(
    distance_bohr: Tensor,
    zeta_a: Tensor,
    zeta_b: Tensor,
    principal_a: Tensor,
    principal_b: Tensor,
    width_a: int,
    width_b: int,
) -> Tensor:
    """Overlaps ⟨μ|λ⟩ of the orbitals of A and B, whose common z axis points from A to B.

    Args:
        distance_bohr: [pairs].
        zeta_a, zeta_b: [pairs, 3] 1/bohr, exponents of s, p, d.
        principal_a, principal_b: [pairs, 3] int64, principal quantum numbers of s, p, d.
        width_a, width_b: 1, 4 or 9, orbitals s, px, py, pz, d.

    Returns:
        [pairs, width_a, width_b].
    """
    l_a, l_b = _shells(width_a), _shells(width_b)
    quantum = torch.cat((principal_a[:, :l_a], principal_b[:, :l_b]), dim=1)
    overlap = distance_bohr.new_zeros(distance_bohr.shape[0], width_a, width_b)
    for rows in _alike(quantum):
        numbers = quantum[rows[0]].tolist()
        series = _series_length(numbers[:l_a], numbers[l_a:])
        block = distance_bohr.new_zeros(rows.shape[0], width_a, width_b)
        r, z_a, z_b = distance_bohr[rows], zeta_a[rows], zeta_b[rows]
        for la in range(l_a):
            for lb in range(l_b):
                shells = (numbers[la], la), (numbers[l_a + lb], lb)
                values = _shell_overlap(r, z_a[:, la], z_b[:, lb], *shells, series)
                for m in range(min(la, lb) + 1):
                    for i, k in zip(_ORBITALS[la, m], _ORBITALS[lb, m], strict=True):
                        block[:, i, k] = values[:, m]
        if rows.shape[0] == overlap.shape[0]:
            return block
        overlap = overlap.index_copy(0, rows, block)
    return overlap


def _alike(quantum: Tensor) -> Iterator[Tensor]:
    """Indices of the rows of ``quantum`` that are equal, one set after another; there are few."""
    left = torch.arange(quantum.shape[0], device=quantum.device)
    while left.numel():
        same = (quantum[left] == quantum[left[0]]).all(dim=1)
        yield left[same]
        left = left[~same]


def _shells(width: int) -> int:
    return {1: 1, 4: 2, 9: 3}[width]


def _shell_overlap(
    r: Tensor,
    zeta_a: Tensor,
    zeta_b: Tensor,
    shell_a: tuple[int, int],
    shell_b: tuple[int, int],
    series: int,
) -> Tensor:
    """Overlaps of shells (n, l) for m = 0 … min(l), [pairs, m]."""
    (n_a, l_a), (n_b, l_b) = shell_a, shell_b
    p, t = 0.5 * r * (zeta_a + zeta_b), 0.5 * r * (zeta_a - zeta_b)
    table, nodes, powers = (c.to(r) for c in _tables(n_a, l_a, n_b, l_b))
    # exp(p) goes to the integrals over μ and exp(−p) to those over ν, so that neither under- nor overflows; the
    # recursion adds positive terms only
    a = [1 / p]  # exp(p) ∫_1^∞ μ^k exp(−pμ) dμ
    for k in range(1, table.shape[1]):
        a.append((1 + k * a[-1]) / p)
    b = _exponential(p[:, None], t[:, None], nodes, series) @ powers  # exp(−p) ∫_{−1}^1 ν^k exp(−tν) dν
    norm = (
        (2 * zeta_a) ** (n_a + 0.5)
        * (2 * zeta_b) ** (n_b + 0.5)
        / (factorial(2 * n_a) * factorial(2 * n_b)) ** 0.5
        * (0.5 * r) ** (n_a + n_b + 1)
    )
    inner = (b @ table.view(-1, table.shape[2]).T).view(-1, table.shape[0], table.shape[1])
    return norm[:, None] * (inner * torch.stack(a, dim=1)[:, None, :]).sum(dim=2)


def _series_length(shells_a: list[int], shells_b: list[int]) -> int:
    """How many rows of ``_SERIES`` apply: fewer for the shells that MOPAC has closed formulas for."""
    mixed = len({*shells_a}) > 1 or len({*shells_b}) > 1
    if mixed or max(len(shells_a), len(shells_b)) > 2 or max(shells_a + shells_b) > 3:
        return 4
    return 2 if shells_a[0] == shells_b[0] == 3 else 1


def _exponential(p: Tensor, t: Tensor, nodes: Tensor, series: int) -> Tensor:
    """``exp(−p − tν)`` at the nodes ν, by its power series in tν where |t| is small, [pairs, nodes]."""
    x = -t * nodes
    value, decay, size = torch.exp(x - p), torch.exp(-p), t.abs()
    for upper, degree, blend in reversed(_SERIES[:series]):
        beyond = ((size - upper + blend) / (2 * blend)).clamp(0, 1)
        if bool((beyond == 1).all()):
            continue
        beyond = beyond * beyond * beyond * (10 + beyond * (6 * beyond - 15))  # smooth to second order
        total = torch.ones_like(x)
        for m in range(degree, 0, -1):
            total = 1 + total * x / m
        value = beyond * value + (1 - beyond) * decay * total
    return value


@cache
def _tables(n_a: int, l_a: int, n_b: int, l_b: int) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients [m, μ power, ν power], quadrature nodes [g], weighted powers of the nodes [g, ν power]."""
    top = n_a + n_b + 1
    table = np.zeros((min(l_a, l_b) + 1, top, top))
    for m in range(table.shape[0]):
        poly = _multiply(_power(1, 1, n_a - l_a), _power(1, -1, n_b - l_b))
        poly = _multiply(poly, _angular(l_a, m, 1))
        poly = _multiply(poly, _angular(l_b, m, -1))
        # both angular functions lack [(μ² − 1)(1 − ν²)]^(m/2)
        for _ in range(m):
            poly = _multiply(poly, {(2, 0): 1.0, (0, 0): -1.0, (2, 2): -1.0, (0, 2): 1.0})
        for (i, j), c in poly.items():
            table[m, i, j] = c
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    powers = weights[:, None] * nodes[:, None] ** np.arange(top)
    return torch.from_numpy(table), torch.from_numpy(nodes), torch.from_numpy(powers)


_Poly = dict[tuple[int, int], float]  # (power of μ, power of ν) -> coefficient


def _multiply(f: _Poly, g: _Poly) -> _Poly:
    product: _Poly = {}
    for (i, j), a in f.items():
        for (k, l), b in g.items():
            product[i + k, j + l] = product.get((i + k, j + l), 0.0) + a * b
    return product


def _power(mu: float, nu: float, n: int) -> _Poly:
    """(mu·μ + nu·ν)^n."""
    return {(k, n - k): comb(n, k) * mu**k * nu ** (n - k) for k in range(n + 1)}


def _angular(l: int, m: int, side: int) -> _Poly:
    """Normalised Θ_lm times (μ + side·ν)^l without its factor [(μ² − 1)(1 − ν²)]^(m/2).

    ``side`` is 1 for A, where cos θ = (1 + μν)/(μ + ν), and −1 for B, where it is (μν − 1)/(μ − ν).
    """
    legendre = np.polynomial.legendre.Legendre.basis(l).convert(kind=np.polynomial.Polynomial).deriv(m)
    norm = (0.5 * (2 * l + 1) * factorial(l - m) / factorial(l + m)) ** 0.5
    total: _Poly = {}
    for k, c in enumerate(legendre.coef):
        if c == 0:
            continue
        term: _Poly = {(0, 0): norm * float(c)}
        for _ in range(k):
            term = _multiply(term, {(0, 0): float(side), (1, 1): 1.0})
        for power, value in _multiply(term, _power(1, side, l - m - k)).items():
            total[power] = total.get(power, 0.0) + value
    return total
