"""Compiled sums over the triples of one central atom, worked off in runs of up to ``RUN``, array by array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bp_descriptors.plan import Plan
from bp_descriptors.vector_math import compiled, cutoff_arrays, dot, gaussian_arrays, power_arrays

RUN = 256  # triples worked on together
FORWARD, PULL, PUSH = 0, 1, 2  # G; Σ_f g_f ∂G_f/∂r_ij; Σ_ij ∂G/∂r_ij · t_ij


class Work(NamedTuple):
    """Space for one centre's neighbours and one run of triples."""

    row: np.ndarray  # [neighbours] row in the list of pairs
    block: np.ndarray  # [elements + 1] where each element's neighbours start
    r: np.ndarray  # [neighbours]
    unit: np.ndarray  # [3, neighbours]
    along: np.ndarray  # [neighbours] dE/dr of a pair, or a displacement's change of r
    cut: np.ndarray  # [2, neighbours] cut-off function and slope
    pair: np.ndarray  # [2, pair factors, neighbours] value and slope
    a: np.ndarray  # [RUN] the two neighbours of a triple
    b: np.ndarray
    geometry: np.ndarray  # [2, RUN] cosine, r_ab
    angle: np.ndarray  # [2, angular shapes, RUN] value and slope
    cut_ab: np.ndarray  # [2, RUN]
    pair_ab: np.ndarray  # [2, RUN]
    out: np.ndarray  # [4, RUN] dE/d(r_a, r_b, r_ab, cosine), or these four's change by a displacement
    scratch: np.ndarray  # [4, RUN]


@compiled()
def new_work(plan: Plan, n: int) -> Work:
    """Space for up to ``n`` neighbours."""
    return Work(
        np.empty(n, np.int64),
        np.empty(plan.n_elements + 1, np.int64),
        np.empty(n),
        np.empty((3, n)),
        np.empty(n),
        np.empty((2, n)),
        np.empty((2, plan.pair_eta.shape[0], n)),
        np.empty(RUN, np.uint32),
        np.empty(RUN, np.uint32),
        np.empty((2, RUN)),
        np.empty((2, plan.angle_zeta.shape[0], RUN)),
        np.empty((2, RUN)),
        np.empty((2, RUN)),
        np.empty((4, RUN)),
        np.empty((4, RUN)),
    )


@compiled()
def angular_sums(
    plan: Plan,
    work: Work,
    mode: int,
    center: int,
    charge: np.ndarray,
    field: np.ndarray,
    g: np.ndarray,
    row: np.ndarray,
) -> None:
    """All angular functions of one centre; the neighbours are gathered."""
    n_couples = plan.n_elements * (plan.n_elements + 1) // 2
    r, unit = work.r, work.unit
    for high in range(plan.n_elements):
        for low in range(high + 1):
            channel = center * n_couples + high * (high + 1) // 2 + low
            if plan.group_start[channel] == plan.group_start[channel + 1]:
                continue
            weight, reach = charge[low] * charge[high], plan.reach[channel]
            n = 0
            for a in range(work.block[low], work.block[low + 1]):
                start = a + 1 if low == high else work.block[high]
                for b in range(start, work.block[high + 1]):
                    c = unit[0, a] * unit[0, b] + unit[1, a] * unit[1, b] + unit[2, a] * unit[2, b]
                    square = r[a] * r[a] + r[b] * r[b] - 2.0 * r[a] * r[b] * c
                    if square < reach * reach:
                        work.a[n], work.b[n] = a, b
                        work.geometry[0, n] = c
                        work.geometry[1, n] = np.sqrt(max(square, 1e-24))
                        n += 1
                        if n == RUN:
                            finish_run(plan, work, mode, channel, weight, n, field, g, row)
                            n = 0
            if n > 0:
                finish_run(plan, work, mode, channel, weight, n, field, g, row)


