"""The self-consistent field: its result and the order in which its solvers are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from nddo_ml.errors import InputError, SCFConvergenceError
from nddo_ml.scf.density import diagonalize, frontier, initial_density, spin_squared, total_density
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import Iterate, SCFOptions, iterate, start
from nddo_ml.scf.mopac import mopac_density
from nddo_ml.scf.newton import minimize
from nddo_ml.scf.search import search

_BONDING = 1.5  # scale of the first Fock matrix between atoms
_SINGLE_TOLERANCE = 1e-4  # eV, residual that single precision can reach
_DIAGONALIZATIONS = {1: 1, 2: 6}  # to begin with, by number of spins; open shells settle their occupation here


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
        return total_density(self.density)

    @property
    def spin_squared(self) -> Tensor:
        """⟨S²⟩, [systems]; zero for a closed shell."""
        return spin_squared(self.density, self.n_occupied)

    @property
    def homo(self) -> Tensor:
        """Highest occupied orbital energy of any spin, [systems] eV; NaN without electrons."""
        level = frontier(self.orbital_energies, self.n_occupied)[0].amax(dim=1)
        return torch.where(torch.isfinite(level), level, torch.nan)

    @property
    def lumo(self) -> Tensor:
        """Lowest empty orbital energy of any spin, [systems] eV; NaN where all orbitals are filled."""
        level = frontier(self.orbital_energies, self.n_occupied)[1].amin(dim=1)
        return torch.where(torch.isfinite(level), level, torch.nan)


def solve_scf(
    builder: FockBuilder,
    shells: Tensor,
    n_occupied: Tensor,
    options: SCFOptions,
    start_density: Tensor | None = None,
) -> SCFResult:
    """Iterate the field of a batch to self-consistency; no gradient is recorded.

    First the accelerated loop on all systems; those that it leaves are minimised by Newton steps; where the lowest
    solution is wanted and no start is given, doubtful ones are searched for it.

    Args:
        builder: Fock matrices of the batch.
        shells: [atoms, 3] electrons in s, p, d of each atom, to start from.
        n_occupied: [systems, spin] occupied orbitals; one spin column is a closed shell.
        options: tolerance (in single precision at least 1e-4 eV), limits, and which solution.
        start_density: [systems, spin, M, M] density to start from.
    """
    if builder.h_core.dtype == torch.float32:
        options = replace(options, tolerance=max(options.tolerance, _SINGLE_TOLERANCE))
    with torch.no_grad():
        state = iterate(builder, _begin(builder, shells, n_occupied, options, start_density), n_occupied, options)
        left = torch.nonzero(state.residual > options.tolerance).squeeze(1)
        if left.numel():
            lowered = minimize(builder.select(left), state.select(left), n_occupied[left], options)
            state = state.replace_at(left, lowered)
        if options.solution == "lowest" and start_density is None:
            state = search(builder, state, n_occupied, options, shells)
    return SCFResult(
        density=state.density,
        fock=state.fock,
        real_rows=builder.layout.real_rows,
        n_occupied=n_occupied,
        converged=state.residual <= options.tolerance,
        iterations=state.iterations,
        residual=state.residual,
    )


def _begin(
    builder: FockBuilder, shells: Tensor, n_occupied: Tensor, options: SCFOptions, start_density: Tensor | None
) -> Iterate:
    """The state that the accelerated loop starts from."""
    if start_density is not None:
        _check_start(start_density, builder, n_occupied)
        return start(builder, start_density, n_occupied, 1, 1.0)
    density = initial_density(builder.layout, shells, n_occupied)
    state = start(builder, density, n_occupied, _DIAGONALIZATIONS[n_occupied.shape[1]], _BONDING)
    if options.solution == "mopac":
        found, density, count = mopac_density(builder, shells, n_occupied)
        there = start(builder, density, n_occupied, 1, 1.0)
        state = state.replace_at(found, there.select(found))
        state = replace(state, iterations=state.iterations + count)
    return state


def _check_start(density: Tensor, builder: FockBuilder, n_occupied: Tensor) -> None:
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
    if len(parts) == 1 and torch.equal(parts[0][0], torch.arange(n_systems, device=parts[0][0].device)):
        return parts[0][1]
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
