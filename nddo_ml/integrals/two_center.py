"""Two-centre two-electron integrals (μν|λσ) from interacting point-charge multipoles.

A product of orbitals is a sum of multipoles, a multipole a set of point charges; two multipoles interact as
``Σ_ij q_i q_j / √(r_ij² + (ρ_A + ρ_B)²)``. All formulas are one table of terms, made once from the configurations
below; evaluating it is two matrix products. Source: Dewar & Thiel, Theor. Chim. Acta 46, 89 (1977).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from nddo_ml.integrals.multipoles import Multipoles
from nddo_ml.integrals.rotate import packed_pairs
from nddo_ml.units import HARTREE_EV

# Separation 0 is D1, 1 is D2; a point charge is (charge, separation, (x, y, z) in units of it).
_D1, _D2 = 0, 1
_Points = tuple[tuple[float, int, tuple[int, int, int]], ...]
_CHARGE: _Points = ((1.0, _D1, (0, 0, 0)),)


def _dipole(axis: int) -> _Points:
    up, down = [0, 0, 0], [0, 0, 0]
    up[axis], down[axis] = 1, -1
    return ((0.5, _D1, (up[0], up[1], up[2])), (-0.5, _D1, (down[0], down[1], down[2])))


def _linear_quadrupole(axis: int) -> _Points:
    up, down = [0, 0, 0], [0, 0, 0]
    up[axis], down[axis] = 2, -2
    return (
        (0.25, _D2, (up[0], up[1], up[2])),
        (-0.5, _D2, (0, 0, 0)),
        (0.25, _D2, (down[0], down[1], down[2])),
    )


def _square_quadrupole(axis: int) -> _Points:
    """In the plane of ``axis`` (x or y) and z."""
    points = []
    for u in (1, -1):
        for w in (1, -1):
            at = [0, 0, w]
            at[axis] = u
            points.append((0.25 * u * w, _D2, (at[0], at[1], at[2])))
    return tuple(points)


# Products of (s, px, py, pz) in the local frame: multipoles as (rank, charges). (xy| is made from (xx| and (yy|.
_PRODUCTS: dict[tuple[int, int], tuple[tuple[int, _Points], ...]] = {
    (0, 0): ((0, _CHARGE),),
    (1, 0): ((1, _dipole(0)),),
    (2, 0): ((1, _dipole(1)),),
    (3, 0): ((1, _dipole(2)),),
    (1, 1): ((0, _CHARGE), (2, _linear_quadrupole(0))),
    (2, 2): ((0, _CHARGE), (2, _linear_quadrupole(1))),
    (3, 3): ((0, _CHARGE), (2, _linear_quadrupole(2))),
    (3, 1): ((2, _square_quadrupole(0)),),
    (3, 2): ((2, _square_quadrupole(1)),),
}


@dataclass(frozen=True)
class _Terms:
    """Distinct distances and how they sum to integrals; D = (D1_A, D2_A, D1_B, D2_B)."""

    z: Tensor  # [4, terms] z = R + D @ z
    x: Tensor  # [4, terms] squared perpendicular parts
    y: Tensor  # [4, terms]
    rank_a: Tensor  # [terms] index into (ρ0, ρ1, ρ2)
    rank_b: Tensor
    weight: Tensor  # [terms, products_a * products_b]


def local_integrals(
    distance_bohr: Tensor, a: Multipoles, b: Multipoles, width_a: int, width_b: int
) -> Tensor:
    """Integrals (μν|λσ) in the local frame, whose z axis points from A to B.

    Args:
        distance_bohr: [pairs].
        a, b: multipoles of the two atoms, [pairs] each, bohr.
        width_a, width_b: 1 or 4.

    Returns:
        [pairs, products_a, products_b] eV, products in packed order.
    """
    terms = _terms(width_a, width_b)
    like = distance_bohr
    moments = torch.stack((a.d1_bohr, a.d2_bohr, b.d1_bohr, b.d2_bohr), dim=1)
    rho_a = torch.stack((a.rho0_bohr, a.rho1_bohr, a.rho2_bohr), dim=1)
    rho_b = torch.stack((b.rho0_bohr, b.rho1_bohr, b.rho2_bohr), dim=1)
    z, x, y, weight = (t.to(like) for t in (terms.z, terms.x, terms.y, terms.weight))
    along = distance_bohr[:, None] + moments @ z
    radius = rho_a[:, terms.rank_a.to(like.device)] + rho_b[:, terms.rank_b.to(like.device)]
    inverse = torch.rsqrt(along**2 + (moments @ x) ** 2 + (moments @ y) ** 2 + radius**2)
    packed = inverse @ (weight * HARTREE_EV)
    return packed.view(-1, width_a * (width_a + 1) // 2, width_b * (width_b + 1) // 2)


@lru_cache(maxsize=None)
def _terms(width_a: int, width_b: int) -> _Terms:
    products_a, products_b = packed_pairs(width_a), packed_pairs(width_b)
    table: dict[tuple[tuple[int, ...], ...], dict[int, float]] = {}
    for i, pa in enumerate(products_a):
        for j, pb in enumerate(products_b):
            for sources, factor in _expansion(pa, pb):
                _accumulate(table, sources, factor, i * len(products_b) + j)
    table = {key: w for key, w in table.items() if any(abs(v) > 1e-12 for v in w.values())}
    weight = torch.zeros(len(table), len(products_a) * len(products_b), dtype=torch.float64)
    for t, entries in enumerate(table.values()):
        for column, value in entries.items():
            weight[t, column] = value
    keys = list(table)
    column = lambda k: torch.tensor([key[k] for key in keys], dtype=torch.float64).T  # noqa: E731
    ranks = torch.tensor([key[3] for key in keys])
    return _Terms(column(0), column(1), column(2), ranks[:, 0], ranks[:, 1], weight)


_Product = tuple[int, int]


def _expansion(pa: _Product, pb: _Product) -> list[tuple[tuple[_Product, _Product], float]]:
    """Pairs of products with point-charge models whose weighted sum is the integral (pa|pb)."""
    xy = (2, 1)
    if pa == xy and pb == xy:  # rotational invariance about the pair
        return [
            (((1, 1), (1, 1)), 0.25),
            (((2, 2), (2, 2)), 0.25),
            (((1, 1), (2, 2)), -0.25),
            (((2, 2), (1, 1)), -0.25),
        ]
    if pa == xy or pb == xy or _parity(pa) != _parity(pb):
        return []
    return [((pa, pb), 1.0)]


def _parity(product: _Product) -> tuple[int, int]:
    """Whether a product changes sign under x → −x and y → −y."""
    return sum(k == 1 for k in product) % 2, sum(k == 2 for k in product) % 2


def _accumulate(table: dict, sources: tuple[_Product, _Product], factor: float, column: int) -> None:
    for rank_a, points_a in _PRODUCTS[sources[0]]:
        for rank_b, points_b in _PRODUCTS[sources[1]]:
            for qa, da, at_a in points_a:
                for qb, db, at_b in points_b:
                    parts = [[0, 0, 0, 0] for _ in range(3)]
                    for axis in range(3):
                        parts[axis][da] -= at_a[axis]
                        parts[axis][2 + db] += at_b[axis]
                    # only the squares of the perpendicular parts count, so sign and order of x and y are free
                    x, y = sorted(max(p, [-v for v in p]) for p in parts[:2])
                    key = (tuple(parts[2]), tuple(x), tuple(y), (rank_a, rank_b))
                    entry = table.setdefault(key, {})
                    entry[column] = entry.get(column, 0.0) + factor * qa * qb
