"""Rows of parameters as the compiled core reads them, and the way back for derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nddo_ml.integrals.one_center import sp_radial
from nddo_ml.methods.parameters import MAX_Z, Method, Parameters, parameters_of
from nddo_ml.systems import Systems

RADIUS_COLUMN, CORE_RADIUS_COLUMN = 32, 41
# Columns of a row of parameters, as in csrc/types.h
COLUMNS: dict[str, int | slice] = {
    **{
        name: k
        for k, name in enumerate(["U_ss", "U_pp", "U_dd", "zeta_s", "zeta_p", "zeta_d", "beta_s", "beta_p", "beta_d"])
    },
    "radial": slice(9, 26),
    "alpha": 26,
    "separation": slice(27, 32),
    "radius": slice(RADIUS_COLUMN, CORE_RADIUS_COLUMN),
    "core_radius": CORE_RADIUS_COLUMN,
    "K": slice(42, 46),
    "L": slice(46, 50),
    "M": slice(50, 54),
    "core_charge": 54,
    "populations": slice(55, 58),
}
N_DIFFERENTIABLE, N_COLUMNS = 54, 58


@dataclass(frozen=True)
class ParameterTable:
    """Rows of parameters as the core reads them."""

    values: np.ndarray  # [rows, N_COLUMNS]
    integers: np.ndarray  # [rows, 8]: number, width, period, own core, averages d, principal quantum numbers

    @classmethod
    def of(cls, numbers: Tensor, p: Parameters) -> ParameterTable:
        """One row an atom of ``p``."""
        values = np.zeros((numbers.shape[0], N_COLUMNS))
        for name, column in COLUMNS.items():
            values[:, column] = _column(p, name).detach().numpy()
        flags = (numbers, p.width, p.period, p.multipoles.own_core, p.averages_d)
        integers = torch.cat((torch.stack([f.long() for f in flags], dim=1), p.principal), dim=1)
        return cls(values, np.ascontiguousarray(integers.numpy(), dtype=np.int32))


_KEPT: dict[int, tuple[Method, ParameterTable]] = {}  # by the method's identity, which lasts as long as it is kept


def of_elements(method: Method) -> ParameterTable:
    """One row an atomic number."""
    kept = _KEPT.get(id(method))
    if kept is None:
        numbers, zero = torch.arange(MAX_Z), torch.zeros(1, dtype=torch.int64)
        positions = torch.zeros(MAX_Z, 3, dtype=torch.float64)
        elements = Systems(numbers, positions, torch.zeros_like(numbers), zero, zero + 1, zero, zero)
        kept = _KEPT[id(method)] = (method, ParameterTable.of(numbers, parameters_of(elements, method)))
    return kept[1]


def differentiable_parameters(p: Parameters) -> list[tuple[Tensor, int | slice]]:
    """What the core differentiates by, where it has a graph, with the columns of the derivatives."""
    found = (
        (_column(p, name), column) for name, column in COLUMNS.items() if name not in ("core_charge", "populations")
    )
    return [(tensor, column) for tensor, column in found if tensor.requires_grad]


def _column(p: Parameters, name: str) -> Tensor:
    """The parameters of a name in COLUMNS, [atoms] or [atoms, k]."""
    if name == "radial":
        return torch.cat((sp_radial(p.g_ss, p.g_sp, p.g_pp, p.g_p2, p.h_sp), p.slater_condon), dim=1)
    if name == "populations":
        return p.shell_populations
    value: Tensor = getattr(p.multipoles if name in ("separation", "radius", "core_radius") else p, name)
    return value
