"""The conductor-like continuum: charges on a cavity's surface that answer a molecule's charge distribution."""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import Tensor

from nddo_ml.environments.cavity import Surface
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.integrals.potential import multipole_potential
from nddo_ml.methods.parameters import Parameters

_NEAREST = 1e-14  # Å²; the interaction of two Gaussians that are nearer to one another is constant
_NOTHING = 1e-30  # F of what is no point


def reaction_matrix(surface: Surface, sources: Tensor, factor: float, coulomb: float) -> Tensor:
    """``M = −f Bᵀ A⁻¹ B``, [systems, K, K] eV, of sources whose potential on the surface is B.

    The charges q of the surface solve ``A q = −f Φ``, ``A_ij = erf(ζ_ij r_ij)/r_ij``, ``A_ii = ζ_i √(2/π)/F_i``,
    ``ζ_ij = ζ_i ζ_j/√(ζ_i² + ζ_j²)``, and the energy of a charge distribution p is ``½ Φ·q = ½ p·M p`` with Φ = B p.
    What is no point has no F, and no charge. Source: Lange & Herbert, J. Chem. Phys. 133, 244111 (2010).

    Args:
        surface: of the cavities.
        sources: B [systems, n, K] 1/Å.
        factor: f of the dielectric.
        coulomb: e²/(4π ε_0) in eV Å.
    """
    own = surface.exponent * (2 / pi) ** 0.5 / surface.switch.clamp(min=_NOTHING)
    matrix = _Gaussians.apply(surface.positions, surface.exponent, own)
    with torch.no_grad():
        root = torch.linalg.cholesky(matrix)
    return (-factor * coulomb) * sources.transpose(1, 2) @ _Solve.apply(matrix, sources, root)


def surface_potential(surface: Surface, positions: Tensor, parameters: Parameters, layout: OrbitalLayout) -> Tensor:
    """Potential of every one-centre product at the points of its system's surface, [systems, n, K] 1/Å.

    Outside the molecule that is the potential of their multipole moments; cores are point charges.
    """
    n = surface.positions.shape[1]
    most, places = layout.product_places
    bohr = parameters.constants.bohr_angstrom
    potential = positions.new_zeros(layout.n_systems * most, n)
    for group, at in zip(layout.atom_groups, places, strict=True):
        width, count = group.width, group.atoms.shape[0]
        vector = surface.positions[layout.system_idx[group.atoms]] - positions[group.atoms, None]
        separation = parameters.multipoles.separation[group.atoms] * bohr
        values = multipole_potential(vector, separation, width).transpose(1, 2)
        potential = potential.index_copy(0, at.flatten(), values.reshape(count * len(packed_pairs(width)), n))
    return potential.view(layout.n_systems, most, n).transpose(1, 2)


class _Gaussians(torch.autograd.Function):
    """``erf(ζ_ij r_ij)/r_ij`` of points [systems, n, 3] with exponents [systems, n], and a diagonal [systems, n].

    The derivative is a matrix product with the points; nothing but the result is kept for it.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, exponent: Tensor, diagonal: Tensor) -> Tensor:
        r2, zeta = _distances(points, exponent)
        r = r2.sqrt()
        value = zeta.mul_(r).erf_().div_(r)
        value.diagonal(dim1=1, dim2=2).copy_(diagonal)
        ctx.save_for_backward(points, exponent, value)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        points, exponent, value = ctx.saved_tensors
        r2, zeta = _distances(points, exponent)
        slope = (2 / pi**0.5 * zeta * torch.exp(-(zeta * zeta) * r2) - value) / (2 * r2)  # ∂A/∂r²
        here = torch.eye(grad.shape[1], dtype=torch.bool, device=grad.device)
        weight = (grad * slope).masked_fill(here, 0.0)
        weight = 2 * (weight + weight.transpose(1, 2))
        by_points = weight.sum(dim=2, keepdim=True) * points - weight @ points
        return by_points, None, grad.diagonal(dim1=1, dim2=2)


def _distances(points: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Squares of distances, but for the smallest, and ζ_ij, [systems, n, n]."""
    x, y, z = ((u[:, :, None] - u[:, None, :]).square() for u in points.unbind(dim=2))
    width = exponent**-2
    return (x + y + z).clamp(min=_NEAREST), (width[:, :, None] + width[:, None, :]).rsqrt()


class _Solve(torch.autograd.Function):
    """``A⁻¹ B`` of symmetric matrices A with their Cholesky factors, differentiable to any order."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, right: Tensor, root: Tensor) -> Tensor:
        solution = torch.cholesky_solve(right, root)
        ctx.save_for_backward(matrix, solution, root)
        return solution

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        matrix, solution, root = ctx.saved_tensors
        back = _Solve.apply(matrix, grad, root)
        return -back @ solution.transpose(1, 2), back, None
