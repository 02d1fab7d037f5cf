"""Dimers: ``V(r) = E(AB) − E(A) − E(B)`` of two atoms, and what it says of a model: bond, wall and tail."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import pi
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from ase import units as ase_units
from ase.data import atomic_masses

from nddo_ml.compare.scan import AlongCurve
from nddo_ml.elements import number_of
from nddo_ml.errors import InputError
from nddo_ml.evaluation.figures import colours, new_figure, save_figure
from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems

DISTANCES = tuple(np.round(np.concatenate([np.arange(0.3, 4.0, 0.05), np.geomspace(4.0, 15.0, 24)]), 4).tolist())
FLAT = 1e-3  # eV: wells that are less deep, and rises that are less high, are none
_TAIL = 4  # last points of a curve, by whose slope the tail's exponent is told
_STEP = 0.01  # Å, of the points about a minimum by which it is refined
_SILENT = 1e-7  # eV, a tail below this is none


@dataclass(frozen=True)
class DimerCurve:
    """One model's curve; what a curve does not have is None."""

    model: str
    pair: tuple[str, str]
    distances: np.ndarray  # [points] Å, rising
    energies: np.ndarray  # [points] eV, relative to the atoms apart; NaN where a field did not converge
    multiplicities: np.ndarray  # [points] of the lowest state
    bond: float | None  # Å, of the lowest minimum
    depth: float | None  # eV, minus its energy
    wavenumber: float | None  # ω_e in 1/cm

    @property
    def minima(self) -> np.ndarray:
        """Distances, Å, of the minima on the grid that are more than FLAT below the highest point towards both ends."""
        r, v = _known(self)
        places = [k for k in range(1, len(v) - 1) if v[k] < v[k - 1] and v[k] <= v[k + 1]]
        return r[[k for k in places if _barrier(v, k) > FLAT]]

    @property
    def wall(self) -> bool:
        """Whether the energy only rises from the first minimum (else from the end) towards short distances."""
        r, v = _known(self)
        until = self.minima[0] if len(self.minima) else r[-1]
        return bool((np.diff(v[r <= until]) < FLAT).all() and v[0] > FLAT)

    @property
    def limit(self) -> float:
        """The energy at the largest distance, eV."""
        return float(_known(self)[1][-1])

    @property
    def tail(self) -> float | None:
        """n of a tail ~ 1/rⁿ at the end of the curve; None where there is none."""
        r, v = (x[-_TAIL:] for x in _known(self))
        if np.abs(v).max() < _SILENT or len(set(np.sign(v))) > 1:
            return None
        return float(-np.polyfit(np.log(r), np.log(np.abs(v)), 1)[0])


def dimer_curve(
    model: AbstractModel,
    first: str,
    second: str,
    *,
    multiplicity: int | Literal["lowest"] = "lowest",
    distances: Sequence[float] = DISTANCES,
) -> DimerCurve:
    """The curve of two neutral atoms, relative to both alone in their ground states.

    Args:
        model: any method, hybrid or potential.
        first: element.
        second: element.
        multiplicity: 2S + 1 of the pair; "lowest": at every distance the lowest of all that the atoms' spins couple to.
            A model that knows no spin has one curve.
        distances: Å.

    Raises:
        InputError: an element that is unknown or that the model does not have, distances that are not positive.
    """
    try:
        numbers = (number_of(first), number_of(second))
    except KeyError as error:
        raise InputError(f"expected two elements; got {error.args[0]!r}") from None
    r = np.sort(np.asarray(distances, dtype=float))
    if not len(r) or not r[0] > 0:
        raise InputError("distances of a dimer must be positive numbers of Å")
    name = model.name
    if multiplicity == "lowest" and model.capabilities.unrestricted:
        model = deepcopy(model)
        model.unrestrict()
    spins = _couplings(model, numbers) if multiplicity == "lowest" else [multiplicity]
    table = np.stack([_energies(model, numbers, r, spin) for spin in spins])
    zero = model.isolated_energies(numbers)
    lowest = np.where(np.isnan(table), np.inf, table).argmin(0)
    energies = table[lowest, np.arange(len(r))] - zero[numbers[0]] - zero[numbers[1]]
    chosen = np.asarray(spins)[lowest]
    curve = DimerCurve(name, (first, second), r, energies, chosen, None, None, None)
    if not len(curve.minima):
        return curve
    best = min(curve.minima, key=lambda x: float(energies[r == x][0]))
    bond, energy, curvature = _minimum(model, numbers, best, int(chosen[r == best][0]))
    mass = 1 / sum(1 / atomic_masses[z] for z in numbers)
    frequency = np.sqrt(max(curvature, 0.0) / mass * ase_units._e / ase_units._amu) * 1e10  # 1/s, angular
    wavenumber = frequency / (2 * pi * ase_units._c * 100)
    depth = zero[numbers[0]] + zero[numbers[1]] - energy
    return DimerCurve(name, (first, second), r, energies, chosen, bond, depth, float(wavenumber))


