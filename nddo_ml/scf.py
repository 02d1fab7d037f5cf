"""The self-consistent field: options, result and the order in which its solvers are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nddo_ml.density import diagonal_gap, diagonalize, initial_density, mix_frontier
from nddo_ml.errors import InputError, SCFConvergenceError
from nddo_ml.fock import FockBuilder
from nddo_ml.properties import spin_squared
from nddo_ml.scf_loops import Iterate, at_orbitals, descend, iterate, start

_BONDING = 1.5  # scale of the first Fock matrix between atoms
_DIAGONALIZATIONS = {1: 1, 2: 6}  # to begin with, by number of spins; open shells settle their occupation here
_SMALL_GAP = 7.0  # eV, below which a closed shell may have a lower solution
_SMALL_SYSTEM = 60  # orbitals; the gaps of larger closed shells are small by nature
_STRETCH = 300  # iterations of the last attempts; level shifts of their references (eV) and histories:
_LAST_ATTEMPTS = ((5.0, 60), (1.0, 60), (20.0, 60), (0.0, 60))
_HOLDING_SHIFT = 5.0  # eV, keeps the accelerated loop near the minimum that the descent found


@dataclass(frozen=True)
class SCFOptions:
    """How the field is iterated.

    ``tolerance`` bounds the largest occupied–empty element of the Fock matrix, eV; the energy's error goes with its
    square.
    """

    tolerance: float = 1e-6  # eV
    max_iterations: int = 60  # of the accelerated loop
    max_descent: int = 400  # of the energy-lowering fallback
    history: int = 7  # of the acceleration
    probe: bool = True  # look for lower solutions by exchanging frontier orbitals: open shells, small gaps


@dataclass(frozen=True)
class SCFResult:
    """A converged (or, where masked, not converged) field. Matrices in the layout's order, padded with zeros."""

    density: Tensor  # [systems, spin, M, M], orbitals occupied per spin; one spin: P_α = P_β of a closed shell
    fock: Tensor  # [systems, spin, M, M] eV, of this density
    real_rows: Tensor  # [systems, M] bool, rows that hold an orbital
    n_occupied: Tensor  # [systems, spin] int64
    converged: Tensor  # [systems] bool
    iterations: Tensor  # [systems] int64, Fock matrices built
    residual: Tensor  # [systems] eV, largest occupied–empty element of the Fock matrix

    @cached_property
    def _orbitals(self) -> tuple[Tensor, Tensor]:
        energies, orbitals = diagonalize(self.fock, self.real_rows)
        return torch.where(self.real_rows[:, None, :], energies, torch.inf), orbitals

    @property
    def orbital_energies(self) -> Tensor:
        """Eigenvalues of the Fock matrices, [systems, spin, M] eV; padded ones last, infinite."""
        return self._orbitals[0]

    @property
    def orbitals(self) -> Tensor:
        """Orbitals [systems, spin, M, M], columns in the order of the energies."""
        return self._orbitals[1]

    @property
    def total_density(self) -> Tensor:
        """P_α + P_β, [systems, M, M]."""
        return 2 * self.density[:, 0] if self.density.shape[1] == 1 else self.density.sum(dim=1)

    @property
    def spin_squared(self) -> Tensor:
        """⟨S²⟩, [systems]; zero for a closed shell."""
        return spin_squared(self.density, self.n_occupied)

    @property
    def homo(self) -> Tensor:
        """Highest occupied orbital energy of any spin, [systems] eV; NaN without electrons."""
        column = (self.n_occupied - 1).clamp(min=0)[..., None]
        level = self.orbital_energies.gather(2, column).squeeze(2)
        level = torch.where(self.n_occupied > 0, level, -torch.inf).amax(dim=1)
        return torch.where(torch.isfinite(level), level, torch.nan)

    @property
    def lumo(self) -> Tensor:
        """Lowest empty orbital energy of any spin, [systems] eV; NaN where all orbitals are filled."""
        padded = torch.nn.functional.pad(self.orbital_energies, (0, 1), value=torch.inf)
        level = padded.gather(2, self.n_occupied[..., None]).squeeze(2).amin(dim=1)
        return torch.where(torch.isfinite(level), level, torch.nan)


