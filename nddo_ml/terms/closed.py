"""Energy terms of small molecules with their gradients in closed form: a graph of torch costs more than these sums.

The definitions are those of the terms' classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nddo_ml.elements import HYDROGEN
from nddo_ml.systems import Systems
from nddo_ml.terms.dispersion import DispersionD3, reference_of
from nddo_ml.terms.hydrogen_bonds import SOFT_RANGE, SoftHydrogenRepulsion
from nddo_ml.units import BOHR_ANGSTROM, EV_KCAL_MOL, HARTREE_EV

_MOST_ATOMS = 150  # of a molecule
_STEEPNESS = 16.0  # of D3's coordination numbers
_WIDTH = 4.0  # of the weights of its references


@dataclass(frozen=True)
class _Pairs:
    """Pairs of atoms of the same system."""

    a: np.ndarray  # [pairs]
    b: np.ndarray
    system: np.ndarray

    @classmethod
    def of(cls, systems: Systems, chosen: np.ndarray) -> _Pairs | None:
        """Of the atoms ``chosen`` [k], ordered by system; None for large molecules."""
        idx = systems.system_idx.numpy()[chosen]
        chosen, idx = chosen[np.argsort(idx, kind="stable")], np.sort(idx)
        counts = np.bincount(idx, minlength=systems.n_systems)
        if counts.max() > _MOST_ATOMS:
            return None
        first = np.cumsum(counts) - counts
        ones = [np.stack(np.triu_indices(n, k=1)) + at for n, at in zip(counts, first, strict=True)]
        a, b = np.concatenate(ones, axis=1)
        return cls(chosen[a], chosen[b], idx[a])

    def distances(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors from a to b and distances at positions x [atoms, 3]."""
        v = x[self.b] - x[self.a]
        r = np.sqrt(np.square(v).sum(axis=1))
        return v / r[:, None], r

    def summed(self, systems: Systems, unit: np.ndarray, value: np.ndarray, slope: np.ndarray) -> tuple[Tensor, Tensor]:
        """Energies [systems] and gradient [atoms, 3] of values of the pairs and their slopes."""
        n, v = systems.n_atoms, slope[:, None] * unit
        sums = [np.bincount(self.b, v[:, k], n) - np.bincount(self.a, v[:, k], n) for k in range(3)]
        energy = np.bincount(self.system, value, systems.n_systems)
        return torch.from_numpy(energy), torch.from_numpy(np.stack(sums, axis=1))


def soft_hydrogen_repulsion(term: SoftHydrogenRepulsion, systems: Systems) -> tuple[Tensor, Tensor] | None:
    """See SoftHydrogenRepulsion."""
    pairs = systems.kept(
        (SoftHydrogenRepulsion, "pairs"),
        lambda: _Pairs.of(systems, np.flatnonzero(systems.numbers.numpy() == HYDROGEN)),
    )
    if pairs is None:
        return None
    unit, r = pairs.distances(systems.positions.detach().numpy())
    s = 1 / (1 + np.exp(np.minimum(-term.steepness * (1 - r / term.center), 700.0)))
    value = term.height / EV_KCAL_MOL * s * (r < SOFT_RANGE)
    return pairs.summed(systems, unit, value, -value * (1 - s) * term.steepness / term.center)


def _of_hydrogens(systems: Systems) -> _Pairs | None:
    return _Pairs.of(systems, np.flatnonzero(systems.numbers.numpy() == HYDROGEN))


@dataclass(frozen=True)
class _Dispersion:
    """D3's tables for the pairs of a batch, in bohr and hartree."""

    pairs: _Pairs
    covalent: np.ndarray  # [pairs] sums of radii
    vdw: np.ndarray  # [pairs] R0
    ratio: np.ndarray  # [pairs] 3 r4/r2 of both
    c6: np.ndarray  # [pairs, references, references]
    coordination: np.ndarray  # [atoms, references], −1 where there is none

    @classmethod
    def of(cls, systems: Systems) -> _Dispersion | None:
        pairs = _Pairs.of(systems, np.arange(systems.n_atoms))
        if pairs is None:
            return None
        covalent, vdw, r4r2, c6, coordination = _tables()
        z = systems.numbers.numpy()
        a, b = z[pairs.a], z[pairs.b]
        return cls(pairs, covalent[a] + covalent[b], vdw[a, b], 3 * r4r2[a] * r4r2[b], c6[a, b], coordination[z])


