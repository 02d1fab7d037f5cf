"""Changes of two-centre integrals: the way to point charges, shifted averages of integrals with d orbitals."""

from __future__ import annotations

import pytest
import torch

from nddo_ml.integrals.limits import averaged_d, integral_weight, toward_point_charges
from nddo_ml.integrals.packing import packed_index
from nddo_ml.methods.published import PointChargeLimit
from nddo_ml.methods.tables import load_method

S, P, D = [0], [1, 2, 3], [4, 5, 6, 7, 8]
CORE = -1


def random_blocks(widths: tuple[int, int], pairs: int = 2) -> torch.Tensor:
    rows, columns = (width * (width + 1) // 2 + 1 for width in widths)
    generator = torch.Generator().manual_seed(5)
    return torch.randn(pairs, rows, columns, dtype=torch.float64, generator=generator)


def squares(width: int, orbitals: list[int]) -> list[int]:
    """Places of products of orbitals with themselves."""
    return [int(packed_index(width)[k, k]) for k in orbitals]


def test_way_to_point_charges() -> None:
    """1 − exp(−0.22 (R/Å − 7)²): PM7's, Stewart, J. Mol. Model. 19, 1 (2013); worked out by hand at 5 and 6.5 Å."""
    limit = load_method("PM7").info.point_charges
    assert limit == PointChargeLimit(7.0, 0.22)
    r = torch.tensor([5.0, 6.5, 7.0, 9.0], dtype=torch.float64, requires_grad=True)
    w = integral_weight(r, limit)
    (slope,) = torch.autograd.grad(w.sum(), r)
    assert w.tolist() == pytest.approx([0.5852170888, 0.0535148522, 0, 0], abs=1e-9)
    assert slope.tolist() == pytest.approx([-0.3650089618, -0.2082267325, 0, 0], abs=1e-9)
    blocks, point = random_blocks((4, 1), pairs=4), torch.tensor([2.0, 3.0, 5.0, 7.0], dtype=torch.float64)
    made = toward_point_charges(blocks, r.detach(), point, limit, (4, 1))
    assert float(made[0, 0, 0]) == pytest.approx(0.5852170888 * float(blocks[0, 0, 0]) + 0.4147829112 * 2)
    assert made[2, :, 0].tolist() == [5.0 if k in (*squares(4, [0, 1, 2, 3]), 10) else 0.0 for k in range(11)]


@pytest.mark.parametrize("widths", [(9, 9), (9, 4), (4, 9), (9, 1)])
def test_means_of_integrals_with_d_orbitals(widths: tuple[int, int]) -> None:
    """Every group has the mean of (ss|ss), its members keep their differences, and nothing else changes."""
    both = torch.ones(2, dtype=torch.bool)
    before = random_blocks(widths)
    after = averaged_d(before, widths, both & (widths[0] == 9), both & (widths[1] == 9))
    kept = torch.ones_like(before[0], dtype=torch.bool)
    for turned in (False, True):
        (one, two), old, new = widths, before, after
        if turned:
            (two, one), old, new = widths, before.transpose(1, 2), after.transpose(1, 2)
        if one < 9:
            continue
        groups = [(squares(one, D), squares(two, S), 0), (squares(one, D), [CORE], CORE)]
        if two > 1:
            groups += [(squares(one, D), squares(two, P), 0), (squares(one, P), [CORE], CORE)]
        if two == 9 and not turned:
            groups.append((squares(one, D), squares(two, D), 0))
        for rows, columns, target in groups:
            place = torch.tensor(rows)[:, None], torch.tensor(columns)
            found, was = (block[(slice(None), *place)].flatten(1) for block in (new, old))
            torch.testing.assert_close(found.sum(1) / found.shape[1], old[:, 0, target])
            torch.testing.assert_close(found - found[:, :1], was - was[:, :1])
            (kept.T if turned else kept)[place] = False
    assert torch.equal(after[:, kept], before[:, kept])
    off = averaged_d(before, widths, ~both, ~both)
    assert torch.equal(off, before)
