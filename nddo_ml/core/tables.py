"""The tables that the compiled core reads, made from those of the torch code: one definition for both."""

from __future__ import annotations

import ctypes
from threading import Lock

import numpy as np

from nddo_ml.core.library import N_SHELLS, Generator, OneCenter, OverlapTable, PairTable, Tables
from nddo_ml.core.parameters import CORE_RADIUS_COLUMN, RADIUS_COLUMN, ParameterTable
from nddo_ml.energy.core_repulsion import AM1_BORON_GAUSSIANS
from nddo_ml.integrals import one_center, overlap, rotate, two_center
from nddo_ml.integrals.angular import SHELL, product_multipoles
from nddo_ml.integrals.packing import packed_index, packed_pairs
from nddo_ml.methods.parameters import MAX_Z, RADII, SEPARATIONS
from nddo_ml.units import Constants

_SHELLS = (range(1), range(1, 4), range(4, 9))
_WIDTHS = (1, 4, 9)
_POWERS = 16


def shell_order(width: int) -> list[tuple[int, int]]:
    """Products of orbitals as the core orders them: ss, sp, pp, sd, pd, dd."""
    shells = [s for s in _SHELLS if s.start < width]
    return [
        (i, k)
        for n, one in enumerate(shells)
        for two in shells[: n + 1]
        for i in one
        for k in two
        if one != two or k <= i
    ]


def _permutation(width: int) -> np.ndarray:
    """Positions in packed order of the products in the core's order."""
    index = packed_index(width).numpy()
    return np.array([index[pair] for pair in shell_order(width)])


