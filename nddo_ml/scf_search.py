"""The search for lower solutions of the self-consistent field: stability, exchanged orbitals, other occupations."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nddo_ml.density import diagonal_gap, diagonalize, initial_density, mix_frontier
from nddo_ml.fock import FockBuilder
from nddo_ml.scf_loops import Iterate, SCFOptions, at_orbitals, iterate
from nddo_ml.second_order import lowest_curvature, minimize, rotated

_SMALL_GAP = 7.0  # eV, below which a closed shell may have a lower solution
_SMALL_SYSTEM = 60  # orbitals; the gaps of larger closed shells are small by nature
_UNSTABLE = -1e-3  # eV, a curvature below which the energy is gone down
_PUSH = 0.5  # rotation along a negative curvature
_ROUNDS = 3  # of stability analysis
_LOWER = 1e-5  # eV, by which a solution counts as lower
_SETTLING = 6  # diagonalisations of another start

# Rotations of an occupied into an empty orbital to try: for every spin its sign, the angle, how far below the HOMO and
# above the LUMO they lie.
_Trial = tuple[tuple[float, ...], float, int, int]
_HALF, _EIGHTH = 0.5 * torch.pi, 0.25 * torch.pi
_TRIALS: dict[int, tuple[_Trial, ...]] = {
    1: (((1.0,), _HALF, 0, 0), ((1.0,), 0.5 * _EIGHTH, 0, 0)),
    2: (((1.0, 0.0), _HALF, 0, 0), ((0.0, 1.0), _HALF, 0, 0), ((1.0, -1.0), _EIGHTH, 0, 0)),
}
_PLACES = tuple((below, above) for below in range(3) for above in range(3) if below + above)
_METAL_TRIALS: dict[int, tuple[_Trial, ...]] = {
    1: tuple(((1.0,), _HALF, *place) for place in _PLACES),
    2: tuple((spin, 1.5 * _EIGHTH, *place) for place in ((0, 0), *_PLACES) for spin in ((1.0, 0.0), (0.0, 1.0))),
}
_METAL_ROUNDS = 2
# Shares of s, p and d in a metal's electrons to start from, beside its shells filled in order.
_SHARING = ((1 / 9, 3 / 9, 5 / 9), (0.25, 0.25, 0.5), (0.0, 0.0, 1.0))


def search(builder: FockBuilder, state: Iterate, n_occupied: Tensor, options: SCFOptions, shells: Tensor) -> Iterate:
    """Lower solutions of doubtful systems, where there are any.

    Doubtful is an open shell, or a small closed one with a small gap: there the first solution need not be the lowest.
    It is followed down negative curvatures and restarted from exchanged or mixed frontier orbitals; transition metals
    with their many close levels from more orbitals, from what that found and from other occupations of their shells.

    Args:
        builder: Fock matrices of the batch.
        state: the solutions so far.
        n_occupied: [systems, spin].
        options: tolerance and limits.
        shells: [atoms, 3] electrons in s, p, d of each atom.
    """
    metals = torch.zeros_like(n_occupied[:, 0], dtype=torch.bool)
    metals[builder.layout.system_idx[shells[:, 2] > 0]] = True
    mixable = (n_occupied > 0) & (n_occupied < builder.layout.n_orbitals[:, None])
    doubtful = mixable.any(dim=1)
    if n_occupied.shape[1] == 1:
        doubtful &= (builder.layout.n_orbitals <= _SMALL_SYSTEM) | metals
        doubtful &= diagonal_gap(state.reference, state.fock) < _SMALL_GAP
    spins = n_occupied.shape[1]
    if spins == 2:
        state = _other_starts(builder, state, n_occupied, options, shells, metals)
    for chosen, trials, rounds in (
        (doubtful, _TRIALS[spins], 1),
        (doubtful & metals, _METAL_TRIALS[spins], _METAL_ROUNDS),
    ):
        index = torch.nonzero(chosen).squeeze(1)
        for _ in range(rounds):
            if not index.numel():
                break
            sub, occupied, before = builder.select(index), n_occupied[index], state.select(index)
            best = _exchanged(sub, before, occupied, options, trials)
            best = _stable(sub, best, occupied, options)
            state = state.replace_at(index, best)
            index = index[best.energy < before.energy - _LOWER]
    return state


def _stable(builder: FockBuilder, state: Iterate, n_occupied: Tensor, options: SCFOptions) -> Iterate:
    """Down along negative curvatures of the energy until there is none."""
    index = torch.arange(state.energy.shape[0], device=state.energy.device)
    for _ in range(_ROUNDS):
        sub, here, occupied = builder.select(index), state.select(index), n_occupied[index]
        value, direction, ref = lowest_curvature(sub, here, occupied)
        unstable = torch.nonzero(value < _UNSTABLE).squeeze(1)
        if not unstable.numel():
            break
        index, sub, here, occupied = index[unstable], sub.select(unstable), here.select(unstable), occupied[unstable]
        push, ref = _PUSH * direction[unstable], ref.select(unstable)
        one, other = rotated(sub, here, ref, push), rotated(sub, here, ref, -push)
        lower = torch.nonzero(other.energy < one.energy).squeeze(1)
        trial = minimize(sub, one.replace_at(lower, other.select(lower)), occupied, options)
        state = state.replace_at(index, _keep_lower(here, trial, options))
    return state


def _other_starts(
    builder: FockBuilder, state: Iterate, n_occupied: Tensor, options: SCFOptions, shells: Tensor, metals: Tensor
) -> Iterate:
    """Transition metals again from other occupations of their shells; keeps what lies lower in energy."""
    index = torch.nonzero(metals).squeeze(1)
    if not index.numel():
        return state
    sub, occupied, best = builder.select(index), n_occupied[index], state.select(index)
    of_sub = shells[torch.isin(builder.layout.system_idx, index)]
    for sharing in _SHARING:
        is_metal = (of_sub[:, 2] > 0)[:, None]
        shared = torch.where(is_metal, of_sub.sum(dim=1, keepdim=True) * of_sub.new_tensor(sharing), of_sub)
        fock, trial = sub.fock(initial_density(sub.layout, shared, occupied)), best
        for _ in range(_SETTLING):
            energies, orbitals = diagonalize(fock, sub.layout.real_rows)
            trial = at_orbitals(sub, orbitals, energies, occupied, trial)
            fock = trial.fock
        best = _keep_lower(best, iterate(sub, trial, occupied, options), options)
    return state.replace_at(index, best)


def _exchanged(
    builder: FockBuilder, best: Iterate, n_occupied: Tensor, options: SCFOptions, trials: tuple[_Trial, ...]
) -> Iterate:
    """The lowest of a state and of what its orbitals, exchanged or mixed, come down to."""
    energies, orbitals = diagonalize(best.fock, builder.layout.real_rows)
    for spin, angle, below, above in trials:
        mixed = mix_frontier(orbitals, n_occupied, builder.layout.n_orbitals, spin, angle, below, above)
        trial = at_orbitals(builder, mixed, energies, n_occupied, best)
        best = _keep_lower(best, minimize(builder, trial, n_occupied, options), options)
    return best


def _keep_lower(best: Iterate, trial: Iterate, options: SCFOptions) -> Iterate:
    """Of two states of each system the lower that is converged; the trial's iterations include the other's."""
    found = trial.residual <= options.tolerance
    lower = found & ((trial.energy < best.energy - _LOWER) | (best.residual > options.tolerance))
    chosen = torch.nonzero(lower).squeeze(1)
    return replace(best, iterations=trial.iterations).replace_at(chosen, trial.select(chosen))