def solve_scf(
    builder: FockBuilder,
    shells: Tensor,
    n_occupied: Tensor,
    options: SCFOptions,
    guess: Tensor | None = None,
) -> SCFResult:
    """Iterate the field of a batch to self-consistency; no gradient is recorded.

    First the accelerated loop on all systems; those that it leaves are taken through an energy descent and back.

    Args:
        builder: Fock matrices of the batch.
        shells: [atoms, 3] electrons in s, p, d of each atom, to start from.
        n_occupied: [systems, spin] occupied orbitals; one spin column is a closed shell.
        options: tolerance and limits.
        guess: [systems, spin, M, M] density to start from.
    """
    with torch.no_grad():
        density = initial_density(builder.layout, shells, n_occupied) if guess is None else guess
        _check_guess(density, builder, n_occupied)
        if guess is None:
            first = start(builder, density, n_occupied, _DIAGONALIZATIONS[n_occupied.shape[1]], _BONDING)
        else:
            first = start(builder, density, n_occupied, 1, 1.0)
        state = iterate(builder, first, n_occupied, options.tolerance, options.max_iterations, options.history)
        left = torch.nonzero(state.residual > options.tolerance).squeeze(1)
        if left.numel():
            state = state.replace_at(
                left, _fallback(builder.select(left), n_occupied[left], state.select(left), options)
            )
        if options.probe and guess is None:
            metals = torch.zeros_like(n_occupied[:, 0], dtype=torch.bool)
            metals[builder.layout.system_idx[shells[:, 2] > 0]] = True
            state = _other_starts(builder, state, n_occupied, options, shells, metals)
            state = _probe(builder, state, n_occupied, options, metals)
    return SCFResult(
        density=state.density,
        fock=state.fock,
        real_rows=builder.layout.real_rows,
        n_occupied=n_occupied,
        converged=state.residual <= options.tolerance,
        iterations=state.iterations,
        residual=state.residual,
    )


def _probe(builder: FockBuilder, state: Iterate, n_occupied: Tensor, options: SCFOptions, metals: Tensor) -> Iterate:
    """Restart doubtful systems from exchanged or mixed frontier orbitals and keep what lies lower in energy.

    Doubtful is an open shell, or a small closed one with a small gap: there the first solution need not be the lowest.
    Transition metals with their many close levels are tried from more orbitals and from what that found.
    """
    mixable = (n_occupied > 0) & (n_occupied < builder.layout.n_orbitals[:, None])
    doubtful = mixable.all(dim=1)
    if n_occupied.shape[1] == 1:
        doubtful &= (builder.layout.n_orbitals <= _SMALL_SYSTEM) | metals
        doubtful &= diagonal_gap(state.reference, state.fock) < _SMALL_GAP
    for chosen, trials, rounds in (
        (doubtful, _TRIALS[n_occupied.shape[1]], 1),
        (doubtful & metals, _METAL_TRIALS[n_occupied.shape[1]], _METAL_ROUNDS),
    ):
        index = torch.nonzero(chosen).squeeze(1)
        for _ in range(rounds):
            if not index.numel():
                break
            before = state.energy[index]
            best = _lowest(builder.select(index), state.select(index), n_occupied[index], options, trials)
            state = state.replace_at(index, best)
            index = index[best.energy < before - 1e-5]
    return state


def _other_starts(
    builder: FockBuilder, state: Iterate, n_occupied: Tensor, options: SCFOptions, shells: Tensor, metals: Tensor
) -> Iterate:
    """Open-shell transition metals again from other occupations of their shells; keeps what lies lower in energy."""
    index = torch.nonzero(metals & (n_occupied.shape[1] == 2)).squeeze(1)
    if not index.numel():
        return state
    sub, occupied, best = builder.select(index), n_occupied[index], state.select(index)
    of_sub = shells[torch.isin(builder.layout.system_idx, index)]
    for sharing in _SHARING:
        is_metal = (of_sub[:, 2] > 0)[:, None]
        shared = torch.where(is_metal, of_sub.sum(dim=1, keepdim=True) * of_sub.new_tensor(sharing), of_sub)
        fock, trial = sub.fock(initial_density(sub.layout, shared, occupied)), best
        for _ in range(_DIAGONALIZATIONS[2]):
            energies, orbitals = diagonalize(fock, sub.layout.real_rows)
            trial = at_orbitals(sub, orbitals, energies, occupied, trial)
            fock = trial.fock
        trial = iterate(sub, trial, occupied, options.tolerance, options.max_iterations, options.history)
        best = _keep_lower(best, trial, options)
    return state.replace_at(index, best)


def _keep_lower(best: Iterate, trial: Iterate, options: SCFOptions) -> Iterate:
    """Of two states of each system the lower that is converged; the trial's iterations include the other's."""
    found = trial.residual <= options.tolerance
    lower = found & ((trial.energy < best.energy - 1e-5) | (best.residual > options.tolerance))
    chosen = torch.nonzero(lower).squeeze(1)
    return replace(best, iterations=trial.iterations).replace_at(chosen, trial.select(chosen))


