"""The accelerated loop of the self-consistent field.

The occupied space is a rotation x of given orbitals, its origin, so that an iteration is a Fock matrix and a few matrix
products; diagonalisation is needed only to choose the origin.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, replace

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.scf.density import (
    LARGE,
    SplitOrbitals,
    density_of,
    diagonalize,
    rotated_and_mixed,
    rotated_orbitals,
    rotation_residual,
    spins_a_matrix,
    split_orbitals,
)
from nddo_ml.scf.fock import FockBuilder

SOLUTIONS = ("lowest", "first", "mopac")
_MIN_GAP = 1.0  # eV, floor of orbital-energy differences in the preconditioner
_MAX_ROTATION = 1.2  # largest element of a rotation about one origin
_RENEW = 12  # iterations after which the origin is chosen anew
_ROUGH = 1e-3  # eV, a residual until which products of a large system's matrices are in single precision


@dataclass(frozen=True)
class SCFOptions:
    """How the field is iterated.

    ``tolerance`` bounds the largest occupied–empty element of the Fock matrix, eV; the energy's error goes with its
    square. ``solution`` says which of several solutions is wanted: "lowest", looked for where there may be several
    (open shells, small gaps), "first", what the iteration comes to from neutral atoms, or "mopac", what MOPAC's
    iteration comes to. ``probe`` is older: False means "first".

    Raises:
        InputError: an unknown solution.
    """

    tolerance: float = 1e-6  # eV
    max_iterations: int = 60  # of the accelerated loop
    max_descent: int = 200  # steps of the energy-lowering fallback
    history: int = 7  # of the acceleration
    solution: str = "lowest"
    probe: InitVar[bool | None] = None

    def __post_init__(self, probe: bool | None) -> None:
        if probe is False:
            object.__setattr__(self, "solution", "first")
        if self.solution not in SOLUTIONS:
            raise InputError(f"the solution must be one of {', '.join(SOLUTIONS)}; got {self.solution!r}")


@dataclass
class Iterate:
    """Where the iteration of a batch stands."""

    origin: SplitOrbitals
    density: Tensor  # [systems, spin, M, M]
    fock: Tensor  # [systems, spin, M, M] eV, of this density
    energy: Tensor  # [systems] eV, electronic
    residual: Tensor  # [systems] eV
    iterations: Tensor  # [systems]

    def select(self, index: Tensor) -> Iterate:
        """That of some systems."""
        return Iterate(
            self.origin.select(index),
            *(t[index] for t in (self.density, self.fock, self.energy, self.residual, self.iterations)),
        )

    def replace_at(self, index: Tensor, other: Iterate) -> Iterate:
        """This with the systems ``index`` taken from ``other``, which is all of it where they are all."""
        if torch.equal(index, torch.arange(self.energy.shape[0], device=index.device)):
            return other
        return Iterate(
            self.origin.replace_at(index, other.origin),
            self.density.index_copy(0, index, other.density),
            self.fock.index_copy(0, index, other.fock),
            self.energy.index_copy(0, index, other.energy),
            self.residual.index_copy(0, index, other.residual),
            self.iterations.index_copy(0, index, other.iterations),
        )


def field_energy(builder: FockBuilder, density: Tensor, fock: Tensor) -> Tensor:
    """``½ Σ_σ tr P_σ (h_core + F_σ)``, [systems] eV."""
    return 0.5 * spins_a_matrix(density) * (density * (builder.h_core[:, None] + fock)).sum(dim=(1, 2, 3))


def start(builder: FockBuilder, density: Tensor, n_occupied: Tensor, diagonalizations: int, bonding: float) -> Iterate:
    """Orbitals to begin with: the aufbau occupation of the Fock matrix of ``density``, some times over.

    In the first of these the elements between atoms are scaled by ``bonding``: a density without bonds lacks their
    exchange, which has the sign of the resonance integrals.
    """
    fock = builder.fock(density)
    atom = builder.layout.atom_of_row()
    same = (atom[:, :, None] == atom[:, None, :])[:, None]
    fock = torch.where(same, fock, bonding * fock) if bonding != 1 else fock
    for step in range(diagonalizations):
        fock = fock if step == 0 else builder.fock(density)
        energies, orbitals = diagonalize(fock, builder.layout.real_rows)
        origin = split_orbitals(energies, orbitals, n_occupied)
        density = density_of(origin.occupied)
    return _at(builder, origin, torch.full_like(n_occupied[:, 0], diagonalizations))


def at_orbitals(builder: FockBuilder, orbitals: Tensor, energies: Tensor, n_occupied: Tensor, like: Iterate) -> Iterate:
    """The state whose first ``n_occupied`` orbitals are filled; iterations are counted on from ``like``."""
    return _at(builder, split_orbitals(energies, orbitals, n_occupied, like.origin), like.iterations)


def _at(builder: FockBuilder, origin: SplitOrbitals, iterations: Tensor) -> Iterate:
    density = density_of(origin.occupied)
    fock = builder.fock(density)
    residual = rotation_residual(origin, origin.occupied, fock)
    energy = field_energy(builder, density, fock)
    return Iterate(origin, density, fock, energy, largest(residual), iterations + 1)


def largest(residual: Tensor) -> Tensor:
    """Largest absolute element of each system, [systems]."""
    return residual.abs().flatten(1).amax(dim=1) if residual[0].numel() else residual.new_zeros(residual.shape[0])


def iterate(builder: FockBuilder, begin: Iterate, n_occupied: Tensor, options: SCFOptions) -> Iterate:
    """Accelerated fixed-point iteration ``x ← x − residual(x)/gap`` of all systems; converged ones leave.

    Anderson's acceleration (J. ACM 12, 547 (1965)) over the last rotations; its coefficients are one set a system,
    shared by the spins. Every twelve iterations the origin is chosen anew, of large systems every 24.
    """
    stretch = _RENEW if builder.layout.size <= LARGE else 2 * _RENEW
    best = state = replace(begin)  # is moved on in place, so that matrices of large systems are not held twice
    del begin
    active = torch.nonzero(best.residual > options.tolerance).squeeze(1)
    sub, occupied = builder, n_occupied
    if active.numel() < best.residual.numel():
        state, sub, occupied = best.select(active), builder.select(active), n_occupied[active]
    for round_ in range(-(-options.max_iterations // stretch)):
        if active.numel() == 0:
            break
        if round_ > 0:
            energies, orbitals = diagonalize(state.fock, sub.layout.real_rows)
            state = at_orbitals(sub, orbitals, energies, occupied, state)
        _accelerate(sub, state, options, stretch)
        best = best.replace_at(active, state)
        keep = torch.nonzero(state.residual > options.tolerance).squeeze(1)
        if 0 < keep.numel() < active.numel():
            sub = sub.select(keep)
        active, occupied, state = active[keep], occupied[keep], state.select(keep)
    return best


def _accelerate(builder: FockBuilder, state: Iterate, options: SCFOptions, stretch: int) -> None:
    """Move a state on by one stretch of the accelerated iteration about one origin."""
    origin, dtype = state.origin, state.density.dtype
    inverse_gap = 1 / origin.gap.clamp(min=_MIN_GAP)
    x = torch.zeros_like(inverse_gap)
    residual = rotation_residual(origin, origin.occupied, state.fock)
    large = builder.layout.size > LARGE
    rough = origin.single() if large else origin
    anderson = _Anderson(x, options.history, rough.occupied.dtype)
    for _ in range(stretch):
        running = state.residual > options.tolerance
        if not bool(running.any()):
            break
        x = anderson.next(x, -residual * inverse_gap)
        x = x * (_MAX_ROTATION / x.abs().flatten(1).amax(dim=1).clamp(min=_MAX_ROTATION))[:, None, None, None]
        if bool((state.residual <= _ROUGH).any()):
            rough = origin
        state.density = state.fock = x[:0]  # makes room for the next
        turn = x.to(rough.occupied.dtype)
        occupied, mixed = rotated_and_mixed(rough, turn) if large else (rotated_orbitals(rough, turn), None)
        state.density = density_of(occupied).to(dtype)
        state.fock = builder.fock(state.density)
        residual = rotation_residual(rough, occupied, state.fock.to(occupied.dtype), mixed).to(dtype)
        state.residual = largest(residual)
        state.iterations = state.iterations + running
    del anderson  # before the energy's matrices
    state.energy = field_energy(builder, state.density, state.fock)


class _Anderson:
    """Anderson's acceleration: the combination Σ c_k (x_k + step_k), Σ c = 1, whose combined step is shortest.

    Steps serve for the coefficients only; those of large systems are kept in single precision.
    """

    def __init__(self, like: Tensor, history: int, kept: torch.dtype) -> None:
        systems, n = like.shape[0], like[0].numel()
        self.shape, self.history, self.count = like.shape, history, 0
        self.steps = like.new_empty(systems, history, n, dtype=kept)
        self.moved = like.new_empty(systems, history, n)
        self.gram = like.new_zeros(systems, history, history)

    def next(self, x: Tensor, step: Tensor) -> Tensor:
        """Take in x and its step, of the shape of ``like``, and give the next x."""
        slot, flat = self.count % self.history, step.flatten(1)
        self.count += 1
        k = min(self.count, self.history)
        self.steps[:, slot] = flat
        torch.add(x.flatten(1), flat, out=self.moved[:, slot])
        products = (self.steps[:, :k] @ self.steps[:, slot, :, None]).squeeze(2).to(flat.dtype)
        self.gram[:, slot, :k] = products
        self.gram[:, :k, slot] = products
        if k == 1:
            return x + step
        weights = self._weights(self.gram[:, :k, :k])
        return (weights[:, None, :] @ self.moved[:, :k]).view(self.shape)

    def _weights(self, gram: Tensor) -> Tensor:
        # least |Σ c_k step_k|² under Σ c_k = 1: a Lagrange multiplier borders the matrix of scalar products, which is
        # scaled by its smallest element and held off singularity as the steps become alike
        diagonal = gram.diagonal(dim1=1, dim2=2)
        scale = diagonal.amin(dim=1).clamp(min=1e-300)
        k = gram.shape[1]
        matrix = gram.new_ones(gram.shape[0], k + 1, k + 1)
        matrix[:, :k, :k] = (gram + 1e-10 * torch.diag_embed(diagonal)) / scale[:, None, None]
        matrix[:, k, k] = 0
        right = gram.new_zeros(gram.shape[0], k + 1, 1)
        right[:, k] = 1
        solution, info = torch.linalg.solve_ex(matrix, right)
        last = torch.zeros_like(solution[:, :k, 0])
        last[:, (self.count - 1) % self.history] = 1
        return torch.where((info == 0)[:, None], solution[:, :k, 0], last)
