"""Second-order minimisation of the energy over rotations of orbitals, and the lowest curvature at a stationary point.

With x [systems, spin, V, O] the rotation of the occupied space, ``C_occ + C_empty x`` made orthonormal, the energy is
``E(x) = E + w (2 g·x + x·A x) + …``, w = 2 for a closed shell and 1 otherwise, with the slope ``g_ai = F_ai`` and the
orbital Hessian ``A x = x_ai (ε_a − ε_i) + G[C_a x C_iᵀ + h.c.]_ai`` in orbitals that make the occupied and the empty
block of F diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nddo_ml.scf.density import (
    SplitOrbitals,
    canonical_orbitals,
    density_of,
    dot,
    norm,
    rotated_orbitals,
    rotation_residual,
    spins_a_matrix,
    to_rotation,
)
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import Iterate, SCFOptions, field_energy, largest

_MIN_GAP = 1.0  # eV, floor of orbital-energy differences in the preconditioner
_RADIUS = (1.0, 3.0)  # eV^½, first and largest radius; lengths are √(x·gap x)
_INNER = 60  # Hessian-vector products a step
_LOOSE = 0.2  # relative residual of a Newton equation far from the solution
_NEARLY = 1e-2  # eV, a residual from which the energy hardly falls
_GUESSES = 3  # excitations to start from in the search for negative curvature
_DAVIDSON = 15  # steps of it


@dataclass(frozen=True)
class _Model:
    """The energy to second order at the orbitals of a state."""

    builder: FockBuilder
    origin: SplitOrbitals
    slope: Tensor  # [systems, spin, V, O] eV
    gap: Tensor  # eV, zero where an orbital is absent
    metric: Tensor  # eV, positive preconditioner

    @classmethod
    def at(cls, builder: FockBuilder, state: Iterate, n_occupied: Tensor) -> _Model:
        """In orbitals that make both blocks of the state's Fock matrix diagonal."""
        half = state.density @ state.fock
        within = state.fock - half - half.transpose(2, 3) + 2 * half @ state.density
        origin = canonical_orbitals(within, state.density, builder.layout.real_rows, n_occupied, state.origin)
        gap = torch.where(torch.isfinite(origin.gap), origin.gap, 0.0)
        return cls(builder, origin, to_rotation(origin, state.fock), gap, gap.abs().clamp(min=_MIN_GAP))

    def curvature(self, x: Tensor) -> Tensor:
        """A x."""
        return self.builder.orbital_hessian(self.origin, self.gap, x)


def minimize(
    builder: FockBuilder, begin: Iterate, n_occupied: Tensor, options: SCFOptions, below: Tensor | None = None
) -> Iterate:
    """Lower the energy to a minimum by Newton steps within a trust radius; every system goes at its own pace.

    A step solves ``A x = −g`` by conjugate gradients up to the radius or to a direction of negative curvature, which
    it follows (Steihaug, SIAM J. Numer. Anal. 20, 626 (1983)). The radius adapts to how well the energy was predicted.

    Args:
        builder: Fock matrices of the batch.
        begin: states to start from.
        n_occupied: [systems, spin].
        options: tolerance of the residual and limit of steps.
        below: [systems] eV; a system that is about to end above this energy is given up.
    """
    best, sub, state, occupied = begin, builder, begin, n_occupied
    active = torch.arange(begin.energy.shape[0], device=begin.energy.device)
    radius = torch.full_like(begin.energy, _RADIUS[0])
    for _ in range(options.max_descent):
        running = state.residual > options.tolerance
        if below is not None:
            running &= (state.energy < below[active]) | (state.residual > _NEARLY)
        keep = torch.nonzero(running).squeeze(1)
        if not keep.numel():
            break
        if keep.numel() < active.numel():
            sub, state, occupied = sub.select(keep), state.select(keep), occupied[keep]
            active, radius = active[keep], radius[keep]
        state, radius = _newton(sub, state, occupied, radius)
        best = best.replace_at(active, state)
    return best


def _newton(builder: FockBuilder, state: Iterate, n_occupied: Tensor, radius: Tensor) -> tuple[Iterate, Tensor]:
    """One step of all systems; one that does not lower the energy is not taken. Also the next radii."""
    model = _Model.at(builder, state, n_occupied)
    x, predicted, products = _truncated(model, radius)
    predicted = predicted * 2 * spins_a_matrix(state.density)
    tried = rotated(builder, state, model.origin, x)
    gained = tried.energy - state.energy
    noise = 100 * torch.finfo(state.energy.dtype).eps * state.energy.abs()
    small = -predicted < noise
    ratio = torch.where(small, 1.0, gained / torch.where(small, 1.0, predicted))
    taken = torch.where(small, tried.residual <= state.residual, ratio > 1e-3)
    length = _length(model, x)
    grown = torch.where((ratio > 0.75) & (length > 0.9 * radius), 2 * radius, radius).clamp(max=_RADIUS[1])
    radius = torch.where(taken & (ratio > 0.25), grown, 0.3 * length)
    state = replace(state, iterations=state.iterations + products + 1)
    chosen = torch.nonzero(taken).squeeze(1)
    return state.replace_at(chosen, replace(tried, iterations=state.iterations).select(chosen)), radius