def draw_dimers(curves: Sequence[DimerCurve], path: Path) -> None:
    """The curves of one pair by several models, PNG."""
    figure = new_figure(5.0, 3.8)
    ax = figure.subplots()
    depth = max([c.depth or 0.0 for c in curves] + [1.0])
    for curve, colour in zip(curves, colours(len(curves)), strict=True):
        ax.plot(curve.distances, curve.energies, color=colour, lw=1.2, label=curve.model)
    ax.axhline(0.0, color="0.7", lw=0.6)
    ax.set_ylim(-1.3 * depth, 2 * depth)
    ax.set_xlim(0, min(8.0, float(curves[0].distances[-1])))
    ax.set_xlabel(f"{'–'.join(curves[0].pair)} distance, Å")
    ax.set_ylabel("energy, eV, relative to the atoms")
    ax.legend(frameon=False)
    save_figure(figure, path)


def _couplings(model: AbstractModel, numbers: tuple[int, int]) -> list[int]:
    """All 2S + 1 of the pair that the ground states' spins couple to."""
    if not model.capabilities.spin:
        return [1]
    a, b = (model.ground_state_multiplicity(z) for z in numbers)
    return list(range(abs(a - b) + 1, a + b, 2))


def _energies(model: AbstractModel, numbers: tuple[int, int], r: np.ndarray, multiplicity: int) -> np.ndarray:
    positions = torch.zeros(len(r), 2, 3, dtype=torch.float64)
    positions[:, 1, 2] = torch.as_tensor(r)
    n = len(r)
    z = torch.tensor(numbers).repeat(n)
    idx = torch.arange(n).repeat_interleave(2)
    systems = Systems.build(z, positions.reshape(-1, 3), idx, multiplicity=multiplicity)
    asked = AlongCurve(model) if model.capabilities.density else model
    found = asked(systems.to(model.device), on_failure="mask").energy
    return found.detach().cpu().numpy()


def _minimum(
    model: AbstractModel, numbers: tuple[int, int], near: float, multiplicity: int
) -> tuple[float, float, float]:
    """Distance, energy and curvature (eV/Å²) of the minimum near a point, by a quartic through seven points, twice."""
    for _ in range(3):
        x = _STEP * np.arange(-3, 4)
        y = _energies(model, numbers, near + x, multiplicity)
        quartic = np.poly1d(np.polyfit(x / _STEP, y - y.min(), 4))
        roots = quartic.deriv().roots
        real = roots[np.abs(roots.imag) < 1e-9].real
        shift = float(real[np.abs(real).argmin()]) if len(real) else 0.0
        near += _STEP * float(np.clip(shift, -5, 5))
        if abs(shift) < 1:
            break
    return near, float(quartic(shift) + y.min()), float(quartic.deriv(2)(shift)) / _STEP**2


def _known(curve: DimerCurve) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(curve.energies)
    return curve.distances[known], curve.energies[known]


def _barrier(v: np.ndarray, k: int) -> float:
    """What separates point k from lower points to both sides, or from the ends."""
    sides = []
    for part in (v[k::-1], v[k:]):
        lower = np.flatnonzero(part < v[k])
        sides.append(part[: lower[0] if len(lower) else len(part)].max() - v[k])
    return float(min(sides))
