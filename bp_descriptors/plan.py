"""A set of symmetry functions as the flat arrays that the compiled kernels read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bp_descriptors.cutoffs import CUTOFF_KINDS, Cutoff
from bp_descriptors.specification import Function


class Plan(NamedTuple):
    """The functions as arrays. A channel is a centre with a neighbour, or with a couple of neighbours.

    A factor is a row (cut-off, eta, r_s, kappa): exp(−eta (r − r_s)²) cos(kappa r) f_c(r). A term is a row
    (radial factor or angular shape, column of G, whether weighted by atomic numbers).
    """

    n_elements: int
    cutoffs: np.ndarray  # [·, 3] distinct cut-off functions: number, inner fraction, radius
    radial: np.ndarray  # [·, 4] distinct factors of the radial functions
    radial_start: np.ndarray  # [channels + 1] into the radial terms
    radial_terms: np.ndarray
    parts: np.ndarray  # [·, 4] distinct factors of the angular functions, for r_a and r_b
    narrow: np.ndarray  # [parts] whether r_ab has the factor too
    angles: np.ndarray  # [·, 2] distinct angular shapes: zeta, lambda
    group_start: np.ndarray  # [channels + 1] into the next: groups of functions that share a part
    group_part: np.ndarray
    term_start: np.ndarray  # [groups + 1] into the angular terms
    terms: np.ndarray
    reach: np.ndarray  # [channels] largest r_ab that matters
    radii: np.ndarray  # [2] largest radial and angular cut-off


def build_plan(functions: dict[str, list[Function]]) -> Plan:
    """The functions of every central element as the kernels' flat arrays."""
    everything = [f for fs in functions.values() for f in fs]
    angular = [f for f in everything if not f.is_radial]
    cutoffs = _distinct(f.cutoff for f in everything)
    radial = _distinct(_radial_key(f) for f in everything if f.is_radial)
    parts = _distinct(_part_key(f) for f in angular)
    angles = sorted({(f.zeta, f.lambda_) for f in angular})
    radial_start, radial_terms = _radial_rows(functions, radial).arrays()
    groups, terms, reach = _angular_rows(functions, parts, angles)
    group_start, group_rows = groups.arrays()
    term_start, term_rows = terms.arrays()
    largest = [max((f.cutoff.radius for f in everything if f.is_radial is k), default=0.0) for k in (True, False)]
    return Plan(
        n_elements=len(functions),
        cutoffs=_table([(CUTOFF_KINDS.index(c.kind) + 1, c.inner, c.radius) for c in cutoffs], 3),
        radial=_table([(cutoffs.index(c), eta, r_s, kappa) for c, eta, r_s, kappa in radial], 4),
        radial_start=radial_start,
        radial_terms=radial_terms,
        parts=_table([(cutoffs.index(c), eta, r_s, 0.0) for c, eta, r_s, _ in parts], 4),
        narrow=np.array([narrow for _, _, _, narrow in parts], dtype=np.bool_),
        angles=_table(angles, 2),
        group_start=group_start,
        group_part=group_rows[:, 0].copy(),
        term_start=term_start,
        terms=term_rows,
        reach=np.array(reach),
        radii=np.array(largest),
    )


def _radial_rows(functions: dict[str, list[Function]], radial: list[Any]) -> _Rows:
    rows = _Rows(3)
    position = {key: k for k, key in enumerate(radial)}
    for own in functions.values():
        for symbol in functions:
            for column, f in enumerate(own):
                if f.is_radial and (f.is_summed or f.neighbors == (symbol,)):
                    rows.add(position[_radial_key(f)], column, f.is_weighted)
            rows.close()
    return rows


def _angular_rows(
    functions: dict[str, list[Function]], parts: list[Any], angles: list[Any]
) -> tuple[_Rows, _Rows, list[float]]:
    """For every channel its groups of functions with one radial part, their terms, and the largest r_ab."""
    group_rows, term_rows, reach = _Rows(1), _Rows(3), []
    part_of = {key: k for k, key in enumerate(parts)}
    angle_of = {key: k for k, key in enumerate(angles)}
    symbols = list(functions)
    for own in functions.values():
        for couple in ((low, high) for k, high in enumerate(symbols) for low in symbols[: k + 1]):
            groups: dict[int, list[tuple[int, int, bool]]] = {}
            for column, f in enumerate(own):
                if not f.is_radial and (f.is_summed or f.neighbors == couple):
                    term = (angle_of[f.zeta, f.lambda_], column, f.is_weighted)
                    groups.setdefault(part_of[_part_key(f)], []).append(term)
            for part, terms in groups.items():
                group_rows.add(part)
                for term in terms:
                    term_rows.add(*term)
                term_rows.close()
            group_rows.close()
            reach.append(max((parts[k][0].radius * (1.0 if parts[k][3] else 2.0) for k in groups), default=0.0))
    return group_rows, term_rows, reach


def _radial_key(f: Function) -> tuple[Cutoff, float, float, float]:
    eta, r_s = (0.0, 0.0) if f.kind in ("G1", "G3") else (f.eta, f.r_s)
    return f.cutoff, eta, r_s, f.kappa if f.kind == "G3" else 0.0


def _part_key(f: Function) -> tuple[Cutoff, float, float, bool]:
    return f.cutoff, f.eta, f.r_s, f.is_narrow


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _table(rows: Sequence[tuple[float, ...]], width: int) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, width)


class _Rows:
    """Rows of integers in runs: ``arrays`` gives where each run starts, and the rows."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.starts = [0]
        self.rows: list[tuple[int, ...]] = []

    def add(self, *row: int) -> None:
        self.rows.append(row)

    def close(self) -> None:
        self.starts.append(len(self.rows))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.starts, dtype=np.int64), np.array(self.rows, dtype=np.int64).reshape(-1, self.width)
