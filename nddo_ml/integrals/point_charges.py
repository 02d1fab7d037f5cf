"""Point-charge models of products of orbitals.

Integrals of s and p orbitals alone use those of Dewar & Thiel, Theor. Chim. Acta 46, 89 (1977), with linear
quadrupoles; all that involve d orbitals those of Thiel & Voityuk, Theor. Chim. Acta 81, 391 (1992), in which a
product is its monopole, dipole and quadrupole moments, found from the real Gaunt coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import sqrt

from nddo_ml.integrals.angular import SHELL, product_multipoles
from nddo_ml.integrals.packing import packed_pairs

Product = tuple[int, int]  # positions of two orbitals, the second not behind the first
CORE: Product = (-1, -1)
Points = tuple[tuple[float, int, tuple[float, float, float]], ...]  # charge, column of its separation, place


@dataclass(frozen=True)
class Model:
    """A multipole: point charges at multiples of a charge separation, and its additive radius."""

    weight: float
    symmetry: tuple[int, int]  # multipoles of different symmetry about the pair do not interact
    radius: int | None  # column; None is the core's
    points: Points


_SQUARE = sqrt(0.5)
# Charges of the multipoles (l, m), in the orbitals' order; those of y are x's, for which the integrals are the same.
_PLACES: tuple[tuple[tuple[float, tuple[float, float, float]], ...], ...] = (
    ((1.0, (0, 0, 0)),),
    ((0.5, (1, 0, 0)), (-0.5, (-1, 0, 0))),
    ((0.5, (1, 0, 0)), (-0.5, (-1, 0, 0))),
    ((0.5, (0, 0, 1)), (-0.5, (0, 0, -1))),
    ((0.25, (1, 0, 0)), (0.25, (-1, 0, 0)), (-0.25, (0, 1, 0)), (-0.25, (0, -1, 0))),
    tuple((0.25 * u * w, (u * _SQUARE, 0, w * _SQUARE)) for u in (1, -1) for w in (1, -1)),
    (
        *((0.25, (0, 0, w)) for w in (1, -1)),
        *((-0.125, place) for u in (1, -1) for place in ((u, 0, 0), (0, u, 0))),
    ),
    tuple((0.25 * u * w, (u * _SQUARE, 0, w * _SQUARE)) for u in (1, -1) for w in (1, -1)),
    ((0.25, (1, 0, 0)), (0.25, (-1, 0, 0)), (-0.25, (0, 1, 0)), (-0.25, (0, -1, 0))),
)
_MOMENT = (1.0, 1.0, 1.0, 1.0, sqrt(0.75), sqrt(0.75), 0.75, sqrt(0.75), sqrt(0.75))  # of these charges, D = 1
_ORDER = (0, 1, -1, 0, 2, 1, 0, -1, -2)  # m of each (l, m)
# Shells of a product -> column of its separation, its scale, moment of the product at that separation, columns of
# the additive radii by l.
_SHELLS: dict[tuple[int, int], tuple[int, float, float, dict[int, int]]] = {
    (0, 0): (0, 1.0, 1.0, {0: 0}),
    (0, 1): (0, 1.0, 1 / sqrt(3), {1: 1}),
    (1, 1): (1, sqrt(2), 2 / 5, {0: 0, 2: 2}),
    (0, 2): (2, 1.0, 2 / sqrt(15), {2: 4}),
    (1, 2): (3, 1.0, 1 / sqrt(5), {1: 5}),
    (2, 2): (4, 1.0, 2 / 7, {0: 3, 2: 6}),
}


def radial_moments(shells: tuple[int, int]) -> tuple[tuple[int, int, float], ...]:
    """``⟨r^l⟩ = c D^l`` of a product of two shells as (l, column of its separation D, c), for each l that it has."""
    column, scale, unit, radii = _SHELLS[shells]
    return tuple((rank, column, scale**rank / (unit if rank else 1.0)) for rank in radii)


_APART: dict[int | None, int] = {1: 7, 2: 8}  # columns of the radii of sp and pp beside d orbitals and cores


@cache
def models(product: Product, *, with_d: bool, apart: bool) -> tuple[Model, ...]:
    """Multipoles of a product.

    Args:
        product: its orbitals.
        with_d: whether d orbitals take part in the integral, on either atom.
        apart: whether sp and pp have the additive radii that they have beside d orbitals and cores.
    """
    if product == CORE:
        return (Model(1.0, (0, 0), None, _placed(0, 0, 1.0)),)
    found = _multipoles(product) if with_d else _sp_models(product)
    return tuple(replace(m, radius=_APART.get(m.radius, m.radius)) for m in found) if apart else found


def _multipoles(product: Product) -> tuple[Model, ...]:
    """Moments up to the quadrupole. Symmetry is (m, 0)."""
    shells = sorted(SHELL[k] for k in product)
    column, scale, unit, radii = _SHELLS[shells[0], shells[1]]
    moments = product_multipoles(9)[:, packed_pairs(9).index(product)].tolist()
    return tuple(
        Model(
            value / (_MOMENT[lm] * (unit if SHELL[lm] else 1.0)),
            (_ORDER[lm], 0),
            radii[SHELL[lm]],
            _placed(lm, column, scale),
        )
        for lm, value in enumerate(moments)
        if SHELL[lm] in radii and abs(value) > 1e-12
    )


def _placed(lm: int, column: int, scale: float) -> Points:
    return tuple((q, column, (scale * x, scale * y, scale * z)) for q, (x, y, z) in _PLACES[lm])


def _sp_models(product: Product) -> tuple[Model, ...]:
    """Models of s and p alone; (xy| is made from (xx| and (yy|. Symmetry is whether x and y change sign."""
    i, k = product
    symmetry = (sum(v == 1 for v in product) % 2, sum(v == 2 for v in product) % 2)
    if i == 0:
        return (Model(1.0, symmetry, 0, _placed(0, 0, 1.0)),)
    axis = tuple(float(v == i) for v in (1, 2, 3))
    if k == 0:
        return (Model(1.0, symmetry, 1, tuple((0.5 * s, 0, _times(s, axis)) for s in (1, -1))),)
    if i == k:
        ends: Points = tuple((0.25, 1, _times(2 * s, axis)) for s in (1, -1))
        linear: Points = (*ends, (-0.5, 1, (0.0, 0.0, 0.0)))
        return (Model(1.0, symmetry, 0, _placed(0, 0, 1.0)), Model(1.0, symmetry, 2, linear))
    if i == 3:
        other = tuple(float(v == k) for v in (1, 2, 3))
        square: Points = tuple(
            (0.25 * u * w, 1, (u * other[0], u * other[1], float(w))) for u in (1, -1) for w in (1, -1)
        )
        return (Model(1.0, symmetry, 2, square),)
    return ()


def _times(factor: float, v: tuple[float, ...]) -> tuple[float, float, float]:
    return (factor * v[0], factor * v[1], factor * v[2])