@compiled()
def triple_run(
    plan: Plan, work: Work, mode: int, channel: int, weight: float, n: int, g: np.ndarray, row: np.ndarray
) -> None:
    """The angular functions of one run of ``n`` triples of one channel."""
    cosine, r_ab = work.geometry[0], work.geometry[1]
    for s in range(plan.angle_zeta.shape[0]):
        power_arrays(plan.angle_zeta[s], plan.angle_lambda[s], cosine, n, work.angle[0, s], work.angle[1, s])
    if mode == PULL:
        work.out[:, :n] = 0.0
    last = -1
    for group in range(plan.group_start[channel], plan.group_start[channel + 1]):
        f = plan.group_pair[group]
        if plan.group_narrow[group]:
            c = plan.pair_cut[f]
            if c != last:
                cutoff_arrays(
                    plan.cut_kind[c],
                    plan.cut_inner[c],
                    plan.cut_radius[c],
                    r_ab,
                    n,
                    work.cut_ab[0],
                    work.cut_ab[1],
                )
                last = c
            gaussian_arrays(
                plan.pair_eta[f],
                plan.pair_shift[f],
                r_ab,
                work.cut_ab[0],
                work.cut_ab[1],
                n,
                work.pair_ab[0],
                work.pair_ab[1],
            )
        else:
            work.pair_ab[0, :n] = 1.0
            work.pair_ab[1, :n] = 0.0
        terms = (plan.term_start[group], plan.term_start[group + 1])
        if mode == FORWARD:
            forward_group(plan, work, f, terms, weight, n, row)
        elif mode == PULL:
            pull_group(plan, work, f, terms, weight, n, g)
        else:
            push_group(plan, work, f, terms, weight, n, row)


@compiled()
def forward_group(
    plan: Plan, work: Work, f: int, terms: tuple[int, int], weight: float, n: int, row: np.ndarray
) -> None:
    """row[column] += Σ_t w_a w_b w_ab A(cos θ)."""
    radial, w, w_ab, a, b = work.scratch[0], work.pair[0, f], work.pair_ab[0], work.a, work.b
    for k in range(n):
        radial[k] = w[a[k]] * w[b[k]] * w_ab[k]
    for t in range(terms[0], terms[1]):
        factor = weight if plan.term_weighted[t] else 1.0
        row[plan.term_column[t]] += factor * dot(radial, work.angle[0, plan.term_angle[t]], n)


@compiled()
def pull_group(
    plan: Plan, work: Work, f: int, terms: tuple[int, int], weight: float, n: int, g: np.ndarray
) -> None:
    """work.out += Σ_f g_f ∂G_f / ∂(r_a, r_b, r_ab, cos θ)."""
    shape, tilt = work.scratch[0], work.scratch[1]
    shape[:n] = 0.0
    tilt[:n] = 0.0
    for t in range(terms[0], terms[1]):
        factor = g[plan.term_column[t]] * (weight if plan.term_weighted[t] else 1.0)
        value, slope = work.angle[0, plan.term_angle[t]], work.angle[1, plan.term_angle[t]]
        for k in range(n):
            shape[k] += factor * value[k]
            tilt[k] += factor * slope[k]
    w, dw, w_ab, dw_ab = work.pair[0, f], work.pair[1, f], work.pair_ab[0], work.pair_ab[1]
    a, b = work.a, work.b
    out_a, out_b, out_ab, out_cosine = work.out[0], work.out[1], work.out[2], work.out[3]
    both, first = work.scratch[2], work.scratch[3]
    for k in range(n):
        both[k] = w[a[k]] * w[b[k]]
        out_ab[k] += shape[k] * both[k] * dw_ab[k]
        out_cosine[k] += tilt[k] * both[k] * w_ab[k]
    for k in range(n):
        first[k] = shape[k] * w_ab[k]
        out_a[k] += first[k] * dw[a[k]] * w[b[k]]
        out_b[k] += first[k] * w[a[k]] * dw[b[k]]


