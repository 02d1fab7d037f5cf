"""Saddle points of a whole batch: partitioned rational function optimisation with exact Hessians.

Banerjee, Adams, Simons & Shepard, J. Phys. Chem. 89, 52 (1985); Baker, J. Comput. Chem. 7, 385 (1986); the radius of
trust as in Culot, Dive, Nguyen & Ghuysen, Theor. Chim. Acta 82, 189 (1992).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.constant import constant_energy
from nddo_ml.systems import Systems
from nddo_ml.workflows.normal_modes import free_motions, internal_basis
from nddo_ml.workflows.second_derivatives import given, second_derivatives

MAX_STEP, MIN_STEP = 0.15, 0.005  # Å, the longest displacement of an atom in one step
_NOISE = 1e-6  # eV, changes of the energy that say nothing
_ONE_ATOM = "a saddle point needs at least two atoms; system {} has one"


@dataclass(frozen=True)
class Saddles:
    """Saddle points and how they were reached."""

    systems: Systems
    converged: Tensor  # [systems] bool, the largest force is at most fmax
    steps: Tensor  # [systems] int64, Hessians computed


def find_saddles(
    systems: Systems,
    model: AbstractModel,
    *,
    along: Sequence[Tensor | None] | None = None,
    fmax: float = 0.005,
    max_steps: int = 60,
) -> Saddles:
    """Walk every system of a batch up one mode and down all others until no force is left.

    A step maximises along the followed mode, ``λ_p = ½ (b + √(b² + 4 g²))``, minimises along the others by the lowest
    root of their rational function, and is ``−g_i/(b_i − λ)`` along each mode; it is scaled to a radius of trust, at
    most 0.15 Å, which becomes half of a step whose energy changes by less than a quarter or more than 1.75 times what
    the quadratic surface says, and is doubled after one of its own length with 0.75 to 1.25 times. The Hessian is
    computed anew at every step.

    Args:
        systems: guesses.
        model: any.
        along: directions [atoms, 3] to walk up first; left out, the softest mode. Later steps follow the mode that
            overlaps most with the last one.
        fmax: eV/Å.
        max_steps: Hessians of each system.

    Raises:
        InputError: a single atom.
        SCFConvergenceError, ResponseError: as from the model.
    """
    sizes = systems.atoms_per_system.tolist()
    if min(sizes) < 2:
        raise InputError(_ONE_ATOM.format(sizes.index(min(sizes))))
    positions = list(systems.positions.detach().clone().split(sizes))
    followed: list[Tensor | None] = [None] * len(sizes) if along is None else [*along]
    converged = torch.zeros_like(systems.charge, dtype=torch.bool)
    steps = torch.zeros_like(systems.charge)
    trust = [_Trust() for _ in sizes]
    free = free_motions(model)
    for _ in range(max_steps):
        active = torch.nonzero(~converged).squeeze(1)
        here = systems.with_positions(torch.cat(positions)).select(active)
        prediction = model(here, forces=True, spread=False)
        forces = given(prediction.forces).detach().split([sizes[k] for k in active.tolist()])
        for k, energy in zip(active.tolist(), (prediction.energy - constant_energy(model, here)).tolist(), strict=True):
            trust[k].judge(energy)
        relaxed = torch.tensor([float(f.norm(dim=1).max()) <= fmax for f in forces])
        converged[active[relaxed]] = True
        left = active[~relaxed]
        if not left.numel():
            break
        hessians = second_derivatives(model, here.select(torch.nonzero(~relaxed).squeeze(1)))
        moving = [f for f, done in zip(forces, relaxed.tolist(), strict=True) if not done]
        for k, force, derivatives in zip(left.tolist(), moving, hessians, strict=True):
            basis = internal_basis(positions[k], torch.ones_like(force).reshape(-1), free)
            gradient = -force.reshape(-1)
            step, followed[k] = _step(gradient, derivatives.hessian, basis, followed[k], trust[k].radius)
            trust[k].expect(float(gradient @ step + 0.5 * step @ derivatives.hessian @ step), step)
            positions[k] = positions[k] + step.view(-1, 3)
        steps[left] += 1
    return Saddles(systems.with_positions(torch.cat(positions)), converged, steps)


@dataclass
class _Trust:
    """How far a system may step, and what it expects of its step."""

    radius: float = MAX_STEP  # Å
    energy: float | None = None  # eV, before the step
    expected: float = 0.0  # eV, the change of the energy by it
    length: float = 0.0  # Å, of it

    def expect(self, change: float, step: Tensor) -> None:
        """Note a step [3 atoms] Å and the change of the energy that it should make."""
        self.expected, self.length = change, float(step.view(-1, 3).norm(dim=1).max())

    def judge(self, energy: float) -> None:
        """Compare the energy after the step with what was expected of it."""
        if self.energy is not None and abs(self.expected) > _NOISE:
            wrong = abs((energy - self.energy) / self.expected - 1)
            if wrong > 0.75:
                self.radius = max(0.5 * self.length, MIN_STEP)
            elif wrong < 0.25 and self.length > 0.99 * self.radius:
                self.radius = min(2 * self.radius, MAX_STEP)
        self.energy = energy


def _step(
    gradient: Tensor, hessian: Tensor, basis: Tensor, along: Tensor | None, radius: float
) -> tuple[Tensor, Tensor]:
    """One step [3 atoms] Å, and the mode [atoms, 3] that was walked up."""
    values, vectors = torch.linalg.eigh(basis.T @ hessian @ basis)
    modes = (basis @ vectors).T
    up = 0 if along is None else int((modes @ along.reshape(-1)).abs().argmax())
    g = modes @ gradient
    others = torch.ones_like(values, dtype=torch.bool)
    others[up] = False
    shift = torch.empty_like(values)
    shift[up] = 0.5 * (values[up] + torch.sqrt(values[up] ** 2 + 4 * g[up] ** 2))
    if bool(others.any()):
        shift[others] = _lowest_root(values[others], g[others])
    away = values - shift
    step = modes.T @ torch.where(away.abs() > 1e-10, -g / away, 0.0)
    longest = step.view(-1, 3).norm(dim=1).max()
    return step * (radius / longest).clamp(max=1.0), modes[up].view(-1, 3)


def _lowest_root(values: Tensor, gradient: Tensor) -> Tensor:
    """The lowest eigenvalue of the augmented Hessian ``[[diag b, g], [gᵀ, 0]]``."""
    n = values.shape[0]
    augmented = values.new_zeros(n + 1, n + 1)
    augmented[range(n), range(n)] = values
    augmented[:n, n] = augmented[n, :n] = gradient
    return torch.linalg.eigvalsh(augmented)[0]
