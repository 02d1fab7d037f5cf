"""Compiled two-electron part of the Fock matrix on a CPU: the sums of FockBuilder.two_electron, pair by pair.

Imported on first use only, since loading the compiler takes longer than a small molecule. One kernel is made for every
pair of block widths, so that its loops have known lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numba import njit

from nddo_ml.integrals.packing import packed_index, packed_pairs

_compiled = partial(njit, cache=True, nogil=True, fastmath=True, boundscheck=False)


@cache
def one_center_kernel(width: int) -> Callable[..., None]:
    """Kernel ``(w, system, first, density, g, charge)`` for single atoms of a block width.

    Adds −K of the integrals w [n, products, products] to g [systems, spin, M, M] and writes the packed total charges
    [n, products], in which off-diagonal products count twice.
    """
    rows = np.array(packed_pairs(width))
    products = len(rows)

    @_compiled()
    def kernel(
        w: np.ndarray, system: np.ndarray, first: np.ndarray, density: np.ndarray, g: np.ndarray, charge: np.ndarray
    ) -> None:
        spins = density.shape[1]
        scale = 2.0 if spins == 1 else 1.0
        for a in range(w.shape[0]):
            k, r = system[a], first[a]
            for i in range(products):
                m, v = r + rows[i, 0], r + rows[i, 1]
                total = 0.0
                for spin in range(spins):
                    total += density[k, spin, m, v]
                charge[a, i] = scale * total * (2.0 if m != v else 1.0)
                for j in range(products):
                    x = w[a, i, j]
                    if x == 0.0:
                        continue
                    l, s = r + rows[j, 0], r + rows[j, 1]
                    for spin in range(spins):
                        g[k, spin, m, l] -= x * density[k, spin, v, s]
                        if l != s:
                            g[k, spin, m, s] -= x * density[k, spin, v, l]
                        if m != v:
                            g[k, spin, v, l] -= x * density[k, spin, m, s]
                            if l != s:
                                g[k, spin, v, s] -= x * density[k, spin, m, l]

    return kernel


@cache
def two_center_kernel(width_a: int, width_b: int) -> Callable[..., None]:
    """Kernel ``(w, system, first_a, first_b, a, b, charge_a, charge_b, potential_a, potential_b, density, g)``.

    Adds −K of the integrals w [n, products_a, products_b] of pairs of atoms to g and the packed Coulomb potentials to
    potential_a and potential_b [atoms of the width, products]; ``a`` and ``b`` are positions among those atoms.
    """
    products_a, products_b = width_a * (width_a + 1) // 2, width_b * (width_b + 1) // 2
    index_a, index_b = packed_index(width_a).numpy(), packed_index(width_b).numpy()

    @_compiled()
    def kernel(
        w: np.ndarray,
        system: np.ndarray,
        first_a: np.ndarray,
        first_b: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        charge_a: np.ndarray,
        charge_b: np.ndarray,
        potential_a: np.ndarray,
        potential_b: np.ndarray,
        density: np.ndarray,
        g: np.ndarray,
    ) -> None:
        square = np.empty((products_a, width_b, width_b))
        block = np.empty((width_a, width_b))
        exchange = np.empty((width_a, width_b))
        for t in range(w.shape[0]):
            k, ra, rb, at, bt = system[t], first_a[t], first_b[t], a[t], b[t]
            for i in range(products_a):
                total = 0.0
                q = charge_a[at, i]
                for j in range(products_b):
                    total += w[t, i, j] * charge_b[bt, j]
                    potential_b[bt, j] += w[t, i, j] * q
                potential_a[at, i] += total
                for s in range(width_b):
                    for l in range(width_b):
                        square[i, s, l] = w[t, i, index_b[s, l]]
            for spin in range(density.shape[1]):
                for m in range(width_a):
                    for l in range(width_b):
                        block[m, l] = density[k, spin, ra + m, rb + l]
                        exchange[m, l] = 0.0
                for m in range(width_a):
                    for v in range(width_a):
                        i = index_a[m, v]
                        for s in range(width_b):
                            p = block[v, s]
                            for l in range(width_b):
                                exchange[m, l] += p * square[i, s, l]
                for m in range(width_a):
                    for l in range(width_b):
                        g[k, spin, ra + m, rb + l] -= exchange[m, l]
                        g[k, spin, rb + l, ra + m] -= exchange[m, l]

    return kernel


@cache
def coulomb_kernel(width: int) -> Callable[..., None]:
    """Kernel ``(w, charge, potential, system, first, g)``: add the Coulomb part of the diagonal blocks to g.

    That is the potential [n, products] of the other atoms and that of the atom's own charge by w.
    """
    rows = np.array(packed_pairs(width))
    products = len(rows)

    @_compiled()
    def kernel(
        w: np.ndarray, charge: np.ndarray, potential: np.ndarray, system: np.ndarray, first: np.ndarray, g: np.ndarray
    ) -> None:
        for a in range(w.shape[0]):
            k, r = system[a], first[a]
            for i in range(products):
                value = potential[a, i]
                for j in range(products):
                    value += w[a, i, j] * charge[a, j]
                m, v = r + rows[i, 0], r + rows[i, 1]
                for spin in range(g.shape[1]):
                    g[k, spin, m, v] += value
                    if m != v:
                        g[k, spin, v, m] += value

    return kernel
