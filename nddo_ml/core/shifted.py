"""Rows of parameters that were multiplied, and the way back: what :func:`nddo_ml.methods.derived.shifted` defines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nddo_ml.core.networks import solved_radii
from nddo_ml.core.parameters import COLUMNS, CORE_RADIUS_COLUMN, RADIUS_COLUMN, ParameterTable, of_elements
from nddo_ml.core.plan import Plan
from nddo_ml.core.steps import N_SHIFTED, SHIFTED
from nddo_ml.methods.multipoles import MIN_H_PP, MIN_H_SP, MIN_ZETA_P
from nddo_ml.methods.parameters import Parameters, is_metal
from nddo_ml.threads import product

_DIRECT = ("U_ss", "U_pp", "zeta_s", "zeta_p", "beta_s", "beta_p", "alpha", "K", "L", "M")
_G_SS, _G_SP, _G_P2, _H_PP, _H_SP, _ZETA_S, _ZETA_P = (
    SHIFTED[name].start for name in ("g_ss", "g_sp", "g_p2", "h_pp", "h_sp", "zeta_s", "zeta_p")
)
_RADIAL = np.zeros((N_SHIFTED, 5))  # F0ss, F0sp, G1sp, F0pp, F2pp of the one-centre integrals, as sp_radial
_RADIAL[_G_SS, 0] = _RADIAL[_G_SP, 1] = _RADIAL[_G_P2, 3] = 1
_RADIAL[_H_SP, 2], _RADIAL[_H_PP, 3], _RADIAL[_H_PP, 4] = 3, 1 / 3, 25 / 6
_FIRST_RADIAL, _SEPARATION = 9, 27  # columns of a row
_WITH_D = RADIUS_COLUMN + 7


@dataclass(frozen=True)
class Parent:
    """The method's parameters of the atoms of a batch, none of which has d orbitals."""

    rows: ParameterTable  # [atoms]
    values: np.ndarray  # [atoms, N_SHIFTED]
    factor: np.ndarray  # [atoms, 2] radii of sp and pp over the exact solutions
    period: np.ndarray  # [atoms]
    with_p: np.ndarray  # [atoms] bool
    free_core: np.ndarray  # [atoms] 1 where the core has the radius of ss, else 0

    @classmethod
    def of(cls, plan: Plan, p: Parameters) -> Parent | None:
        """Of parameters [atoms] in the order of the batch; None where an atom has d orbitals or a core of its own."""
        if bool((p.width > 4).any() | is_metal(p).any() | p.multipoles.own_core.any()):
            return None
        elements = of_elements(plan.method)
        rows = ParameterTable(elements.values[plan.numbers], elements.integers[plan.numbers])
        values = np.zeros((len(plan.numbers), N_SHIFTED))
        for name, columns in SHIFTED.items():
            value = p.g_pp - p.g_p2 if name == "h_pp" else getattr(p, name)
            values[:, columns] = value.numpy()[plan.order].reshape(len(values), -1)
        factor, free = p.multipoles.factor.numpy()[plan.order], (p.rho_core <= 0).numpy()[plan.order]
        with_p = (p.width > 1).numpy()[plan.order]
        return cls(rows, values, factor, p.period.numpy()[plan.order], with_p, free.astype(float))