class CoreTables:
    """The tables of one set of constants, filled as widths of atoms and quantum numbers occur.

    It owns what the core reads through ``structure``, and must outlive that.
    """

    def __init__(self, constants: Constants) -> None:
        self.structure = Tables()
        self._arrays: list[object] = []  # what the structure points to
        self._kinds: set[tuple[int, ...]] = set()  # of atoms
        self._widths: set[int] = set()
        self._shells: set[tuple[int, int]] = set()
        self._lock = Lock()
        t = self.structure
        t.hartree, t.bohr = constants.hartree_ev, constants.bohr_angstrom
        nodes, weights = np.polynomial.legendre.leggauss(overlap._NODES)
        t.nodes, t.weights = self._keep(nodes), self._keep(weights)
        t.powers = self._keep(weights * nodes ** np.arange(_POWERS)[:, None])
        t.forms = self._keep(rotate._quadratic_forms().numpy().reshape(5, 9))
        one, two = zip(*shell_order(9), strict=True)
        t.product_a, t.product_b = self._keep(one, np.int32), self._keep(two, np.int32)
        t.series = self._keep(overlap._SERIES)
        t.boron = self._keep(_boron())
        angular = product_multipoles(9)[1:4].numpy() * 5**0.5
        pd = [k for k, (i, j) in enumerate(packed_pairs(9)) if SHELL[i] == 2 and SHELL[j] == 1]
        t.pd_moment = self._keep(angular[:, pd])

    def prepared(self, table: ParameterTable, row: np.ndarray) -> CoreTables:
        """Itself, with what the atoms of these rows need."""
        kinds = {tuple(kind) for kind in table.integers[np.unique(row)].tolist()} - self._kinds
        if kinds:
            with self._lock:
                for _, width, _, _, _, *principal in kinds:
                    if width not in self._widths:
                        self._add_width(width)
                    for shell in zip(principal, range(_WIDTHS.index(width) + 1), strict=False):
                        if shell not in self._shells:
                            self._add_shell(shell)
                self._kinds |= kinds
        return self

    def _keep(self, values: object, dtype: type = np.float64) -> int:
        array: np.ndarray = np.ascontiguousarray(values, dtype=dtype)
        self._arrays.append(array)
        return array.ctypes.data

    def _add_width(self, width: int) -> None:
        k = _WIDTHS.index(width)
        self.structure.one_center[k] = self._one_center(width)
        if width > 1:
            order = _permutation(width)
            self.structure.orbital[k] = self._generator(width, np.arange(width), products=False)
            self.structure.product[k] = self._generator(width, order, products=True)
        self._widths.add(width)
        for other in self._widths:
            a, b = max(width, other), min(width, other)
            ka, kb = _WIDTHS.index(a), _WIDTHS.index(b)
            for cores in (0, 1):
                self.structure.pair[2 * (ka * (ka + 1) // 2 + kb) + cores] = self._pair(a, b, bool(cores))

    def _pair(self, width_a: int, width_b: int, cores: bool) -> PairTable:
        terms = two_center._terms(width_a, width_b, cores)
        sizes = [w * (w + 1) // 2 + cores for w in (width_a, width_b)]
        orders = [
            np.append(_permutation(w), [s - 1] * cores).astype(int)
            for w, s in zip((width_a, width_b), sizes, strict=True)
        ]
        weight = (
            terms.weight.numpy().reshape(-1, *sizes)[:, orders[0]][:, :, orders[1]].reshape(-1, sizes[0] * sizes[1])
        )
        unique: dict[bytes, int] = {}
        entries, sums = [], []
        for column in np.flatnonzero((weight != 0).any(axis=0)):
            values = np.round(weight[:, column], 14)
            key = (values + 0.0).tobytes()
            if key not in unique:
                unique[key] = len(unique)
                sums.append(weight[:, column])
            entries.append((*divmod(int(column), sizes[1]), unique[key]))
        used = [np.flatnonzero(s) for s in sums]
        row, col, which = np.array(entries).T
        return PairTable(
            SEPARATIONS[width_a],
            SEPARATIONS[width_b],
            weight.shape[0],
            len(sums),
            len(entries),
            *(self._keep(t.numpy()) for t in (terms.z, terms.x, terms.y)),
            *(
                self._keep([_radius_column(k, w) for k in t.tolist()], np.int32)
                for t, w in ((terms.radius_a, width_a), (terms.radius_b, width_b))
            ),
            self._keep(np.cumsum([0] + [len(u) for u in used]), np.int32),
            self._keep(np.concatenate(used), np.int32),
            self._keep(np.concatenate([s[u] for s, u in zip(sums, used, strict=True)])),
            *(self._keep(v, np.int32) for v in (row, col, which)),
        )

    def _generator(self, width: int, order: np.ndarray, *, products: bool) -> Generator:
        n = len(order)
        values = rotate._generator(width, products, n).numpy().reshape(n, n, 3)[order][:, order]
        row, col, axis = np.nonzero(np.abs(values[:, :, :2]) > 1e-14)
        return Generator(
            len(row), *(self._keep(v, np.int32) for v in (axis, row, col)), self._keep(values[row, col, axis])
        )

    def _one_center(self, width: int) -> OneCenter:
        order, products = _permutation(width), width * (width + 1) // 2
        table = one_center._table(width).numpy().reshape(-1, products, products)[:, order][:, :, order]
        row, col = np.nonzero((np.abs(table) > 1e-14).any(axis=0))
        used = [np.flatnonzero(np.abs(table[:, i, j]) > 1e-14) for i, j in zip(row, col, strict=True)]
        values = [table[u, i, j] for u, i, j in zip(used, row, col, strict=True)]
        return OneCenter(
            len(row),
            self._keep(row, np.int32),
            self._keep(col, np.int32),
            self._keep(np.cumsum([0] + [len(u) for u in used]), np.int32),
            self._keep(np.concatenate(used), np.int32),
            self._keep(np.concatenate(values)),
        )

    def _add_shell(self, shell: tuple[int, int]) -> None:
        self._shells.add(shell)
        for other in self._shells:
            for one, two in {(shell, other), (other, shell)}:
                table = overlap._tables(*one, *two)[0].numpy()
                m, i, j = np.nonzero(table)
                made = OverlapTable(
                    len(m), table.shape[1], *(self._keep(v, np.int32) for v in (m, i, j)), self._keep(table[m, i, j])
                )
                self._arrays.append(made)
                place = _shell_index(one) * N_SHELLS + _shell_index(two)
                self.structure.overlap[place] = ctypes.pointer(made)


def _shell_index(shell: tuple[int, int]) -> int:
    return (shell[0] - 1) * 3 + shell[1]


def _radius_column(k: int, width: int) -> int:
    return RADIUS_COLUMN + k if k < RADII[width] else CORE_RADIUS_COLUMN


def _boron() -> np.ndarray:
    """Gaussians of boron with each partner, [MAX_Z, 2, 3]; NaN where they are its own."""
    table = np.full((MAX_Z, 2, 3), np.nan)
    for partners, terms in AM1_BORON_GAUSSIANS.items():
        table[list(partners)] = terms
    return table