@compiled()
def push_group(
    plan: Plan, work: Work, f: int, terms: tuple[int, int], weight: float, n: int, row: np.ndarray
) -> None:
    """row[column] += Σ_t ∂(w_a w_b w_ab A) · work.out, the changes of r_a, r_b, r_ab and cos θ."""
    w, dw, w_ab, dw_ab = work.pair[0, f], work.pair[1, f], work.pair_ab[0], work.pair_ab[1]
    a, b, out = work.a, work.b, work.out
    radial, change = work.scratch[0], work.scratch[1]
    for k in range(n):
        both = w[a[k]] * w[b[k]]
        radial[k] = both * w_ab[k] * out[3, k]
        change[k] = both * dw_ab[k] * out[2, k]
    for k in range(n):
        change[k] += w_ab[k] * (dw[a[k]] * w[b[k]] * out[0, k] + w[a[k]] * dw[b[k]] * out[1, k])
    for t in range(terms[0], terms[1]):
        factor = weight if plan.term_weighted[t] else 1.0
        s = plan.term_angle[t]
        row[plan.term_column[t]] += factor * (
            dot(change, work.angle[0, s], n) + dot(radial, work.angle[1, s], n)
        )


@compiled()
def scatter_run(work: Work, n: int, gradient: np.ndarray) -> None:
    """Add the run's dE/d(r_a, r_b, r_ab, cos θ) to dE/dr_ij of the two pairs of each triple."""
    r, unit = work.r, work.unit
    for k in range(n):
        a, b = work.a[k], work.b[k]
        d_a, d_b, tilt = work.out[0, k], work.out[1, k], work.out[3, k]
        cosine = work.geometry[0, k]
        across = work.out[2, k] / work.geometry[1, k]
        # r_ab u_ab = r_b u_b − r_a u_a, and d cos θ / d r_a = (u_b − cos θ u_a) / r_a
        aa = d_a - tilt * cosine / r[a] + across * r[a]
        ab = tilt / r[a] - across * r[b]
        bb = d_b - tilt * cosine / r[b] + across * r[b]
        ba = tilt / r[b] - across * r[a]
        p, q = work.row[a], work.row[b]
        for x in range(3):
            gradient[p, x] += aa * unit[x, a] + ab * unit[x, b]
            gradient[q, x] += bb * unit[x, b] + ba * unit[x, a]


@compiled()
def displace_run(work: Work, n: int, tangent: np.ndarray) -> None:
    """Changes of r_a, r_b, r_ab and cos θ of a run of triples under displacements ``tangent`` [pairs, 3]."""
    r, unit = work.r, work.unit
    for k in range(n):
        a, b = work.a[k], work.b[k]
        p, q = work.row[a], work.row[b]
        aa = ab = ba = bb = 0.0
        for x in range(3):
            aa += unit[x, a] * tangent[p, x]
            ab += unit[x, b] * tangent[p, x]
            ba += unit[x, a] * tangent[q, x]
            bb += unit[x, b] * tangent[q, x]
        cosine = work.geometry[0, k]
        work.out[0, k], work.out[1, k] = aa, bb
        work.out[2, k] = (r[b] * (bb - ab) - r[a] * (ba - aa)) / work.geometry[1, k]
        work.out[3, k] = (ab - cosine * aa) / r[a] + (ba - cosine * bb) / r[b]


@compiled()
def finish_run(
    plan: Plan,
    work: Work,
    mode: int,
    channel: int,
    weight: float,
    n: int,
    field: np.ndarray,
    g: np.ndarray,
    row: np.ndarray,
) -> None:
    """One full run of triples in the given mode; ``field`` is dE/dr_ij to add to, or the displacements."""
    if mode == PUSH:
        displace_run(work, n, field)
    triple_run(plan, work, mode, channel, weight, n, g, row)
    if mode == PULL:
        scatter_run(work, n, field)
