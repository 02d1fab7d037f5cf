"""Molecular dynamics of a whole batch at once: constant energy, or Langevin's heat bath.

Time is in fs, velocities in Å/fs. Every molecule or replica has random numbers of its own, so that its path does not
depend on what else is in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from ase import units
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel, Prediction
from nddo_ml.systems import Systems
from nddo_ml.workflows.normal_modes import masses_of

_ACCELERATION = units.fs**2  # Å/fs² of one eV/Å/u
K_B = units.kB  # eV/K


@dataclass(frozen=True)
class Motion:
    """How a batch moves."""

    timestep: float  # fs
    temperature: float  # K: of the first velocities, and of the heat bath
    friction: float = 0.0  # 1/ps, of the heat bath; 0: constant energy
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.timestep > 0 or min(self.temperature, self.friction, self.seed) < 0:
            raise InputError(
                "expected a positive time step, and temperature, friction and seed that are not negative; got "
                f"{self.timestep} fs, {self.temperature} K, {self.friction} 1/ps, {self.seed}"
            )


@dataclass(frozen=True)
class State:
    """Where a batch is, from which it goes on the same way whenever it is asked to."""

    step: int
    positions: Tensor  # [atoms, 3] Å
    velocities: Tensor  # [atoms, 3] Å/fs
    moving: Tensor  # [systems] bool; a system whose energy has failed stays where it was


@dataclass(frozen=True)
class Sample:
    """What is kept of one step."""

    step: int
    positions: Tensor  # [atoms, 3] Å
    potential: Tensor  # [systems] eV
    kinetic: Tensor  # [systems] eV
    dipole: Tensor | None  # [systems, 3] e·Å, of models that have it


def first_state(systems: Systems, motion: Motion, stream: Tensor) -> State:
    """Velocities by Maxwell and Boltzmann, without those of the centres of mass.

    Args:
        systems: where the molecules begin.
        motion: the temperature and the seed.
        stream: [systems] numbers of the replicas, whose random numbers differ.
    """
    spread = (K_B * motion.temperature * _ACCELERATION / masses_of(systems)).sqrt()
    drawn = _noise(systems, motion, stream, 0, 1)[0] * spread[:, None] * _movable(systems)[:, None]
    still = torch.ones_like(systems.charge, dtype=torch.bool)
    return State(0, systems.positions.detach().clone(), _without_drift(systems, drawn), still)


def run(
    systems: Systems, model: AbstractModel, motion: Motion, state: State, stream: Tensor, steps: int, every: int
) -> tuple[State, list[Sample]]:
    """``steps`` steps from a state; a sample of every ``every``-th step, and of the very first.

    Velocity Verlet at constant energy; with friction γ the splitting BAOAB, whose one force a step and small error of
    positions' averages are from Leimkuhler & Matthews, Appl. Math. Res. Express 2013, 34. The fields of the first step
    start afresh, so that the path from a state is always the same.

    Args:
        systems: the batch; atoms that are fixed stay.
        model: any.
        motion: how it moves.
        state: where it begins.
        stream: [systems] numbers of the replicas.
        steps: at least 1.
        every: steps between samples.

    Raises:
        InputError: as from the model.
    """
    mass, held = masses_of(systems)[:, None], _movable(systems)[:, None]
    scale = _ACCELERATION / mass * held
    dt = motion.timestep
    decay = torch.exp(torch.tensor(-motion.friction * 1e-3 * dt, dtype=mass.dtype))
    kick = (K_B * motion.temperature * scale * (1 - decay**2)).sqrt()
    noise = _noise(systems, motion, stream, 1 + state.step, steps) if motion.friction else None
    prediction, moving = _forces(systems, model, state.positions, state.moving, None)
    samples = [] if state.step else [_sample(systems, state, prediction)]
    for k in range(steps):
        go = moving[systems.system_idx, None]
        v = state.velocities + 0.5 * dt * scale * _given_forces(prediction)
        x = state.positions + 0.5 * dt * v
        if noise is not None:
            v = decay * v + kick * noise[k]
        x = x + 0.5 * dt * v
        prediction, moving = _forces(systems, model, torch.where(go, x, state.positions), moving, prediction)
        v = v + 0.5 * dt * scale * _given_forces(prediction)
        go = moving[systems.system_idx, None]
        state = State(
            state.step + 1,
            torch.where(go, x, state.positions),
            torch.where(go, v, torch.zeros_like(v)),
            moving,
        )
        if state.step % every == 0:
            samples.append(_sample(systems, state, prediction))
    return state, samples


def kinetic_energy(systems: Systems, velocities: Tensor) -> Tensor:
    """``½ Σ m v²``, [systems] eV."""
    each = 0.5 * masses_of(systems) * velocities.square().sum(dim=1) / _ACCELERATION
    return each.new_zeros(systems.n_systems).index_add(0, systems.system_idx, each)


def degrees_of_freedom(systems: Systems, motion: Motion) -> Tensor:
    """Of each system: three an atom that moves, three fewer where the centre of mass rests, [systems]."""
    movable = _movable(systems)
    count = torch.zeros_like(systems.charge, dtype=movable.dtype).index_add(0, systems.system_idx, 3 * movable)
    rests = systems.fixed is None and motion.friction == 0
    return (count - 3 * rests).clamp(min=1)


def _sample(systems: Systems, state: State, prediction: Prediction) -> Sample:
    kinetic = kinetic_energy(systems, state.velocities)
    return Sample(state.step, state.positions, prediction.energy, kinetic, prediction.dipole)


def _forces(
    systems: Systems, model: AbstractModel, positions: Tensor, moving: Tensor, last: Prediction | None
) -> tuple[Prediction, Tensor]:
    """Energies and forces, and which systems still have them; fields start from those of the step before."""
    start = None if last is None or last.scf is None else last.scf.density.nan_to_num()
    moved = systems.with_positions(positions)
    found = model(moved, forces=True, start=start, on_failure="mask", spread=False).detached()
    good = moving & found.energy.isfinite()
    forces = torch.where(good[systems.system_idx, None], _given_forces(found), 0.0)
    return replace(found, forces=forces), good


def _given_forces(prediction: Prediction) -> Tensor:
    if prediction.forces is None:
        raise InputError("dynamics need a model that gives forces; this one gave none")
    return prediction.forces


def _movable(systems: Systems) -> Tensor:
    """1 for atoms that move, 0 for fixed ones, [atoms]."""
    ones = torch.ones_like(systems.positions[:, 0])
    return ones if systems.fixed is None else ones.masked_fill(systems.fixed, 0.0)


def _noise(systems: Systems, motion: Motion, stream: Tensor, first: int, steps: int) -> Tensor:
    """Normal random numbers [steps, atoms, 3] of the steps from ``first``, every system and step its own."""
    noise = systems.positions.new_zeros(steps, systems.n_atoms, 3)
    for k, number in enumerate(stream.tolist()):
        atoms = torch.nonzero(systems.system_idx == k).squeeze(1)
        for step in range(steps):
            drawn = np.random.default_rng([motion.seed, number, first + step]).standard_normal((len(atoms), 3))
            noise[step, atoms] = torch.as_tensor(drawn).to(noise)
    return noise


def _without_drift(systems: Systems, velocities: Tensor) -> Tensor:
    """Velocities less those of the centres of mass, where no atom is fixed."""
    if systems.fixed is not None:
        return velocities
    mass, idx = masses_of(systems), systems.system_idx
    total = mass.new_zeros(systems.n_systems).index_add(0, idx, mass)
    momentum = velocities.new_zeros(systems.n_systems, 3).index_add(0, idx, mass[:, None] * velocities)
    return velocities - (momentum / total[:, None])[idx]
