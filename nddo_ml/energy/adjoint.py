"""The density as a differentiable function of the integrals: one adjoint solve in the occupied–empty block.

A loss on forces needs no more than this. The force ``−Σ w(P) ∂I/∂R`` is linear in the derivatives of the integrals
I, whose graph autograd keeps, and depends on the field only through the density in its weights w; the loss's derivative
by that density is one matrix for all of charges, dipoles and forces together, and one linear equation answers it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nddo_ml.energy.functional import flat_integrals, fock_weights
from nddo_ml.errors import ResponseError
from nddo_ml.integrals.build import Integrals
from nddo_ml.scf.density import SplitOrbitals, canonical_orbitals, dot, from_rotation, norm, to_rotation
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.solve import SCFResult

_LOG = logging.getLogger(__name__)
_MIN_GAP = 1.0  # eV, floor of orbital-energy differences in the preconditioner


@dataclass(frozen=True)
class ResponseOptions:
    """When the response of the density counts as solved."""

    tolerance: float = 1e-8  # of the residual, relative to the right-hand side
    max_iterations: int = 200
    strict: bool = True  # whether a failure is an error; else it is logged and the system has no response


def implicit_density(
    integrals: Integrals,
    builder: FockBuilder,
    scf: SCFResult,
    options: ResponseOptions,
    systems: Tensor,
) -> Tensor:
    """The converged density with its gradient by the integrals, [systems, spin, M, M].

    The field is stationary, ``F_ai(P, I) = 0``, so a change of the integrals rotates the orbitals by U with
    ``A U = −δF``, ``A U = (ε_a − ε_i) U_ai + G[C_a U C_iᵀ + h.c.]_ai``. For a loss with derivative P̄ by the density
    the adjoint ``A Z = P̄_ai`` gives ``δL = tr Λ δF`` with ``Λ = −(C_a Z C_iᵀ + h.c.)``: no orbital is
    differentiated, so degenerate ones do no harm. Where P̄ vanishes nothing is solved.

    Args:
        integrals: with their graph.
        builder: Fock matrices of these integrals.
        scf: the converged field.
        options: tolerance and limit of the adjoint solve.
        systems: [systems] numbers by which an error names them.

    Raises (when differentiated):
        ResponseError: the adjoint equation was not solved, naming the systems, unless the options are not strict.
        RuntimeError: a second derivative of the density.
    """
    constants = Integrals(
        integrals.layout,
        integrals.core_charge,
        _detached(integrals.one_electron),
        _detached(integrals.one_center),
        _detached(integrals.two_center),
        _detached(integrals.resonance),
        _detached(integrals.distance),
        _detached(integrals.reaction),
    )
    problem = _Problem(constants, builder, scf, options, systems)
    return _ImplicitDensity.apply(problem, *flat_integrals(integrals))


@dataclass(frozen=True)
class _Problem:
    """What the backward pass needs; no gradients."""

    integrals: Integrals
    builder: FockBuilder
    scf: SCFResult
    options: ResponseOptions
    systems: Tensor


class _ImplicitDensity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, problem: _Problem, *blocks: Tensor) -> Tensor:
        ctx.problem = problem
        ctx.save_for_backward(*blocks)
        return problem.scf.density.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        p: _Problem = ctx.problem
        with torch.no_grad():
            loss_by_density = 0.5 * (grad + grad.transpose(2, 3))
            direction = density_response(p.builder, p.scf, loss_by_density, p.options, p.systems)
            by_integrals = fock_weights(p.integrals, p.scf.density, direction)
        if torch.is_grad_enabled():
            # torch's once_differentiable lets second derivatives pass where ``grad`` is a constant, and they are wrong
            by_integrals = [Once.apply(d, b) for d, b in zip(by_integrals, ctx.saved_tensors, strict=True)]
        return None, *by_integrals


class Once(torch.autograd.Function):
    """Its first argument; whoever differentiates it, which depends on the second, is told that this is not possible."""

    @staticmethod
    def forward(ctx: Any, derivative: Tensor, block: Tensor) -> Tensor:
        return derivative.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None]:
        raise RuntimeError("the density cannot be differentiated twice")


@torch.no_grad()
def density_response(
    builder: FockBuilder, scf: SCFResult, perturbation: Tensor, options: ResponseOptions, systems: Tensor
) -> Tensor:
    """First-order change ``−(C_a Z C_iᵀ + h.c.)``, ``A Z = X_ai``, of the density when X is added to the Fock matrix.

    Systems that are not converged, or have no perturbation, do not change.

    Args:
        builder: Fock matrices of the batch.
        scf: its converged field.
        perturbation: X [systems, spin, M, M] eV, symmetric.
        options: tolerance and limit.
        systems: [systems] numbers by which an error names them.

    Raises:
        ResponseError: the equation was not solved, naming the systems, unless the options are not strict.
    """
    wanted = torch.nonzero(scf.converged & (perturbation != 0).flatten(1).any(dim=1)).squeeze(1)
    change = torch.zeros_like(perturbation)
    if not wanted.numel():
        return change
    origin = canonical_orbitals(scf.fock, scf.density, scf.real_rows, scf.n_occupied).select(wanted)
    some = builder if wanted.numel() == perturbation.shape[0] else builder.select(wanted)
    z, residual = solve_response(some, origin, to_rotation(origin, perturbation[wanted]), options)
    solved = residual <= options.tolerance
    if not bool(solved.all()):
        names = systems[wanted[~solved]].tolist()
        message = (
            f"the response of the density was not solved in {options.max_iterations} iterations for systems {names} "
            f"(relative residual up to {float(residual.max()):.1e}); their field is near an instability"
        )
        if options.strict:
            raise ResponseError(message, names)
        _LOG.warning("%s; they have no response in this gradient", message)
    z = torch.where(solved[:, None, None, None], z, 0.0)
    return change.index_copy(0, wanted, -from_rotation(origin, z))


@torch.no_grad()
def solve_response(
    builder: FockBuilder, origin: SplitOrbitals, right: Tensor, options: ResponseOptions
) -> tuple[Tensor, Tensor]:
    """Solve ``A Z = right`` by preconditioned conjugate residuals, all systems at once.

    A is symmetric, and positive at a minimum; conjugate residuals lower the residual whether it is or not. The
    preconditioner is the inverse of orbital-energy differences; a system that is done stands still.

    Args:
        builder: Fock matrices of the batch.
        origin: orbitals of the converged field.
        right: [systems, spin, V, O].
        options: tolerance and limit.

    Returns:
        Z [systems, spin, V, O] and the residuals [systems], relative to the right-hand sides.
    """
    present = torch.isfinite(origin.gap)
    gap = torch.where(present, origin.gap, 0.0)
    inverse = torch.where(present, 1 / gap.clamp(min=_MIN_GAP), 0.0)

    scale = norm(right).clamp(min=1e-300)
    x, r = torch.zeros_like(right), right
    z = inverse * r
    az = builder.orbital_hessian(origin, gap, z)
    p, ap, product = z, az, dot(z, az)
    residual = torch.ones_like(scale)
    for _ in range(options.max_iterations):
        running = residual > options.tolerance
        smooth = inverse * ap
        step = _ratio(product, dot(ap, smooth), running)
        x, r, z = x + step * p, r - step * ap, z - step * smooth
        residual = norm(r) / scale
        if not bool((residual > options.tolerance).any()):
            break
        az = builder.orbital_hessian(origin, gap, z)
        old, product = product, dot(z, az)
        turn = _ratio(product, old, running)
        p, ap = z + turn * p, az + turn * ap
    return x, residual


def _detached(blocks: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(t.detach() for t in blocks)


def _ratio(numerator: Tensor, denominator: Tensor, running: Tensor) -> Tensor:
    """Quotients [systems, 1, 1, 1], zero for systems that stand still."""
    good = running & (denominator != 0)
    return torch.where(good, numerator / torch.where(good, denominator, 1.0), 0.0).view(-1, 1, 1, 1)
