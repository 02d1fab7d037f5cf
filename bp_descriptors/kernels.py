"""Compiled sums over a run of atoms: G, its contraction with dE/dG, and its change by a displacement.

One central atom at a time: its neighbours are gathered by element, the factors of single pairs are
evaluated once, and pairs and triples are worked off array by array, so that the compiler vectorises every
loop. Nothing larger than one atom's environment is stored. The definition is
:meth:`SymmetryFunctions.definition`; these kernels equal it and are tested so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import njit

from bp_descriptors.plan import Plan
from bp_descriptors.triple_kernels import FORWARD, PULL, PUSH, Work, angular_sums, new_work
from bp_descriptors.vector_math import compiled, cutoff_arrays, dot, gaussian_arrays

__all__ = ["FORWARD", "PULL", "PUSH", "run_atoms"]


@compiled()
def gather(
    plan: Plan, work: Work, rows: tuple[int, int], neighbor: np.ndarray, vectors: np.ndarray, radius: float
) -> int:
    """Collect the neighbours nearer than ``radius``, ordered by element; returns how many."""
    n = 0
    for e in range(plan.n_elements):
        work.block[e] = n
        for p in range(rows[0], rows[1]):
            if neighbor[p] == e:
                x, y, z = vectors[p, 0], vectors[p, 1], vectors[p, 2]
                d = np.sqrt(x * x + y * y + z * z)
                if 0.0 < d < radius:
                    work.row[n] = p
                    work.r[n] = d
                    work.unit[0, n], work.unit[1, n], work.unit[2, n] = x / d, y / d, z / d
                    n += 1
    work.block[plan.n_elements] = n
    return n


@compiled()
def radial_sums(
    plan: Plan, work: Work, mode: int, center: int, charge: np.ndarray, g: np.ndarray, row: np.ndarray
) -> None:
    """Radial functions of one centre: add to ``row`` (FORWARD, PUSH) or, weighted by ``g``, to work.along."""
    value, slope = np.empty(work.r.shape[0]), np.empty(work.r.shape[0])
    for e in range(plan.n_elements):
        first, n = work.block[e], work.block[e + 1] - work.block[e]
        channel = center * plan.n_elements + e
        if n == 0:
            continue
        r, along = work.r[first : first + n], work.along[first : first + n]
        last = -1
        for t in range(plan.rad_start[channel], plan.rad_start[channel + 1]):
            term, column = plan.rad_term[t], plan.rad_column[t]
            c = plan.rad_cut[term]
            if c != last:
                cutoff_arrays(
                    plan.cut_kind[c], plan.cut_inner[c], plan.cut_radius[c], r, n, work.cut[0], work.cut[1]
                )
                last = c
            kappa = plan.rad_kappa[term]
            gaussian_arrays(
                plan.rad_eta[term], plan.rad_shift[term], r, work.cut[0], work.cut[1], n, value, slope
            )
            if kappa != 0.0:
                for k in range(n):
                    cosine, sine = np.cos(kappa * r[k]), np.sin(kappa * r[k])
                    slope[k] = cosine * slope[k] - kappa * sine * value[k]
                    value[k] *= cosine
            weight = charge[e] if plan.rad_weighted[t] else 1.0
            if mode == FORWARD:
                for k in range(n):
                    row[column] += weight * value[k]
            elif mode == PULL:
                for k in range(n):
                    along[k] += weight * g[column] * slope[k]
            else:
                row[column] += weight * dot(slope, along, n)


@compiled()
def work_off(
    plan: Plan,
    mode: int,
    atoms: tuple[int, int],
    element: np.ndarray,
    charge: np.ndarray,
    first: np.ndarray,
    neighbor: np.ndarray,
    vectors: np.ndarray,
    field: np.ndarray,
    g: np.ndarray,
) -> None:
    """Work off the atoms from ``atoms[0]`` to ``atoms[1]``; they write to nothing that other atoms touch.

    FORWARD fills ``g`` [atoms, features]; PULL adds Σ_f g_f ∂G_f/∂r_ij to ``field`` [pairs, 3]; PUSH fills
    ``g`` with Σ ∂G/∂r_ij · field. ``first`` [atoms + 1] are rows of the pairs, sorted by centre;
    ``neighbor`` [pairs] is the element of each neighbour, ``charge`` [elements] the atomic numbers.
    """
    largest = 1
    for i in range(atoms[0], atoms[1]):
        largest = max(largest, first[i + 1] - first[i])
    work = new_work(plan, largest)
    for i in range(atoms[0], atoms[1]):
        rows = (first[i], first[i + 1])
        n = gather(plan, work, rows, neighbor, vectors, plan.radii[0])
        if n > 0:
            prepare_along(work, mode, n, field)
            radial_sums(plan, work, mode, element[i], charge, g[i], g[i])
            if mode == PULL:
                for k in range(n):
                    for x in range(3):
                        field[work.row[k], x] += work.along[k] * work.unit[x, k]
        n = gather(plan, work, rows, neighbor, vectors, plan.radii[1])
        if n > 1:
            for f in range(plan.pair_eta.shape[0]):
                c = plan.pair_cut[f]
                cutoff_arrays(
                    plan.cut_kind[c],
                    plan.cut_inner[c],
                    plan.cut_radius[c],
                    work.r,
                    n,
                    work.cut[0],
                    work.cut[1],
                )
                gaussian_arrays(
                    plan.pair_eta[f],
                    plan.pair_shift[f],
                    work.r,
                    work.cut[0],
                    work.cut[1],
                    n,
                    work.pair[0, f],
                    work.pair[1, f],
                )
            angular_sums(plan, work, mode, element[i], charge, field, g[i], g[i])


@compiled()
def prepare_along(work: Work, mode: int, n: int, field: np.ndarray) -> None:
    """Zero dE/dr of the gathered pairs, or set it to the change of r under the displacements."""
    for k in range(n):
        work.along[k] = 0.0
        if mode == PUSH:
            for x in range(3):
                work.along[k] += field[work.row[k], x] * work.unit[x, k]


def _entry(digest: str) -> Callable[..., None]:
    """:func:`work_off` compiled once and kept on disk, where a cache directory can be written.

    numba's cache knows the file of the function alone, not those of the functions it calls. As ``digest``
    is a variable of the closure it is part of the cache's key, and a change in any kernel compiles anew.
    """

    def run_atoms(
        plan: Plan,
        mode: int,
        atoms: tuple[int, int],
        element: np.ndarray,
        charge: np.ndarray,
        first: np.ndarray,
        neighbor: np.ndarray,
        vectors: np.ndarray,
        field: np.ndarray,
        g: np.ndarray,
    ) -> None:
        if digest != "":
            work_off(plan, mode, atoms, element, charge, first, neighbor, vectors, field, g)

    try:
        return njit(nogil=True, cache=True)(run_atoms)
    except RuntimeError:  # numba's way to say that it finds no writable place for the cache
        return njit(nogil=True)(run_atoms)


def _digest() -> str:
    here = Path(__file__).parent
    names = ("plan.py", "vector_math.py", "triple_kernels.py", "kernels.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()


run_atoms = _entry(_digest())
