"""The two loops of the self-consistent field: accelerated rotation of orbitals, and descent in energy.

Both describe the occupied space by a rotation x of reference orbitals, so that an iteration is a Fock matrix and a few
matrix products; diagonalisation is needed only to choose the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nddo_ml.density import (
    Reference,
    density_of,
    diagonalize,
    reference,
    rotated_orbitals,
    rotation_residual,
)
from nddo_ml.fock import FockBuilder

_MIN_GAP = 1.0  # eV, floor of orbital-energy differences in the preconditioner
_MAX_ROTATION = 1.2  # largest element of a rotation about one reference
_RENEW = 12  # iterations after which the reference is chosen anew


@dataclass(frozen=True)
class Iterate:
    """Where the iteration of a batch stands."""

    reference: Reference
    density: Tensor  # [systems, spin, M, M]
    fock: Tensor  # [systems, spin, M, M] eV, of this density
    energy: Tensor  # [systems] eV, electronic
    residual: Tensor  # [systems] eV
    iterations: Tensor  # [systems]

    def select(self, index: Tensor) -> Iterate:
        """That of some systems."""
        return Iterate(
            self.reference.select(index),
            *(t[index] for t in (self.density, self.fock, self.energy, self.residual, self.iterations)),
        )

    def replace_at(self, index: Tensor, other: Iterate) -> Iterate:
        """This with the systems ``index`` taken from ``other``."""
        return Iterate(
            self.reference.replace_at(index, other.reference),
            self.density.index_copy(0, index, other.density),
            self.fock.index_copy(0, index, other.fock),
            self.energy.index_copy(0, index, other.energy),
            self.residual.index_copy(0, index, other.residual),
            self.iterations.index_copy(0, index, other.iterations),
        )


def electronic_energy(builder: FockBuilder, density: Tensor, fock: Tensor) -> Tensor:
    """``½ Σ_σ tr P_σ (h_core + F_σ)``, [systems] eV."""
    weight = 1.0 if density.shape[1] == 1 else 0.5
    return weight * (density * (builder.h_core[:, None] + fock)).sum(dim=(1, 2, 3))


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
        ref = reference(energies, orbitals, n_occupied)
        density = density_of(ref.occupied)
    return _at(builder, ref, torch.full_like(n_occupied[:, 0], diagonalizations))


def at_orbitals(builder: FockBuilder, orbitals: Tensor, energies: Tensor, n_occupied: Tensor, like: Iterate) -> Iterate:
    """The state whose first ``n_occupied`` orbitals are filled; iterations are counted on from ``like``."""
    return _at(builder, reference(energies, orbitals, n_occupied, like.reference), like.iterations)


def _occupy(builder: FockBuilder, state: Iterate, n_occupied: Tensor, shift: Tensor) -> Iterate:
    """Diagonalise the Fock matrix with its empty orbitals raised by ``shift`` [systems] eV and occupy from below.

    The larger the shift, the nearer the new density to the old one (Saunders & Hillier, Int. J. Quantum Chem. 7, 699
    (1973)); without shift this is the aufbau occupation.
    """
    raised = state.fock - shift[:, None, None, None] * state.density
    energies, orbitals = diagonalize(raised, builder.layout.real_rows)
    return _at(builder, reference(energies, orbitals, n_occupied, state.reference), state.iterations)


def _at(builder: FockBuilder, ref: Reference, iterations: Tensor) -> Iterate:
    density = density_of(ref.occupied)
    fock = builder.fock(density)
    residual = rotation_residual(ref, ref.occupied, fock)
    energy = electronic_energy(builder, density, fock)
    return Iterate(ref, density, fock, energy, _largest(residual), iterations + 1)


def _largest(residual: Tensor) -> Tensor:
    return residual.abs().flatten(1).amax(dim=1) if residual[0].numel() else residual.new_zeros(residual.shape[0])


def iterate(
    builder: FockBuilder,
    begin: Iterate,
    n_occupied: Tensor,
    tolerance: float,
    limit: int,
    history: int,
    shift: float = 0.0,
    renew: int = _RENEW,
) -> Iterate:
    """Accelerated fixed-point iteration ``x ← x − residual(x)/gap`` of all systems; converged ones leave.

    Anderson's acceleration (J. ACM 12, 547 (1965)) over the last ``history`` rotations; its coefficients are one set a
    system, shared by the spins. Every ``renew`` iterations the reference is chosen anew, with a level shift if wanted.
    """
    best = begin
    active = torch.nonzero(begin.residual > tolerance).squeeze(1)
    state, sub, occupied = begin, builder, n_occupied
    if active.numel() < begin.residual.numel():
        state, sub, occupied = begin.select(active), builder.select(active), n_occupied[active]
    for round_ in range(-(-limit // renew)):
        if active.numel() == 0:
            break
        if round_ > 0:
            state = _occupy(sub, state, occupied, torch.full_like(state.energy, shift))
        state = _accelerate(sub, state, tolerance, renew, history)
        best = best.replace_at(active, state)
        keep = torch.nonzero(state.residual > tolerance).squeeze(1)
        if 0 < keep.numel() < active.numel():
            sub = sub.select(keep)
        active, occupied, state = active[keep], occupied[keep], state.select(keep)
    return best


def _accelerate(builder: FockBuilder, begin: Iterate, tolerance: float, limit: int, history: int) -> Iterate:
    """One stretch of the accelerated iteration about one reference."""
    ref = begin.reference
    inverse_gap = 1 / ref.gap.clamp(min=_MIN_GAP)
    x = torch.zeros_like(ref.gap)
    density, fock = begin.density, begin.fock
    residual = rotation_residual(ref, ref.occupied, fock)
    size = _largest(residual)
    count = begin.iterations
    anderson = _Anderson(x, history)
    for _ in range(limit):
        running = size > tolerance
        if not bool(running.any()):
            break
        x = anderson.next(x, -residual * inverse_gap)
        x = x * (_MAX_ROTATION / x.abs().flatten(1).amax(dim=1).clamp(min=_MAX_ROTATION))[:, None, None, None]
        occupied = rotated_orbitals(ref, x)
        density = density_of(occupied)
        fock = builder.fock(density)
        residual = rotation_residual(ref, occupied, fock)
        size = _largest(residual)
        count = count + running
    return Iterate(ref, density, fock, electronic_energy(builder, density, fock), size, count)


class _Anderson:
    """Anderson's acceleration: the combination Σ c_k (x_k + step_k), Σ c = 1, whose combined step is shortest."""

    def __init__(self, like: Tensor, history: int) -> None:
        systems, n = like.shape[0], like[0].numel()
        self.shape, self.history, self.count = like.shape, history, 0
        self.steps = like.new_empty(systems, history, n)
        self.moved = like.new_empty(systems, history, n)
        self.gram = like.new_zeros(systems, history, history)

    def next(self, x: Tensor, step: Tensor) -> Tensor:
        """Take in x and its step, of the shape of ``like``, and give the next x."""
        slot, flat = self.count % self.history, step.flatten(1)
        self.count += 1
        k = min(self.count, self.history)
        self.steps[:, slot] = flat
        torch.add(x.flatten(1), flat, out=self.moved[:, slot])
        products = (self.steps[:, :k] @ flat[:, :, None]).squeeze(2)
        self.gram[:, slot, :k] = products
        self.gram[:, :k, slot] = products
        if k == 1:
            return x + step
        weights = self._weights(self.gram[:, :k, :k])
        return (weights[:, None, :] @ self.moved[:, :k]).view(self.shape)

    def _weights(self, gram: Tensor) -> Tensor:
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


def descend(builder: FockBuilder, begin: Iterate, n_occupied: Tensor, tolerance: float, limit: int) -> Iterate:
    """Lower the energy with level shifts that adapt until the residual is below ``tolerance``.

    A step that raises the energy is taken back and its shift enlarged, so that this ends in a minimum whatever the
    start; it is slow and used last.
    """
    state = begin
    shift = torch.full_like(begin.energy, 4.0)
    for _ in range(limit):
        running = state.residual > tolerance
        if not bool(running.any()):
            break
        tried = _occupy(builder, state, n_occupied, shift)
        accept = torch.nonzero(running & (tried.energy <= state.energy + 1e-10)).squeeze(1)
        lower = torch.zeros_like(running)
        lower[accept] = True
        state = replace(state, iterations=state.iterations + running)
        state = state.replace_at(accept, tried.select(accept))
        shift = torch.where(lower, 0.6 * shift, 3.0 * shift).clamp(0.5, 1e4)
    return state
