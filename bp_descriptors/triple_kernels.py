"""Compiled sums over the triples of one central atom, worked off in runs of up to ``RUN``, array by array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bp_descriptors.plan import Plan
from bp_descriptors.vector_math import compiled, dot, factor_arrays, power_arrays

RUN = 256  # triples worked on together
FORWARD, PULL, PUSH = 0, 1, 2  # G; Σ_f g_f ∂G_f/∂r_ij; Σ_ij ∂G/∂r_ij · t_ij


class Work(NamedTuple):
    """Space for one centre's neighbours and one run of triples; first axes of 2 hold value and slope."""

    row: np.ndarray  # [neighbours] row in the list of pairs
    block: np.ndarray  # [elements + 1] where each element's neighbours start
    r: np.ndarray  # [neighbours]
    unit: np.ndarray  # [3, neighbours]
    along: np.ndarray  # [neighbours] dE/dr of a pair, or a displacement's change of r
    cut: np.ndarray  # [2, neighbours]
    radial: np.ndarray  # [2, radial factors, neighbours]
    pair: np.ndarray  # [2, parts, neighbours]
    ab: np.ndarray  # [2, RUN] the two neighbours of a triple
    geometry: np.ndarray  # [2, RUN] cosine, r_ab
    cut_ab: np.ndarray  # [2, RUN]
    pair_ab: np.ndarray  # [2, parts, RUN]
    angle: np.ndarray  # [2, angular shapes, RUN]
    product: np.ndarray  # [2, parts, RUN] what the angular shapes and their slopes are multiplied with
    out: np.ndarray  # [4, RUN] dE/d(r_a, r_b, r_ab, cosine), or these four's change by a displacement
    segment: np.ndarray  # [2, RUN + 1] stretches of one channel in the run: first triple, channel
    weight: np.ndarray  # [RUN] product of the atomic numbers of a stretch


@compiled()
def new_work(plan: Plan, n: int) -> Work:
    """Space for up to ``n`` neighbours."""
    parts = plan.parts.shape[0]
    return Work(
        np.empty(n, np.int64),
        np.empty(plan.n_elements + 1, np.int64),
        np.empty(n),
        np.empty((3, n)),
        np.empty(n),
        np.empty((2, n)),
        np.empty((2, plan.radial.shape[0], n)),
        np.empty((2, parts, n)),
        np.empty((2, RUN), np.uint32),
        np.empty((2, RUN)),
        np.empty((2, RUN)),
        np.empty((2, parts, RUN)),
        np.empty((2, plan.angles.shape[0], RUN)),
        np.empty((2, parts, RUN)),
        np.empty((4, RUN)),
        np.empty((2, RUN + 1), np.int64),
        np.empty(RUN),
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
) -> None:
    """All angular functions of one centre, whose neighbours are gathered and their factors evaluated.

    FORWARD and PUSH add to ``g`` [features]; PULL adds to ``field`` [pairs, 3], the displacements in PUSH.
    """
    n_couples = plan.n_elements * (plan.n_elements + 1) // 2
    r, unit = work.r, work.unit
    n = segments = np.int64(0)  # a plain 0 would be a type of its own, and everything be compiled twice
    for high in range(plan.n_elements):
        for low in range(high + 1):
            channel = center * n_couples + high * (high + 1) // 2 + low
            if plan.group_start[channel] == plan.group_start[channel + 1]:
                continue
            reach, weight, begun = plan.reach[channel], charge[low] * charge[high], False
            for a in range(work.block[low], work.block[low + 1]):
                start = a + 1 if low == high else work.block[high]
                for b in range(start, work.block[high + 1]):
                    c = unit[0, a] * unit[0, b] + unit[1, a] * unit[1, b] + unit[2, a] * unit[2, b]
                    square = r[a] * r[a] + r[b] * r[b] - 2.0 * r[a] * r[b] * c
                    if square >= reach * reach:
                        continue
                    if not begun:
                        work.segment[0, segments], work.segment[1, segments] = n, channel
                        work.weight[segments] = weight
                        segments += 1
                        begun = True
                    work.ab[0, n], work.ab[1, n] = a, b
                    work.geometry[0, n], work.geometry[1, n] = c, np.sqrt(max(square, 1e-24))
                    n += 1
                    if n == RUN:
                        finish_run(plan, work, mode, n, segments, field, g)
                        n = segments = np.int64(0)
                        begun = False
    if n > 0:
        finish_run(plan, work, mode, n, segments, field, g)


@compiled()
def finish_run(plan: Plan, work: Work, mode: int, n: int, segments: int, field: np.ndarray, g: np.ndarray) -> None:
    """The angular functions of one run of ``n`` triples in so many stretches."""
    work.segment[0, segments] = n
    for s in range(plan.angles.shape[0]):
        power_arrays(plan.angles[s, 0], plan.angles[s, 1], work.geometry[0], n, work.angle[0, s], work.angle[1, s])
    factor_arrays(plan.cutoffs, plan.parts, plan.narrow, work.geometry[1], n, work.cut_ab, work.pair_ab)
    if mode == FORWARD:
        multiply_parts(work, n)
        add_segments(plan, work, segments, work.product[0], work.angle[0], g)
    elif mode == PULL:
        collect_segments(plan, work, segments, g)
        pull_parts(work, n)
        scatter_run(work, n, field)
    else:
        displace_run(work, n, field)
        push_parts(work, n)
        add_segments(plan, work, segments, work.product[0], work.angle[0], g)
        add_segments(plan, work, segments, work.product[1], work.angle[1], g)


