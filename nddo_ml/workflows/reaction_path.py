"""Steepest descent from saddle points (intrinsic reaction coordinate), both ways, of a whole batch.

Local quadratic approximation with an exact Hessian at every step: Page & McIver, J. Chem. Phys. 88, 922 (1988).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nddo_ml.models.base import AbstractModel
from nddo_ml.models.constant import constant_energy
from nddo_ml.systems import Systems
from nddo_ml.workflows.normal_modes import free_motions, internal_basis, masses_of
from nddo_ml.workflows.second_derivatives import given, second_derivatives

STEP = 0.15  # Å u^½
_INTEGRATION = 400  # pieces of a step along the quadratic surface's own path
_FLAT = 0.02  # eV/Å, a largest force below which a path has arrived


@dataclass
class Branch:
    """One way down."""

    positions: list[np.ndarray]  # [atoms, 3] Å, the saddle point first
    energies: list[float]  # eV
    distance: list[float] = field(default_factory=lambda: [0.0])  # Å u^½ along the path
    arrived: bool = False


def descend(
    saddles: Systems, model: AbstractModel, modes: list[Tensor], *, step: float = STEP, max_steps: int = 60
) -> list[tuple[Branch, Branch]]:
    """Both ways down from each saddle point, in mass-weighted coordinates: ``dx/ds = −g/|g|``.

    Within a step the surface is quadratic, ``x(t) = x_0 − Σ_i u_i g_i (1 − e^(−λ_i t))/λ_i``, and t is where the
    path's length is that of the step. A branch has arrived when no force exceeds 0.02 eV/Å or its energy rises.

    Args:
        saddles: saddle points.
        model: any.
        modes: [atoms, 3] of each, the mode of negative curvature.
        step: Å u^½.
        max_steps: of each branch.

    Raises:
        SCFConvergenceError, ResponseError: as from the model.
    """
    owner = torch.arange(saddles.n_systems).repeat_interleave(2)
    both = saddles.select(owner)
    sizes = both.atoms_per_system.tolist()
    mass = masses_of(both).split(sizes)
    start = both.positions.detach().split(sizes)
    energy = _energies(model, both)
    branches = [Branch([x.numpy()], [float(e)]) for x, e in zip(start, energy, strict=True)]
    for k, branch in enumerate(branches):
        weighted = modes[k // 2] * mass[k].sqrt()[:, None]
        push = weighted / weighted.norm() * step * (1 - 2 * (k % 2))
        _append(branch, start[k] + push / mass[k].sqrt()[:, None], step)
    free = free_motions(model)
    for _ in range(max_steps):
        active = [k for k, b in enumerate(branches) if not b.arrived]
        if not active:
            break
        there = torch.cat([torch.as_tensor(branches[k].positions[-1]) for k in active])
        here = both.select(torch.tensor(active)).with_positions(there)
        prediction = model(here, forces=True).detached()
        found = (prediction.energy - constant_energy(model, here)).tolist()
        forces = given(prediction.forces).split([sizes[k] for k in active])
        hessians = second_derivatives(model, here)
        for k, e, force, derivatives in zip(active, found, forces, hessians, strict=True):
            branch = branches[k]
            branch.energies.append(e)
            rises = e > branch.energies[-2]
            branch.arrived = rises or float(force.norm(dim=1).max()) < _FLAT
            if not branch.arrived:
                root = mass[k].repeat_interleave(3).sqrt()
                basis = internal_basis(torch.as_tensor(branch.positions[-1]), root**2, free)
                weighted = derivatives.hessian / (root[:, None] * root[None, :])
                move = _quadratic(-force.reshape(-1) / root, weighted, basis, step) / root
                _append(branch, torch.as_tensor(branch.positions[-1]) + move.view(-1, 3), step)
    for branch in branches:
        del branch.positions[len(branch.energies) :], branch.distance[len(branch.energies) :]
    return [(branches[k], branches[k + 1]) for k in range(0, len(branches), 2)]


def _quadratic(gradient: Tensor, hessian: Tensor, basis: Tensor, step: float) -> Tensor:
    """A step of length ``step`` down a quadratic surface, [3 atoms] in mass-weighted coordinates."""
    values, vectors = torch.linalg.eigh(basis.T @ hessian @ basis)
    g = vectors.T @ (basis.T @ gradient)
    dt = step / _INTEGRATION / float(g.norm())
    middles = (torch.arange(20 * _INTEGRATION, dtype=g.dtype) + 0.5) * dt
    length = (g * torch.exp(-values * middles[:, None])).norm(dim=1).cumsum(0) * dt
    t = dt * (1 + int((length < step).sum().clamp(max=len(length) - 1)))  # a short path ends where it is flat
    small = values.abs() * t < 1e-8
    factor = torch.where(small, t, -torch.expm1(-values * t) / torch.where(small, 1.0, values))
    return -basis @ (vectors @ (g * factor))


def _append(branch: Branch, positions: Tensor, step: float) -> None:
    branch.positions.append(positions.numpy())
    branch.distance.append(branch.distance[-1] + step)


def _energies(model: AbstractModel, systems: Systems) -> list[float]:
    with torch.no_grad():
        return [float(e) for e in model(systems).energy - constant_energy(model, systems)]