@cache
def _tables() -> tuple[np.ndarray, ...]:
    import tad_dftd3 as d3  # takes a moment, which the commands that do not need it should not spend
    from tad_mctc.data import radii

    reference = reference_of(torch.float64, torch.device("cpu"))
    tables = (radii.COV_D3(dtype=torch.float64), radii.VDW_PAIRWISE(dtype=torch.float64))
    ratio = d3.data.R4R2(dtype=torch.float64)
    return tuple(t.numpy() for t in (*tables, ratio, reference.c6, reference.cn))


def dispersion(term: DispersionD3, systems: Systems) -> tuple[Tensor, Tensor] | None:
    """See DispersionD3."""
    term.check(systems)
    d = systems.kept((DispersionD3, "tables"), lambda: _Dispersion.of(systems))
    if d is None:
        return None
    p, n = d.pairs, systems.n_atoms
    unit, r = p.distances(systems.positions.detach().numpy() / BOHR_ANGSTROM)
    count = 1 / (1 + np.exp(-_STEEPNESS * (d.covalent / r - 1)))
    count_slope = -count * (1 - count) * _STEEPNESS * d.covalent / np.square(r)
    coordination = np.bincount(p.a, count, n) + np.bincount(p.b, count, n)
    weight, weight_slope = _weights(d.coordination, coordination)
    one, two = weight[p.a], weight[p.b]
    right = np.einsum("prs,ps->pr", d.c6, two)
    left = np.einsum("pr,prs->ps", one, d.c6)
    c6 = (one * right).sum(axis=1)
    damped, damped_slope = _damped(r, 6, term.s_r6 * d.vdw, term.alpha)
    factor, factor_slope = term.s6 * damped, term.s6 * damped_slope
    if term.s8 != 0:
        damped, damped_slope = _damped(r, 8, term.s_r8 * d.vdw, term.alpha + 2)
        factor, factor_slope = factor + term.s8 * d.ratio * damped, factor_slope + term.s8 * d.ratio * damped_slope
    by_coordination = np.bincount(p.a, factor * (weight_slope[p.a] * right).sum(axis=1), n)
    by_coordination += np.bincount(p.b, factor * (weight_slope[p.b] * left).sum(axis=1), n)
    slope = c6 * factor_slope + (by_coordination[p.a] + by_coordination[p.b]) * count_slope
    return p.summed(systems, unit, -HARTREE_EV * c6 * factor, -HARTREE_EV / BOHR_ANGSTROM * slope)


def _weights(reference: np.ndarray, coordination: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the references [atoms, references] and their slopes by the coordination number."""
    there = reference >= 0
    distance = reference - coordination[:, None]
    g = np.exp(-_WIDTH * np.square(distance)) * there
    total = g.sum(axis=1, keepdims=True)
    lost = total == 0  # beyond all references: the one of most neighbours
    safe = np.where(lost, 1.0, total)
    slope = 2 * _WIDTH * distance * g
    weight = np.where(lost, reference == reference.max(axis=1, keepdims=True), g / safe)
    return weight * there, np.where(lost, 0.0, (slope - g / safe * slope.sum(axis=1, keepdims=True)) / safe)


def _damped(r: np.ndarray, power: int, radius: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """``1 / R^n / [1 + 6 (radius / R)^α]`` and its slope."""
    wall = 6 * (radius / r) ** alpha
    value = 1 / (r**power * (1 + wall))
    return value, value * (alpha * wall / (1 + wall) - power) / r


CLOSED: Mapping[type, Callable[[Any, Systems], tuple[Tensor, Tensor] | None]] = {
    DispersionD3: dispersion,
    SoftHydrogenRepulsion: soft_hydrogen_repulsion,
}