@compiled()
def multiply_parts(work: Work, n: int) -> None:
    """product[0] = w_a w_b w_ab of every part."""
    a, b = work.ab[0], work.ab[1]
    for f in range(work.pair.shape[1]):
        w, w_ab, product = work.pair[0, f], work.pair_ab[0, f], work.product[0, f]
        for k in range(n):
            product[k] = w[a[k]] * w[b[k]] * w_ab[k]


@compiled()
def add_segments(plan: Plan, work: Work, segments: int, product: np.ndarray, angle: np.ndarray, g: np.ndarray) -> None:
    """g[column] += Σ_t product_t angle_t, stretch by stretch."""
    for s in range(segments):
        start, stop, channel = work.segment[0, s], work.segment[0, s + 1], work.segment[1, s]
        for group in range(plan.group_start[channel], plan.group_start[channel + 1]):
            radial = product[plan.group_part[group]]
            for t in range(plan.term_start[group], plan.term_start[group + 1]):
                factor = work.weight[s] if plan.terms[t, 2] else 1.0
                g[plan.terms[t, 1]] += factor * dot(radial, angle[plan.terms[t, 0]], start, stop)


@compiled()
def collect_segments(plan: Plan, work: Work, segments: int, g: np.ndarray) -> None:
    """product[0], product[1] = Σ_f g_f A_f(cos θ) of every part, and its slope."""
    n = work.segment[0, segments]
    work.product[:, :, :n] = 0.0
    for s in range(segments):
        start, stop, channel = work.segment[0, s], work.segment[0, s + 1], work.segment[1, s]
        for group in range(plan.group_start[channel], plan.group_start[channel + 1]):
            part = plan.group_part[group]
            shape, tilt = work.product[0, part], work.product[1, part]
            for t in range(plan.term_start[group], plan.term_start[group + 1]):
                factor = g[plan.terms[t, 1]] * (work.weight[s] if plan.terms[t, 2] else 1.0)
                value, slope = work.angle[0, plan.terms[t, 0]], work.angle[1, plan.terms[t, 0]]
                for k in range(start, stop):
                    shape[k] += factor * value[k]
                    tilt[k] += factor * slope[k]


@compiled()
def pull_parts(work: Work, n: int) -> None:
    """out = Σ over the parts of the derivatives with respect to r_a, r_b, r_ab and cos θ."""
    a, b = work.ab[0], work.ab[1]
    out_a, out_b, out_ab, out_cosine = work.out[0], work.out[1], work.out[2], work.out[3]
    work.out[:, :n] = 0.0
    for f in range(work.pair.shape[1]):
        w, dw, w_ab, dw_ab = work.pair[0, f], work.pair[1, f], work.pair_ab[0, f], work.pair_ab[1, f]
        shape, tilt = work.product[0, f], work.product[1, f]
        for k in range(n):
            both = w[a[k]] * w[b[k]]
            out_ab[k] += shape[k] * both * dw_ab[k]
            out_cosine[k] += tilt[k] * both * w_ab[k]
        for k in range(n):
            first = shape[k] * w_ab[k]
            out_a[k] += first * dw[a[k]] * w[b[k]]
            out_b[k] += first * w[a[k]] * dw[b[k]]


@compiled()
def push_parts(work: Work, n: int) -> None:
    """product[0] = change of w_a w_b w_ab under the changes in out, product[1] = w_a w_b w_ab times that of cos θ."""
    a, b, out = work.ab[0], work.ab[1], work.out
    for f in range(work.pair.shape[1]):
        w, dw, w_ab, dw_ab = work.pair[0, f], work.pair[1, f], work.pair_ab[0, f], work.pair_ab[1, f]
        change, radial = work.product[0, f], work.product[1, f]
        for k in range(n):
            both = w[a[k]] * w[b[k]]
            radial[k] = both * w_ab[k] * out[3, k]
            change[k] = both * dw_ab[k] * out[2, k]
        for k in range(n):
            change[k] += w_ab[k] * (dw[a[k]] * w[b[k]] * out[0, k] + w[a[k]] * dw[b[k]] * out[1, k])


@compiled()
def scatter_run(work: Work, n: int, gradient: np.ndarray) -> None:
    """Add the run's dE/d(r_a, r_b, r_ab, cos θ) to dE/dr_ij of the two pairs of each triple."""
    r, unit = work.r, work.unit
    for k in range(n):
        a, b = work.ab[0, k], work.ab[1, k]
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
        a, b = work.ab[0, k], work.ab[1, k]
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