class ShiftedRows:
    """The rows of parameters times ``shifts`` [atoms, N_SHIFTED]; radii and separations follow."""

    def __init__(self, parent: Parent, shifts: np.ndarray, hartree: float) -> None:
        self.parent, self.hartree = parent, hartree
        self.values = v = parent.values * shifts
        rows = parent.rows.values.copy()
        for name in _DIRECT:
            rows[:, _columns(name)] = v[:, SHIFTED[name]]
        rows[:, _FIRST_RADIAL : _FIRST_RADIAL + 5] = product(v, _RADIAL)
        ss = 0.5 * hartree / v[:, _G_SS]
        rows[:, RADIUS_COLUMN] = ss
        rows[:, CORE_RADIUS_COLUMN] += parent.free_core * (ss - rows[:, CORE_RADIUS_COLUMN])
        self.at = at = np.flatnonzero(parent.with_p)
        self._set_separations(v[at], parent.period[at])
        integral = np.stack((np.maximum(v[at, _H_SP], MIN_H_SP), np.maximum(0.5 * v[at, _H_PP], MIN_H_PP)), axis=1)
        self.factor = parent.factor[at]
        start = rows[at, RADIUS_COLUMN + 1 : RADIUS_COLUMN + 3] / self.factor
        exact, self.slope = solved_radii(self.separation, integral / hartree, start)
        rows[at, _SEPARATION : _SEPARATION + 2] = self.separation
        rows[at, RADIUS_COLUMN + 1 : RADIUS_COLUMN + 3] = rows[at, _WITH_D : _WITH_D + 2] = exact * self.factor
        self.table = ParameterTable(rows, parent.rows.integers)

    def _set_separations(self, v: np.ndarray, period: np.ndarray) -> None:
        """Separations [with p, 2] and their slopes by the exponents."""
        n, zeta_s, free = period, v[:, _ZETA_S], v[:, _ZETA_P] > MIN_ZETA_P
        zeta_p = np.maximum(v[:, _ZETA_P], MIN_ZETA_P)
        total = zeta_s + zeta_p
        d1 = (2 * n + 1) * (4 * zeta_s * zeta_p / total**2) ** (n + 0.5) / total / 3**0.5
        d2 = np.sqrt((4 * n**2 + 6 * n + 2) / 20) / zeta_p
        self.separation = np.stack((d1, d2), axis=1)
        common = (2 * n + 2) / total
        self.by_exponent = (
            d1 * ((n + 0.5) / zeta_s - common),
            free * d1 * ((n + 0.5) / zeta_p - common),
            free * d2 / zeta_p,
        )

    def backward(self, by_row: np.ndarray) -> np.ndarray:
        """Derivatives by the shifts of what has the derivatives ``by_row`` [atoms, N_DIFFERENTIABLE]."""
        v, at, parent = self.values, self.at, self.parent
        by_value = product(by_row[:, _FIRST_RADIAL : _FIRST_RADIAL + 5], _RADIAL.T)
        for name in _DIRECT:
            columns = COLUMNS[name]
            by_value[:, SHIFTED[name]] += by_row[
                :, columns if isinstance(columns, slice) else slice(columns, columns + 1)
            ]
        by_ss = by_row[:, RADIUS_COLUMN] + parent.free_core * by_row[:, CORE_RADIUS_COLUMN]
        by_value[:, _G_SS] -= by_ss * 0.5 * self.hartree / np.square(v[:, _G_SS])
        radii = by_row[at, RADIUS_COLUMN + 1 : RADIUS_COLUMN + 3] + by_row[at, _WITH_D : _WITH_D + 2]
        by_exact = radii * self.factor
        by_separation = by_row[at, _SEPARATION : _SEPARATION + 2] + by_exact * self.slope[:, :, 1]
        by_integral = by_exact * self.slope[:, :, 0] / self.hartree
        by_value[at, _H_SP] += by_integral[:, 0] * (v[at, _H_SP] > MIN_H_SP)
        by_value[at, _H_PP] += by_integral[:, 1] * 0.5 * (0.5 * v[at, _H_PP] > MIN_H_PP)
        of_s, of_p, of_d2 = self.by_exponent
        by_value[at, _ZETA_S] += by_separation[:, 0] * of_s
        by_value[at, _ZETA_P] += by_separation[:, 0] * of_p - by_separation[:, 1] * of_d2
        found: np.ndarray = by_value * parent.values
        return found


def _columns(name: str) -> slice:
    columns = COLUMNS[name]
    return columns if isinstance(columns, slice) else slice(columns, columns + 1)