def _truncated(model: _Model, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The step x, ``g·x + ½ x·A x`` and the number of Hessian-vector products of each system."""
    x, ax = torch.zeros_like(model.slope), torch.zeros_like(model.slope)
    r = -model.slope
    z = r / model.metric
    d, product = z, dot(r, z)
    # the nearer to the solution, the more exactly each equation is solved: that makes the end quadratic
    limit = norm(r) * largest(r).clamp(max=_LOOSE)
    running = product > 0
    count = torch.zeros_like(running, dtype=torch.int64)
    for _ in range(_INNER):
        if not bool(running.any()):
            break
        count = count + running
        ad = model.curvature(d)
        curvature = dot(d, ad)
        step = torch.where(curvature > 0, product / curvature, torch.inf)
        to_edge = _to_edge(model, x, d, radius)
        # a negative curvature leads downhill without end: as far as the edge
        inside = step < to_edge
        step = torch.where(running, torch.minimum(step, to_edge), 0.0)
        x, ax, r = (u + _wide(step) * v for u, v in ((x, d), (ax, ad), (r, -ad)))
        running = running & inside & (norm(r) > limit)
        z = r / model.metric
        old, product = product, dot(r, z)
        d = z + _wide(torch.where(running, product / old, 0.0)) * d
    return x, dot(model.slope, x) + 0.5 * dot(x, ax), count


def _to_edge(model: _Model, x: Tensor, d: Tensor, radius: Tensor) -> Tensor:
    """The positive t with ``|x + t d| = radius``, [systems]."""
    weighted = model.metric * d
    a, b = dot(d, weighted).clamp(min=1e-300), dot(x, weighted)
    c = radius.square() - _length(model, x).square()
    return (-b + (b.square() + a * c).clamp(min=0).sqrt()) / a


def rotated(builder: FockBuilder, state: Iterate, origin: SplitOrbitals, x: Tensor) -> Iterate:
    """The state whose occupied orbitals are those of ``origin`` rotated by x."""
    occupied = rotated_orbitals(origin, x)
    density = density_of(occupied)
    fock = builder.fock(density)
    residual = rotation_residual(origin, occupied, fock)
    energy = field_energy(builder, density, fock)
    return Iterate(origin, density, fock, energy, largest(residual), state.iterations + 1)


def _wide(a: Tensor) -> Tensor:
    return a.view(-1, 1, 1, 1)


def _length(model: _Model, x: Tensor) -> Tensor:
    return dot(x, model.metric * x).sqrt()


def lowest_curvature(builder: FockBuilder, state: Iterate, n_occupied: Tensor) -> tuple[Tensor, Tensor, SplitOrbitals]:
    """The lowest eigenvalue of the orbital Hessian and its eigenvector, by Davidson's method.

    A negative eigenvalue says that the stationary point is a saddle (Seeger & Pople, J. Chem. Phys. 66, 3045 (1977)).

    Returns:
        Eigenvalues [systems] eV, eigenvectors [systems, spin, V, O] of unit length and the orbitals they refer to.
    """
    model = _Model.at(builder, state, n_occupied)
    shape = model.slope.shape
    basis = _orthonormal(_first_guesses(model), None)
    image = basis.new_zeros(shape[0], 0, basis.shape[2])
    for step in range(_DAVIDSON):
        new = basis[:, image.shape[1] :]
        products = [model.curvature(new[:, k].view(shape)).flatten(1) for k in range(new.shape[1])]
        image = torch.cat([image, torch.stack(products, dim=1)], dim=1)
        inner = basis @ image.transpose(1, 2)
        # vectors that vanished lie high
        absent = (basis.square().sum(dim=2) < 0.5).to(inner.dtype)
        values, weights = torch.linalg.eigh(0.5 * (inner + inner.transpose(1, 2)) + torch.diag_embed(1e4 * absent))
        value, weight = values[:, 0], weights[:, None, :, 0]
        vector, residual = (weight @ basis).squeeze(1), (weight @ image).squeeze(1)
        residual = residual - value[:, None] * vector
        if step == _DAVIDSON - 1 or bool((residual.norm(dim=1) < 0.01 * value.abs() + 1e-3).all()):
            break
        distance = model.metric.flatten(1) - value[:, None]
        preconditioned = residual / torch.where(distance.abs() < 0.3, 0.3, distance)
        basis = torch.cat([basis, _orthonormal(preconditioned[:, None], basis)], dim=1)
    return value, vector.view(shape), model.origin


def _first_guesses(model: _Model) -> Tensor:
    """[systems, k, V·O]: the excitations of least energy, each alone, and a sum of all without symmetry."""
    gap = torch.where(torch.isfinite(model.origin.gap), model.origin.gap, torch.inf).flatten(1)
    count = min(_GUESSES, gap.shape[1])
    order = gap.argsort(dim=1)[:, :count]
    units = torch.zeros(gap.shape[0], count, gap.shape[1], dtype=gap.dtype, device=gap.device)
    units.scatter_(2, order[:, :, None], 1.0)
    rank = gap.argsort(dim=1).argsort(dim=1).to(gap.dtype)
    mixture = torch.cos(rank * rank) / gap.abs().clamp(min=_MIN_GAP)
    present = torch.isfinite(gap)[:, None]
    return torch.cat([units, mixture[:, None]], dim=1) * present


def _orthonormal(vectors: Tensor, basis: Tensor | None) -> Tensor:
    """Gram–Schmidt, twice; vectors that depend on the others become zero."""
    done = vectors[:, :0] if basis is None else basis
    first = done.shape[1]
    for k in range(vectors.shape[1]):
        v = vectors[:, k : k + 1]
        v = v / v.norm(dim=2, keepdim=True).clamp(min=1e-30)
        for _ in range(2):
            v = v - (v @ done.transpose(1, 2)) @ done
            size = v.norm(dim=2, keepdim=True)
            v = torch.where(size > 1e-6, v / size.clamp(min=1e-30), 0.0)
        done = torch.cat([done, v], dim=1)
    return done[:, first:]
