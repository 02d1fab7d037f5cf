"""Two-centre two-electron integrals (μν|λσ) from interacting point-charge multipoles.

A product of orbitals is a sum of multipoles, a multipole a set of point charges; two multipoles interact as
``Σ_ij q_i q_j / √(r_ij² + (ρ_A + ρ_B)²)``. All formulas are one table of terms, made once from the models of
``point_charges``; evaluating it is two matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.integrals.point_charges import CORE, Model, Product, models
from nddo_ml.methods.parameters import RADII, SEPARATIONS


@dataclass(frozen=True)
class _Terms:
    """Distinct distances and how they sum to integrals; D are the charge separations of A, then those of B."""

    z: Tensor  # [separations, terms] z = R + D @ z
    x: Tensor  # [separations, terms] perpendicular parts
    y: Tensor  # [separations, terms]
    radius_a: Tensor  # [terms] column of the additive radius
    radius_b: Tensor
    weight: Tensor  # [terms, products_a * products_b]


def local_integrals(
    distance_bohr: Tensor,
    separation: tuple[Tensor, Tensor],
    radius: tuple[Tensor, Tensor],
    widths: tuple[int, int],
    cores: bool = False,
) -> Tensor:
    """Integrals (μν|λσ) in the local frame, whose z axis points from A to B.

    Args:
        distance_bohr: [pairs].
        separation: charge separations of A and of B, [pairs, SEPARATIONS[width]] bohr.
        radius: additive radii of A and of B, [pairs, RADII[width]] bohr, with ``cores`` one more, that of the core.
        widths: of A and of B: 1, 4 or 9.
        cores: whether the core counts as a last product of its atom, a charge with its own radius.

    Returns:
        [pairs, products_a, products_b] hartree, products in packed order.
    """
    terms = _terms(*widths, cores)
    like = distance_bohr
    z, x, y, weight = (t.to(like) for t in (terms.z, terms.x, terms.y, terms.weight))
    moments = torch.cat(separation, dim=1)
    along = distance_bohr[:, None] + moments @ z
    radii = radius[0][:, terms.radius_a.to(like.device)] + radius[1][:, terms.radius_b.to(like.device)]
    inverse = torch.rsqrt(along**2 + (moments @ x) ** 2 + (moments @ y) ** 2 + radii**2)
    return (inverse @ weight).view(-1, *(w * (w + 1) // 2 + cores for w in widths))


@cache
def _terms(width_a: int, width_b: int, cores: bool) -> _Terms:
    """The table of a pair of widths."""
    core = (CORE,) * cores
    products_a, products_b = packed_pairs(width_a) + core, packed_pairs(width_b) + core
    columns = SEPARATIONS[width_a], SEPARATIONS[width_b]
    radii = RADII[width_a], RADII[width_b]
    table: dict[_Key, dict[int, float]] = {}
    for i, pa in enumerate(products_a):
        for j, pb in enumerate(products_b):
            for one, two, factor in _interactions(pa, pb, width_a == 9, width_b == 9):
                for key, q in _charge_pairs(one, two, columns, radii):
                    entry = table.setdefault(key, {})
                    column = i * len(products_b) + j
                    entry[column] = entry.get(column, 0.0) + factor * q
    table = {key: w for key, w in table.items() if any(abs(v) > 1e-12 for v in w.values())}
    weight = torch.zeros(len(table), len(products_a) * len(products_b), dtype=torch.float64)
    for t, entries in enumerate(table.values()):
        for column, value in entries.items():
            weight[t, column] = value
    z, x, y = (torch.tensor([key[k] for key in table], dtype=torch.float64).T for k in range(3))
    used = torch.tensor([key[3] for key in table])
    return _Terms(z, x, y, used[:, 0], used[:, 1], weight)


def _interactions(pa: Product, pb: Product, wide_a: bool, wide_b: bool) -> list[tuple[Model, Model, float]]:
    """Pairs of multipoles, and their weights, that make up the integral (pa|pb); wide atoms have d orbitals."""
    with_d = max(*pa, *pb) > 3
    apart = with_d or CORE in (pa, pb)
    xy = (2, 1)
    if not with_d and pa == xy and pb == xy:
        # (xy|xy) = [(xx|xx) − (xx|yy)]/2, which a turn about the pair demands and square quadrupoles would miss
        x, y = (models(product, with_d=False, apart=False) for product in ((1, 1), (2, 2)))
        same, mixed = ((x, x), (y, y)), ((x, y), (y, x))
        return [(a, b, w) for pairs, w in ((same, 0.25), (mixed, -0.25)) for f, g in pairs for a in f for b in g]
    return [
        (a, b, a.weight * b.weight)
        for a in models(pa, with_d=with_d, apart=apart and wide_a)
        for b in models(pb, with_d=with_d, apart=apart and wide_b)
        if a.symmetry == b.symmetry
    ]


_Key = tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[int, int]]


def _charge_pairs(one: Model, two: Model, columns: tuple[int, int], radii: tuple[int, int]) -> list[tuple[_Key, float]]:
    """Distances of the charges of A and B as (z, x, y in units of the separations; radii), with their products."""
    # the core's radius stands behind the others
    used = tuple(n if m.radius is None else m.radius for m, n in zip((one, two), radii, strict=True))
    found = []
    for qa, da, at_a in one.points:
        for qb, db, at_b in two.points:
            parts = [[0.0] * sum(columns) for _ in range(3)]
            for axis in range(3):
                if at_a[axis]:
                    parts[axis][da] -= at_a[axis]
                if at_b[axis]:
                    parts[axis][columns[0] + db] += at_b[axis]
            *xy, z = ([round(v, 12) for v in part] for part in parts)
            # only the squares of the perpendicular parts count, so sign and order of x and y are free
            x, y = sorted(max(p, [-v for v in p]) for p in xy)
            found.append(((tuple(z), tuple(x), tuple(y), (used[0], used[1])), qa * qb))
    return found
