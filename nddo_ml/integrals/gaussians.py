"""Slater orbitals: as sums of Gaussians, for programs that know nothing else, and on points in space."""

from __future__ import annotations

from functools import cache
from math import factorial, gamma, pi

import numpy as np

PRIMITIVES = 16
_RATIO = 1.9  # of one exponent to the next
_SOFTEST = 0.35  # exponent of the softest Gaussian of a Slater orbital with ζ = 1, times (n + 4)²


@cache
def fitted_gaussians(n: int, l: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponents and coefficients of normalised Gaussians nearest to the Slater orbital ``r^(n−1) e^(−r)``.

    Least squares over space; of another ζ the exponents are ζ² times these, the coefficients the same (Hehre, Stewart
    & Pople, J. Chem. Phys. 51, 2657 (1969)).

    Args:
        n: principal quantum number.
        l: angular momentum.
    """
    exponents = _SOFTEST / (n + 4) ** 2 * _RATIO ** np.arange(PRIMITIVES)
    r = np.linspace(1e-4, 12.0 + 8 * n, 6000)
    slater = slater_norm(n, 1.0) * r ** (n - 1) * np.exp(-r)
    norms = np.sqrt(2 * (2 * exponents) ** (l + 1.5) / gamma(l + 1.5))
    gaussians = norms * r[:, None] ** l * np.exp(-exponents * r[:, None] ** 2)
    coefficients = np.linalg.lstsq(r[:, None] * gaussians, r * slater, rcond=1e-12)[0]
    overlap = (2 * np.sqrt(exponents[:, None] * exponents) / (exponents[:, None] + exponents)) ** (l + 1.5)
    return exponents, coefficients / np.sqrt(coefficients @ overlap @ coefficients)


def slater_norm(n: int, zeta: float) -> float:
    """``(2ζ)^(n+½)/√(2n)!``, with which the radial part is normalised."""
    return float((2 * zeta) ** (n + 0.5) / np.sqrt(float(factorial(2 * n))))


def slater_values(vectors: np.ndarray, zeta: np.ndarray, principal: np.ndarray, width: int) -> np.ndarray:
    """Values [width, points] bohr^(−3/2) of an atom's orbitals s, px, py, pz, d (x²−y², xz, z², yz, xy).

    Args:
        vectors: [points, 3] bohr, from the atom.
        zeta: [3] 1/bohr.
        principal: [3].
        width: 1, 4 or 9 orbitals.
    """
    x, y, z = vectors.T
    r = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
    angular = [np.full_like(r, np.sqrt(1 / (4 * pi)))]
    if width > 1:
        angular += [np.sqrt(3 / (4 * pi)) * v / r for v in (x, y, z)]
    if width == 9:
        both = np.sqrt(15 / (4 * pi)) / r**2
        angular += [both * (x * x - y * y) / 2, both * x * z, np.sqrt(5 / (16 * pi)) * (3 * z * z / r**2 - 1)]
        angular += [both * y * z, both * x * y]
    shells = [0] + [1] * 3 * (width > 1) + [2] * 5 * (width == 9)
    radial = [
        slater_norm(int(n), float(a)) * r ** (int(n) - 1) * np.exp(-float(a) * r) if a > 0 else np.zeros_like(r)
        for n, a in zip(principal, zeta, strict=True)
    ]
    return np.stack([radial[l] * part for l, part in zip(shells, angular, strict=True)])
