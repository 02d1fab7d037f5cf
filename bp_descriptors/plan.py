"""A set of symmetry functions as the flat arrays that the compiled kernels read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from bp_descriptors.cutoffs import CUTOFF_KINDS
from bp_descriptors.specification import Function


class Plan(NamedTuple):
    """The functions as arrays. A channel is a centre with a neighbour, or with a couple of neighbours."""

    n_elements: int
    cut_kind: np.ndarray  # distinct cut-off functions: number, inner fraction, radius
    cut_inner: np.ndarray
    cut_radius: np.ndarray
    rad_kappa: np.ndarray  # distinct radial terms: cos(kappa r) or 0; eta; r_s; cut-off
    rad_eta: np.ndarray
    rad_shift: np.ndarray
    rad_cut: np.ndarray
    rad_start: np.ndarray  # [channels + 1] into the next three
    rad_term: np.ndarray
    rad_column: np.ndarray
    rad_weighted: np.ndarray
    pair_eta: np.ndarray  # distinct pair factors of the angular terms
    pair_shift: np.ndarray
    pair_cut: np.ndarray
    angle_zeta: np.ndarray  # distinct angular shapes
    angle_lambda: np.ndarray
    group_start: np.ndarray  # [channels + 1] into the next three: pair factor, whether r_ab has one too
    group_pair: np.ndarray
    group_narrow: np.ndarray
    term_start: np.ndarray  # [groups + 1] into the next three
    term_angle: np.ndarray
    term_column: np.ndarray
    term_weighted: np.ndarray
    reach: np.ndarray  # [channels] largest r_ab that matters
    radii: np.ndarray  # [2] largest radial and angular cut-off


def build_plan(functions: dict[str, list[Function]]) -> Plan:
    """The functions of every central element as the kernels' flat arrays."""
    everything = [f for fs in functions.values() for f in fs]
    angular = [f for f in everything if not f.is_radial]
    cutoffs = _distinct(f.cutoff for f in everything)
    radial = _distinct(_radial_key(f) for f in everything if f.is_radial)
    factors = _distinct(_factor_key(f) for f in angular)
    angles = sorted({(f.zeta, f.lambda_) for f in angular})
    rad_start, rad_term, rad_column, rad_weighted = _radial_rows(functions, radial).arrays()
    groups, terms, reach = _angular_rows(functions, factors, angles)
    group_start, group_pair, group_narrow = groups.arrays()
    term_start, term_angle, term_column, term_weighted = terms.arrays()
    largest = [
        max((f.cutoff.radius for f in everything if f.is_radial is k), default=0.0) for k in (True, False)
    ]
    return Plan(
        n_elements=len(functions),
        cut_kind=_integers(CUTOFF_KINDS.index(c.kind) + 1 for c in cutoffs),
        cut_inner=_floats(c.inner for c in cutoffs),
        cut_radius=_floats(c.radius for c in cutoffs),
        rad_kappa=_floats(kappa for _, _, _, kappa in radial),
        rad_eta=_floats(eta for _, eta, _, _ in radial),
        rad_shift=_floats(r_s for _, _, r_s, _ in radial),
        rad_cut=_integers(cutoffs.index(c) for c, _, _, _ in radial),
        rad_start=rad_start,
        rad_term=rad_term,
        rad_column=rad_column,
        rad_weighted=rad_weighted,
        pair_eta=_floats(eta for _, eta, _ in factors),
        pair_shift=_floats(r_s for _, _, r_s in factors),
        pair_cut=_integers(cutoffs.index(c) for c, _, _ in factors),
        angle_zeta=_floats(zeta for zeta, _ in angles),
        angle_lambda=_floats(lambda_ for _, lambda_ in angles),
        group_start=group_start,
        group_pair=group_pair,
        group_narrow=group_narrow,
        term_start=term_start,
        term_angle=term_angle,
        term_column=term_column,
        term_weighted=term_weighted,
        reach=_floats(reach),
        radii=_floats(largest),
    )


def _radial_rows(functions: dict[str, list[Function]], radial: list[Any]) -> _Rows:
    rows = _Rows(3)
    position = {key: k for k, key in enumerate(radial)}
    for own in functions.values():
        for symbol in functions:
            for column, f in enumerate(own):
                if f.is_radial and (f.is_weighted or f.neighbors == (symbol,)):
                    rows.add(position[_radial_key(f)], column, f.is_weighted)
            rows.close()
    return rows


def _angular_rows(
    functions: dict[str, list[Function]], factors: list[Any], angles: list[Any]
) -> tuple[_Rows, _Rows, list[float]]:
    """For every channel its groups of functions with one radial part, their terms, and the largest r_ab."""
    group_rows, term_rows, reach = _Rows(2), _Rows(3), []
    factor_of = {key: k for k, key in enumerate(factors)}
    angle_of = {key: k for k, key in enumerate(angles)}
    symbols = list(functions)
    for own in functions.values():
        for couple in ((low, high) for k, high in enumerate(symbols) for low in symbols[: k + 1]):
            groups: dict[tuple[int, bool], list[tuple[int, int, bool]]] = {}
            for column, f in enumerate(own):
                if not f.is_radial and (f.is_weighted or f.neighbors == couple):
                    term = (angle_of[f.zeta, f.lambda_], column, f.is_weighted)
                    groups.setdefault((factor_of[_factor_key(f)], f.is_narrow), []).append(term)
            for key, terms in groups.items():
                group_rows.add(*key)
                for term in terms:
                    term_rows.add(*term)
                term_rows.close()
            group_rows.close()
            radii = (factors[k][0].radius * (1.0 if narrow else 2.0) for k, narrow in groups)
            reach.append(max(radii, default=0.0))
    return group_rows, term_rows, reach


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _factor_key(f: Function) -> tuple[Any, float, float]:
    return f.cutoff, f.eta, f.r_s


def _radial_key(f: Function) -> tuple[Any, float, float, float]:
    eta, r_s = (0.0, 0.0) if f.kind in ("G1", "G3") else (f.eta, f.r_s)
    return f.cutoff, eta, r_s, f.kappa if f.kind == "G3" else 0.0


class _Rows:
    """Rows of integers in runs: ``arrays`` gives where each run starts, and the columns."""

    def __init__(self, n_columns: int) -> None:
        self.starts = [0]
        self.columns: list[list[int]] = [[] for _ in range(n_columns)]

    def add(self, *row: int) -> None:
        for column, value in zip(self.columns, row, strict=True):
            column.append(int(value))

    def close(self) -> None:
        self.starts.append(len(self.columns[0]))

    def arrays(self) -> list[np.ndarray]:
        return [np.array(c, dtype=np.int64) for c in (self.starts, *self.columns)]


def _floats(values: Iterable[float]) -> np.ndarray:
    return np.array(list(values), dtype=np.float64)


def _integers(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)
