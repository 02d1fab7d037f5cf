"""The search for lower solutions of the self-consistent field: stability and shuffled orbitals."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nddo_ml.scf.density import diagonal_gap, diagonalize, frontier, shuffle_frontier
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import Iterate, SCFOptions, at_orbitals
from nddo_ml.scf.newton import lowest_curvature, minimize, rotated

_SMALL_GAP = 8.0  # eV, below which a closed shell may have a lower solution
_SMALL_SYSTEM = 60  # orbitals; the gaps of larger closed shells are small by nature
_TINY, _TINY_GAP = 12, 10.0  # orbitals up to which the search is cheap, and done more widely
_UNSTABLE = -1e-3  # eV, a curvature below which the energy is gone down
_PUSH = 0.5  # rotation along a negative curvature
ROUNDS = 3  # of the search, and of the analysis of stability in it
_LOWER = 1e-5  # eV, by which a solution counts as lower
WINDOW = 8  # orbitals on either side of the gap that are shuffled
TRIALS = {1: 3, 2: 4}  # shuffles a round, by number of spins


def search(builder: FockBuilder, state: Iterate, n_occupied: Tensor, options: SCFOptions, shells: Tensor) -> Iterate:
    """Lower solutions of doubtful systems, where there are any.

    Doubtful is an open shell, or a small closed one with a small gap: there the first solution need not be the lowest.
    It is followed down negative curvatures and started again from shuffled frontier orbitals, as long as that lowers
    it; the smallest systems, and transition metals with their many close levels, at least twice.

    Args:
        builder: Fock matrices of the batch.
        state: the solutions so far.
        n_occupied: [systems, spin].
        options: tolerance and limits.
        shells: [atoms, 3] electrons in s, p, d of each atom.
    """
    metals = torch.zeros_like(n_occupied[:, 0], dtype=torch.bool)
    metals[builder.layout.system_idx[shells[:, 2] > 0]] = True
    tiny = builder.layout.n_orbitals <= _TINY
    doubtful = ((n_occupied > 0) & (n_occupied < builder.layout.n_orbitals[:, None])).any(dim=1)
    if n_occupied.shape[1] == 1:
        doubtful &= (builder.layout.n_orbitals <= _SMALL_SYSTEM) | metals
        gap = diagonal_gap(state.origin, state.fock)
        small = torch.nonzero(tiny).squeeze(1)
        if small.numel():
            gap[small] = _gap(builder.select(small), state.select(small), n_occupied[small])
        doubtful &= gap < torch.where(tiny, _TINY_GAP, _SMALL_GAP)
    index = torch.nonzero(doubtful).squeeze(1)
    for round_ in range(ROUNDS):
        if not index.numel():
            break
        sub, occupied, before = builder.select(index), n_occupied[index], state.select(index)
        best = _shuffled(sub, _stable(sub, before, occupied, options), occupied, options, round_)
        state = state.replace_at(index, best)
        again = best.energy < before.energy - _LOWER
        index = index[again | (metals | tiny)[index]] if round_ == 0 else index[again]
    return state


def _gap(builder: FockBuilder, state: Iterate, n_occupied: Tensor) -> Tensor:
    """HOMO–LUMO gaps of closed shells, infinite where there is none.

    The diagonal gap depends on which orbitals of equal energy the split ones happen to be, as in small molecules.
    """
    energies = diagonalize(state.fock, builder.layout.real_rows)[0]
    energies = torch.where(builder.layout.real_rows[:, None], energies, torch.inf)
    highest, lowest = frontier(energies, n_occupied)
    return (lowest - highest).squeeze(1)


def _stable(builder: FockBuilder, state: Iterate, n_occupied: Tensor, options: SCFOptions) -> Iterate:
    """Down along negative curvatures of the energy until there is none."""
    index = torch.arange(state.energy.shape[0], device=state.energy.device)
    for _ in range(ROUNDS):
        sub, here, occupied = builder.select(index), state.select(index), n_occupied[index]
        value, direction, origin = lowest_curvature(sub, here, occupied)
        unstable = torch.nonzero(value < _UNSTABLE).squeeze(1)
        if not unstable.numel():
            break
        index, sub, here, occupied = index[unstable], sub.select(unstable), here.select(unstable), occupied[unstable]
        push, origin = _PUSH * direction[unstable], origin.select(unstable)
        one, other = rotated(sub, here, origin, push), rotated(sub, here, origin, -push)
        lower = torch.nonzero(other.energy < one.energy).squeeze(1)
        trial = minimize(sub, one.replace_at(lower, other.select(lower)), occupied, options)
        state = state.replace_at(index, _keep_lower(here, trial, options))
    return state


def _shuffled(builder: FockBuilder, best: Iterate, n_occupied: Tensor, options: SCFOptions, round_: int) -> Iterate:
    """The lowest of a state and of what its orbitals, shuffled, come down to."""
    energies, orbitals = diagonalize(best.fock, builder.layout.real_rows)
    trials = TRIALS[n_occupied.shape[1]]
    for k in range(trials):
        seed = round_ * trials + k
        shuffled = shuffle_frontier(orbitals, n_occupied, builder.layout.n_orbitals, WINDOW, seed)
        trial = at_orbitals(builder, shuffled, energies, n_occupied, best)
        below = torch.where(best.residual <= options.tolerance, best.energy, torch.inf)
        best = _keep_lower(best, minimize(builder, trial, n_occupied, options, below), options)
    return best


def _keep_lower(best: Iterate, trial: Iterate, options: SCFOptions) -> Iterate:
    """Of two states of each system the lower that is converged; the trial's iterations include the other's."""
    found = trial.residual <= options.tolerance
    lower = found & ((trial.energy < best.energy - _LOWER) | (best.residual > options.tolerance))
    chosen = torch.nonzero(lower).squeeze(1)
    return replace(best, iterations=trial.iterations).replace_at(chosen, trial.select(chosen))
