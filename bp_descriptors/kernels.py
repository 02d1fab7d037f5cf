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
from bp_descriptors.vector_math import compiled, dot, factor_arrays

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
def radial_sums(plan: Plan, work: Work, mode: int, center: int, charge: np.ndarray, g: np.ndarray) -> None:
    """Radial functions of one centre: add to ``g`` (FORWARD, PUSH) or, weighted by ``g``, to work.along."""
    along = work.along
    for e in range(plan.n_elements):
        start, stop = work.block[e], work.block[e + 1]
        if start == stop:
            continue
        channel = center * plan.n_elements + e
        for t in range(plan.radial_start[channel], plan.radial_start[channel + 1]):
            column = plan.radial_terms[t, 1]
            weight = charge[e] if plan.radial_terms[t, 2] else 1.0
            value, slope = work.radial[0, plan.radial_terms[t, 0]], work.radial[1, plan.radial_terms[t, 0]]
            if mode == FORWARD:
                for k in range(start, stop):
                    g[column] += weight * value[k]
            elif mode == PULL:
                for k in range(start, stop):
                    along[k] += weight * g[column] * slope[k]
            else:
                g[column] += weight * dot(slope, along, start, stop)


@compiled()
def prepare_along(work: Work, mode: int, n: int, field: np.ndarray) -> None:
    """Zero dE/dr of the gathered pairs, or set it to the change of r under the displacements."""
    for k in range(n):
        work.along[k] = 0.0
        if mode == PUSH:
            for x in range(3):
                work.along[k] += field[work.row[k], x] * work.unit[x, k]


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
    largest = np.int64(1)
    for i in range(atoms[0], atoms[1]):
        largest = max(largest, first[i + 1] - first[i])
    work = new_work(plan, largest)
    everything = np.ones(max(plan.radial.shape[0], plan.parts.shape[0]), np.bool_)
    for i in range(atoms[0], atoms[1]):
        rows = (first[i], first[i + 1])
        n = gather(plan, work, rows, neighbor, vectors, plan.radii[0])
        if n > 0:
            prepare_along(work, mode, n, field)
            factor_arrays(plan.cutoffs, plan.radial, everything, work.r, n, work.cut, work.radial)
            radial_sums(plan, work, mode, element[i], charge, g[i])
            if mode == PULL:
                for k in range(n):
                    for x in range(3):
                        field[work.row[k], x] += work.along[k] * work.unit[x, k]
        n = gather(plan, work, rows, neighbor, vectors, plan.radii[1])
        if n > 1:
            factor_arrays(plan.cutoffs, plan.parts, everything, work.r, n, work.cut, work.pair)
            angular_sums(plan, work, mode, element[i], charge, field, g[i])


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
        return njit(nogil=True, cache=True, error_model="numpy")(run_atoms)
    except RuntimeError:  # numba's way to say that it finds no writable place for the cache
        return njit(nogil=True, error_model="numpy")(run_atoms)


def _digest() -> str:
    here = Path(__file__).parent
    names = ("plan.py", "vector_math.py", "triple_kernels.py", "kernels.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()


run_atoms = _entry(_digest())
