"""Hessians and dipole derivatives of a whole batch: by the density's response, or by differences of forces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from bp_descriptors.runs import ranks, starts
from nddo_ml.derivatives import gradient
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel, Prediction
from nddo_ml.systems import Systems

_COPIES = 48  # of a molecule that are differentiated in one batch
_DISPLACED = 512  # molecules evaluated in one batch, by differences
_STEP = 3e-3  # Å: differences are good to 0.1 cm⁻¹ where forces are to 1e-6 eV/Å
T = TypeVar("T")


@dataclass(frozen=True)
class Derivatives:
    """Second derivatives of one molecule."""

    hessian: Tensor  # [3 atoms, 3 atoms] eV/Å²
    dipole: Tensor | None  # [3, 3 atoms] e, ∂μ/∂R


def second_derivatives(
    model: AbstractModel, systems: Systems, *, dipoles: bool = False, analytic: bool = False
) -> list[Derivatives]:
    """``∂²E/∂R∂R`` and, where wanted, ``∂μ/∂R`` of every molecule of a batch.

    Args:
        model: any; for dipole derivatives one with dipoles.
        systems: molecules.
        dipoles: whether to give dipole derivatives.
        analytic: by the response of the density (NDDO) or derivatives of the networks, one row of the Hessian after
            the other; else by central differences of forces, which cost far less where the compiled core gives them
            and agree within 0.2 cm⁻¹.

    Raises:
        InputError: dipoles of a model that has none.
        SCFConvergenceError, ResponseError: as from the model.
    """
    if dipoles and "dipole" not in model.capabilities.properties:
        raise InputError(f"infrared intensities need a model with dipoles; {model.name} has none")
    return _analytic(model, systems, dipoles) if analytic else _by_differences(model, systems, dipoles)


def _analytic(model: AbstractModel, systems: Systems, dipoles: bool) -> list[Derivatives]:
    size = 3 * systems.atoms_per_system
    matrices = derivative_rows(model, systems, size, lambda p: -given(p.forces), forces=True)
    slopes: list[Tensor | None] = [None] * systems.n_systems
    if dipoles:
        three = torch.full_like(size, 3)
        slopes = [*derivative_rows(model, systems, three, lambda p: given(p.dipole), forces=False)]
    return [Derivatives(0.5 * (h + h.T), d) for h, d in zip(matrices, slopes, strict=True)]


def _by_differences(model: AbstractModel, systems: Systems, dipoles: bool) -> list[Derivatives]:
    """Central differences, every displacement a molecule of its own, all of them in batches."""
    size = 3 * systems.atoms_per_system
    start = density_to_start_from(model, systems)
    forces: list[Tensor] = []
    moments: list[Tensor] = []
    for owner, row in _pieces(2 * size, _DISPLACED):
        copies = systems.select(owner)
        flat = copies.positions.detach().reshape(-1).clone()
        first = starts(size[owner])
        sign = 1 - 2 * (row % 2)
        flat[first + row // 2] += sign * _STEP
        moved = copies.with_positions(flat.view(-1, 3))
        prediction = model(moved, forces=True, start=None if start is None else start[owner])
        forces += given(prediction.forces).detach().reshape(-1).split(size[owner].tolist())
        if dipoles:
            moments += given(prediction.dipole).detach().unbind(0)
    found, first_row = [], 0
    for n in size.tolist():
        rows = slice(first_row, first_row + 2 * n)
        matrix = _difference(forces[rows]).neg()
        slope = _difference(moments[rows]).T if dipoles else None
        found.append(Derivatives(0.5 * (matrix + matrix.T), slope))
        first_row += 2 * n
    return found


def _difference(values: list[Tensor]) -> Tensor:
    """Slopes by coordinate of values forward and back, by turns."""
    both = torch.stack(values)
    return (both[0::2] - both[1::2]) / (2 * _STEP)


def derivative_rows(
    model: AbstractModel, systems: Systems, n_rows: Tensor, pick: Callable[[Prediction], Tensor], *, forces: bool
) -> list[Tensor]:
    """Derivatives [rows, 3 atoms] of each system's components of ``pick(prediction)``, each from its own copy.

    Args:
        model: whose results keep their graph to the positions.
        systems: molecules.
        n_rows: [systems] components of each.
        pick: what is differentiated; its elements, system by system, are the components.
        forces: whether the prediction needs forces.
    """
    start = density_to_start_from(model, systems)
    found: list[Tensor] = []
    for owner, row in _pieces(n_rows, _COPIES):
        copies = systems.select(owner)
        copies = copies.with_positions(copies.positions.detach().requires_grad_())
        with torch.enable_grad():
            value = pick(model(copies, forces=forces, start=None if start is None else start[owner]))
            (slope,) = gradient(value.reshape(-1)[starts(n_rows[owner]) + row], [copies.positions])
        found += [piece.reshape(-1) for piece in slope.split(systems.atoms_per_system[owner].tolist())]
    return [torch.stack(rows) for rows in _grouped(found, n_rows.tolist())]


def density_to_start_from(model: AbstractModel, systems: Systems) -> Tensor | None:
    """The density of the molecules themselves, from which those that are displaced start."""
    if not model.capabilities.density:
        return None
    with torch.no_grad():
        return given(model(systems).scf).density


def given(value: T | None) -> T:
    """What a model gave.

    Raises:
        InputError: it gave nothing.
    """
    if value is None:
        raise InputError("the model does not give what this derivative needs")
    return value


def _pieces(rows: Tensor, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """System and row of all rows of all systems, ``most`` at a time."""
    owner = torch.repeat_interleave(torch.arange(rows.shape[0], device=rows.device), rows)
    return zip(owner.split(most), ranks(rows).split(most), strict=True)


def _grouped(values: list[Tensor], sizes: list[int]) -> Iterator[list[Tensor]]:
    first = 0
    for n in sizes:
        yield values[first : first + n]
        first += n
