"""Geometry optimisation of a whole batch at once: BFGS with a trust radius, every system by its own steps.

The inverse Hessian of each system starts from a model Hessian of its bonds and angles (Lindh, Bernhardsson,
Karlström & Malmqvist, Chem. Phys. Lett. 241, 423 (1995)) and is updated by BFGS (Nocedal & Wright, Numerical
Optimization, 2nd ed., Eq. 6.17). A step that raises the energy, without constants that have no force, is taken back
and tried shorter; a short one over a jump of the method's energy is judged by the forces at its ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nddo_ml.errors import InputError, SCFConvergenceError
from nddo_ml.models.constant import constant_energy
from nddo_ml.workflows.model_hessian import model_hessian

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.environments.embedding import Environment
    from nddo_ml.models.base import AbstractModel, Prediction
    from nddo_ml.systems import Systems

START_RADIUS = 0.2  # Å
MAX_RADIUS = 0.3  # Å, longest displacement of any atom in one step
MIN_RADIUS = 1e-5  # Å, a system that would have to step shorter than this is given up
SHORT, JUMP = 0.01, 1e-3  # Å, eV: what rises more than the forces say in a step shorter than this is a jump
ENERGY_NOISE = 1e-6  # eV, a rise of the energy below this is no rise
MIN_CURVATURE = 1e-8  # updates of smaller yᵀs / |y||s| are left out: the inverse Hessian stays positive


@dataclass(frozen=True)
class OptimizationResult:
    """Relaxed geometries and how they were reached."""

    systems: Systems  # the batch at its final positions
    prediction: Prediction  # energies, forces, … there
    converged: Tensor  # [systems] bool, the largest force is at most fmax
    steps: Tensor  # [systems] int64, evaluations of energy and forces after the first
    trajectories: list[list[Atoms]] | None  # per system, every accepted geometry with energy and forces


def optimize(
    systems: Systems,
    model: AbstractModel,
    *,
    fmax: float = 0.05,
    max_steps: int = 500,
    trajectory: bool = False,
    progress: Callable[[int], None] | None = None,
    environment: Environment | None = None,
) -> OptimizationResult:
    """Relax every system of a batch to a minimum of the energy, cells and the atoms ``systems.fixed`` held.

    A system leaves the batch when the norm of its largest force is at most ``fmax``, so that the work shrinks
    as systems finish; each step of an NDDO model starts from the last density.

    Args:
        systems: the starting geometries.
        model: an NDDO method, a hybrid or a potential.
        fmax: eV/Å.
        max_steps: at most so many evaluations a system after the first.
        trajectory: keep every accepted geometry, with its energy and forces.
        progress: called with the number of systems that have just finished.
        environment: what surrounds the systems, which stays where it is; left out, the model's own.

    Raises:
        InputError: fmax or max_steps that are not positive; constraints other than fixed atoms; whatever the model
            refuses.
        SCFConvergenceError: the self-consistent field failed at a starting geometry. Where it fails at a
            later step, the step is taken back and tried shorter.
    """
    check_limits(fmax, max_steps)
    for k, names in enumerate(systems.constraints):
        if names:
            raise InputError(f"system {k}: only fixed atoms (FixAtoms) are held in an optimisation; it has {names} too")
    around = None if environment is None else environment.over(systems.n_systems)
    return _Optimizer(systems, model, fmax, max_steps, trajectory, progress, around).run()


def check_limits(fmax: float, max_steps: int) -> None:
    """Refuse limits that make no sense.

    Raises:
        InputError: fmax or max_steps that are not positive.
    """
    if not fmax > 0:
        raise InputError(f"fmax must be a positive force in eV/Å; got {fmax}")
    if max_steps < 1:
        raise InputError(f"max_steps must be at least 1; got {max_steps}")


class _Optimizer:
    """The batch in padded coordinates: every system's last accepted geometry and what is known there."""

    def __init__(
        self,
        systems: Systems,
        model: AbstractModel,
        fmax: float,
        max_steps: int,
        trajectory: bool,
        progress: Callable[[int], None] | None,
        environment: Environment | None,
    ) -> None:
        self.systems = systems
        self.model = model
        self.fmax = fmax
        self.max_steps = max_steps
        self.progress = progress
        self.environment = environment
        counts = systems.atoms_per_system
        self.size = int(counts.max())
        self.filled = torch.arange(self.size, device=counts.device) < counts[:, None]  # [systems, size]
        self.order = systems.system_idx.argsort(stable=True)  # atoms, system by system
        slot = torch.empty_like(self.order)
        slot[self.order] = torch.nonzero(self.filled)[:, 1]
        self.moves = self._padded(_moves(systems)[self.order], self.filled)  # 0 for fixed coordinates, else 1
        prediction = model(systems, forces=True, environment=environment, spread=False)
        self.density = None if prediction.scf is None else prediction.scf.density.clone()
        self.x = self._padded(systems.positions.detach()[self.order], self.filled)
        self.energy = prediction.energy.detach() - constant_energy(model, systems)  # that of the forces
        self.gradient = -self._padded(_forces(prediction)[self.order], self.filled) * self.moves
        self.inverse = _inverse(model_hessian(systems, slot, self.size), self.moves)
        self.radius = torch.full_like(self.energy, START_RADIUS)
        self.steps = torch.zeros_like(systems.charge)
        self.frames: list[list[Atoms]] | None = [[] for _ in range(systems.n_systems)] if trajectory else None
        self._record(torch.arange(systems.n_systems, device=counts.device))

    def run(self) -> OptimizationResult:
        """Step until every system is relaxed, given up, or out of steps."""
        left = self.systems.n_systems
        for _ in range(self.max_steps):
            unfinished = (self._largest_force() > self.fmax) & (self.radius > MIN_RADIUS)
            active = torch.nonzero(unfinished).squeeze(1)
            if self.progress is not None and active.numel() < left:
                self.progress(left - active.numel())
            left = active.numel()
            if left == 0:
                break
            self._step(active)
        if self.progress is not None and left:
            self.progress(left)
        positions = torch.empty_like(self.systems.positions)
        positions[self.order] = self.x.reshape(-1, self.size, 3)[self.filled]
        final = self.systems.with_positions(positions)
        prediction = self.model(final, forces=True, start=self.density, environment=self.environment)
        return OptimizationResult(final, prediction, self._largest_force() <= self.fmax, self.steps, self.frames)

    def _step(self, active: Tensor) -> None:
        """One trial step of the systems ``active``: accepted where the energy falls, else taken back."""
        gradient, inverse = self.gradient[active], self.inverse[active]
        newton = -torch.einsum("bij,bj->bi", inverse, gradient)
        longest = self._longest(newton)
        scale = (self.radius[active] / longest).clamp(max=1.0)
        step = scale[:, None] * newton
        found, energy, new_gradient = self._evaluate(active, self.x[active] + step)
        self.inverse[active] = torch.where(found[:, None, None], _bfgs(inverse, step, new_gradient - gradient), inverse)
        slope = (gradient * step).sum(1)
        change = _judged(energy - self.energy[active], gradient, new_gradient, step, scale * longest)
        better = found & (change <= ENERGY_NOISE)
        self.radius[active] = _new_radius(
            self.radius[active], scale * longest, change, slope, slope * (1 - scale / 2), better
        )
        self.steps[active] += 1
        moved = active[better]
        self.x[moved] += step[better]
        self.energy[moved] = energy[better]
        self.gradient[moved] = new_gradient[better]
        self._record(moved)

    def _evaluate(self, active: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which of the systems have an energy at ``x``, the energies (∞ for the others), the gradients."""
        found = torch.ones_like(active, dtype=torch.bool)
        energy = torch.full_like(self.energy[active], torch.inf)
        gradient = torch.zeros_like(x)
        while bool(found.any()):
            chosen = active[found]
            filled = self.filled[chosen]
            systems = self.systems.select(chosen)
            systems = systems.with_positions(x[found].reshape(-1, self.size, 3)[filled])
            start = None if self.density is None else self.density[chosen]
            around = None if self.environment is None else self.environment.select(chosen)[0]
            try:
                prediction = self.model(systems, forces=True, start=start, environment=around, spread=False)
            except SCFConvergenceError as error:
                found[torch.nonzero(found).squeeze(1)[error.systems]] = False
                continue
            energy[found] = prediction.energy.detach() - constant_energy(self.model, systems)
            gradient[found] = -self._padded(_forces(prediction), filled) * self.moves[chosen]
            if self.density is not None and prediction.scf is not None:
                new = prediction.scf.density
                self.density[chosen, :, : new.shape[2], : new.shape[3]] = new
            break
        return found, energy, gradient

    def _padded(self, values: Tensor, filled: Tensor) -> Tensor:
        """Values [atoms, 3], system by system, as [systems, 3 size]."""
        padded = values.new_zeros(*filled.shape, 3)
        padded[filled] = values
        return padded.reshape(filled.shape[0], -1)

    def _longest(self, vectors: Tensor) -> Tensor:
        """The norm of the longest atomic vector in each row of [systems, 3 size]."""
        return vectors.reshape(-1, self.size, 3).norm(dim=2).amax(1)

    def _largest_force(self) -> Tensor:
        return self._longest(self.gradient)

    def _record(self, moved: Tensor) -> None:
        """Append the accepted geometries of the systems ``moved`` to their trajectories."""
        if self.frames is None or moved.numel() == 0:
            return
        from ase.calculators.singlepoint import SinglePointCalculator

        filled = self.filled[moved]
        systems = self.systems.select(moved).with_positions(self.x[moved].reshape(-1, self.size, 3)[filled])
        forces = -self.gradient[moved].reshape(-1, self.size, 3)
        energies = self.energy[moved] + constant_energy(self.model, systems)
        for row, (k, atoms) in enumerate(zip(moved.tolist(), systems.to_ase(), strict=True)):
            atoms.calc = SinglePointCalculator(
                atoms, energy=float(energies[row]), forces=forces[row][filled[row]].cpu().numpy()
            )
            self.frames[k].append(atoms)


def _moves(systems: Systems) -> Tensor:
    """1 for atoms that move, 0 for fixed ones, [atoms, 3]."""
    if systems.fixed is None:
        return torch.ones_like(systems.positions)
    return (~systems.fixed)[:, None].expand(-1, 3).to(systems.positions.dtype)


def _inverse(hessian: Tensor, moves: Tensor) -> Tensor:
    """Inverse Hessians [systems, n, n] within the coordinates that move; zero for the others."""
    both = moves[:, :, None] * moves[:, None, :]
    held = torch.where(both > 0, hessian, torch.eye(hessian.shape[1], dtype=hessian.dtype, device=hessian.device))
    return torch.cholesky_inverse(torch.linalg.cholesky(held)) * both


def _forces(prediction: Prediction) -> Tensor:
    if prediction.forces is None:
        raise InputError("expected a model that gives forces; this one returned none")
    return prediction.forces.detach()


def _bfgs(inverse: Tensor, s: Tensor, y: Tensor) -> Tensor:
    """BFGS update of inverse Hessians [systems, n, n] by steps and gradient changes [systems, n].

    Unchanged where the curvature along the step is not clearly positive.
    """
    sy = (s * y).sum(1)
    good = sy > MIN_CURVATURE * s.norm(dim=1) * y.norm(dim=1)
    rho = torch.where(good, 1.0 / torch.where(good, sy, 1.0), 0.0)
    hy = torch.einsum("bij,bj->bi", inverse, y)
    factor = rho * (1.0 + rho * (y * hy).sum(1))
    cross = rho[:, None, None] * hy[:, :, None] * s[:, None, :]
    return inverse + factor[:, None, None] * s[:, :, None] * s[:, None, :] - cross - cross.transpose(1, 2)


def _judged(change: Tensor, gradient: Tensor, after: Tensor, step: Tensor, moved: Tensor) -> Tensor:
    """Changes of the energy [systems], without the jumps that some methods have and no force tells of.

    Over a short step the mean of the gradients at both of its ends says what a smooth energy does; what rises above
    that jumped.
    """
    work = 0.5 * ((gradient + after) * step).sum(1)
    jumped = (moved < SHORT) & (change - work > JUMP) & change.isfinite()
    return torch.where(jumped, work, change)


def _new_radius(
    radius: Tensor, moved: Tensor, change: Tensor, slope: Tensor, expected: Tensor, better: Tensor
) -> Tensor:
    """Trust radii after a step of length ``moved``: by how the energy changed against what was expected."""
    tiny = expected.abs() < ENERGY_NOISE
    ratio = torch.where(tiny, 1.0, change / torch.where(tiny, 1.0, expected))
    grown = torch.where((ratio > 0.75) & (moved > 0.9 * radius), 2.0 * radius, radius)
    accepted = torch.where(ratio < 0.25, 0.5 * moved, grown)
    # the minimum of the parabola through both energies and the first slope, as a fraction of the step
    fraction = (-slope / (2.0 * (change - slope)).clamp(min=1e-12)).clamp(0.25, 0.5)
    return torch.where(better, accepted, fraction * moved).clamp(max=MAX_RADIUS)