def _lowest(
    builder: FockBuilder, best: Iterate, n_occupied: Tensor, options: SCFOptions, trials: tuple[_Trial, ...]
) -> Iterate:
    """The lowest of a state and of what its trials converge to."""
    energies, orbitals = diagonalize(best.fock, builder.layout.real_rows)
    for spin, angle, below, above in trials:
        mixed = mix_frontier(orbitals, n_occupied, builder.layout.n_orbitals, spin, angle, below, above)
        trial = at_orbitals(builder, mixed, energies, n_occupied, best)
        trial = descend(builder, trial, n_occupied, 1e-1, 20)
        trial = iterate(
            builder, trial, n_occupied, options.tolerance, options.max_iterations, options.history, _HOLDING_SHIFT
        )
        best = _keep_lower(best, trial, options)
    return best


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


def _fallback(builder: FockBuilder, n_occupied: Tensor, state: Iterate, options: SCFOptions) -> Iterate:
    """Go down in energy until the accelerated loop holds on to the minimum.

    Where the descent crawls along a flat valley to its end, the stationary point that the loop goes to is the result.
    """
    stationary = state
    for residual in (1e-1, 1e-2, 1e-3):
        state = descend(builder, state, n_occupied, residual, options.max_descent)
        tried = iterate(
            builder, state, n_occupied, options.tolerance, options.max_iterations, options.history, _HOLDING_SHIFT
        )
        converged = tried.residual <= options.tolerance
        reached = torch.nonzero(converged).squeeze(1)
        stationary = stationary.replace_at(reached, tried.select(reached))
        good = converged & (tried.energy <= state.energy + 1e-6)
        index = torch.nonzero(good).squeeze(1)
        state = state.replace_at(index, tried.select(index))
        if bool(good.all()):
            return state
    state = descend(builder, state, n_occupied, options.tolerance, options.max_descent)
    # a flat valley takes a long stretch about one reference, with a long memory
    for shift, memory in _LAST_ATTEMPTS:
        rest = torch.nonzero(torch.minimum(state.residual, stationary.residual) > options.tolerance).squeeze(1)
        if not rest.numel():
            break
        sub, begin = builder.select(rest), state.select(rest)
        tried = iterate(sub, begin, n_occupied[rest], options.tolerance, 2 * _STRETCH, memory, shift, renew=_STRETCH)
        reached = torch.nonzero(tried.residual <= options.tolerance).squeeze(1)
        stationary = stationary.replace_at(rest[reached], tried.select(reached))
    left = (state.residual > options.tolerance) & (stationary.residual <= options.tolerance)
    index = torch.nonzero(left).squeeze(1)
    return state.replace_at(index, replace(stationary, iterations=state.iterations).select(index))


def _check_guess(density: Tensor, builder: FockBuilder, n_occupied: Tensor) -> None:
    expected = [*n_occupied.shape, builder.layout.size, builder.layout.size]
    if list(density.shape) != expected:
        raise InputError(f"the starting density must have shape {expected}; got {list(density.shape)}")


def check_converged(result: SCFResult) -> None:
    """Raise SCFConvergenceError, naming systems and residuals, unless every system is converged."""
    failed = torch.nonzero(~result.converged).squeeze(1).tolist()
    if failed:
        detail = ", ".join(
            f"system {k} ({int(result.iterations[k])} iterations, residual {float(result.residual[k]):.1e} eV)"
            for k in failed[:10]
        )
        more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
        raise SCFConvergenceError(
            f"the self-consistent field did not converge for {len(failed)} of {result.converged.shape[0]} systems: "
            f"{detail}{more}; try another starting density, multiplicity or geometry",
            failed,
        )


def merge_results(parts: list[tuple[Tensor, SCFResult]], n_systems: int) -> SCFResult:
    """Put the results of disjoint sets of systems (indices, result) together, padded to the widest."""
    size = max(part.density.shape[2] for _, part in parts)
    spins = max(part.density.shape[1] for _, part in parts)
    like = parts[0][1]
    new = like.density.new_zeros
    merged = SCFResult(
        density=new(n_systems, spins, size, size),
        fock=new(n_systems, spins, size, size),
        real_rows=like.real_rows.new_zeros(n_systems, size),
        n_occupied=like.n_occupied.new_zeros(n_systems, spins),
        converged=like.converged.new_zeros(n_systems),
        iterations=like.iterations.new_zeros(n_systems),
        residual=new(n_systems),
    )
    for index, part in parts:
        m = part.density.shape[2]
        # a closed shell in a batch with open ones repeats its only spin
        merged.density[index, :, :m, :m] = part.density.expand(-1, spins, -1, -1)
        merged.fock[index, :, :m, :m] = part.fock.expand(-1, spins, -1, -1)
        merged.real_rows[index, :m] = part.real_rows
        merged.n_occupied[index] = part.n_occupied.expand(-1, spins)
        merged.converged[index] = part.converged
        merged.iterations[index] = part.iterations
        merged.residual[index] = part.residual
    return merged
