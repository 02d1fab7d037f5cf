"""Normal modes: from second derivatives to frequencies, displacements and infrared intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.elements import atomic_masses, symbol_of
from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems
from nddo_ml.workflows.second_derivatives import Derivatives

_WAVENUMBER = 521.470898  # cm⁻¹ of an angular frequency √(eV/u)/Å: √(e/u)/(2π c), CODATA 2018
INTENSITY = 974.880  # km/mol of (∂μ/∂Q)² = e²/u: N_A e²/(12 ε_0 c² u), CODATA 2018
_LINEAR = 1e-3  # of the largest: a smaller rotation about the axis of a linear molecule is none
_STIFFEST = 6000.0  # cm⁻¹; the stiffest bond for its mass, H2's, has 4,401
_SHARE = 0.15  # of a mode's kinetic energy, from which an atom takes part in its name


@dataclass(frozen=True)
class Vibrations:
    """Harmonic vibrations of one molecule, lowest first; translations and rotations are projected out."""

    frequencies: Tensor  # [modes] cm⁻¹; imaginary ones negative
    modes: Tensor  # [modes, atoms, 3] Cartesian displacements, normalised with the masses: Σ m |d|² = 1, u^−½
    intensities: Tensor | None  # [modes] km/mol, of the infrared absorption


def normal_modes(systems: Systems, derivatives: Derivatives, free: int = 6) -> Vibrations:
    """Eigenvectors of the mass-weighted Hessian within the displacements that change the shape.

    ``I = N_A/(12 ε_0 c²) |∂μ/∂Q|²`` (Wilson, Decius & Cross, Molecular Vibrations, 1955).

    Args:
        systems: one molecule at a stationary point; its ``masses`` are those of its isotopes, where it has any.
        derivatives: its second derivatives.
        free: how many of the three translations and three rotations are left out, see :func:`free_motions`.
    """
    masses = masses_of(systems).repeat_interleave(3)
    weighted = derivatives.hessian / torch.sqrt(masses[:, None] * masses[None, :])
    basis = internal_basis(systems.positions.detach(), masses, free)
    values, vectors = torch.linalg.eigh(basis.T @ weighted @ basis)
    modes = (basis @ vectors).T / masses.sqrt()
    strength = None
    if derivatives.dipole is not None:
        strength = INTENSITY * (modes @ derivatives.dipole.T).square().sum(dim=1)
    frequencies = _WAVENUMBER * values.sign() * values.abs().sqrt()
    return Vibrations(frequencies, modes.view(-1, systems.n_atoms, 3), strength)


def masses_of(systems: Systems) -> Tensor:
    """Masses [atoms] u: of the isotopes where they are said, else standard atomic weights."""
    standard = atomic_masses(systems.numbers, systems.positions.dtype)
    return standard if systems.masses is None else systems.masses


def walls(frequencies: Sequence[float]) -> str:
    """What to say of modes that no molecule has; empty where there are none."""
    above = [f"{f:.0f}" for f in frequencies if f > _STIFFEST]
    text = f"expected no mode above {_STIFFEST:.0f} cm⁻¹; got {', '.join(above)}: the model's surface has a wall here"
    return f"{text}, and no thermochemistry or spectrum of it is to be believed" if above else ""


def named_mode(mode: Tensor, numbers: Sequence[int], masses: Tensor) -> str:
    """The atoms that do most of a mode's moving, counted from 0: "H3 62 %, C1 25 %".

    Args:
        mode: [atoms, 3] displacements.
        numbers: atomic numbers.
        masses: [atoms] u.
    """
    share = masses * mode.square().sum(dim=1)
    share = share / share.sum()
    order = share.argsort(descending=True).tolist()[:4]
    told = [k for k in order if float(share[k]) >= _SHARE] or order[:1]
    return ", ".join(f"{symbol_of(int(numbers[k]))}{k} {100 * float(share[k]):.0f} %" for k in told)


def free_motions(model: AbstractModel) -> int:
    """How many translations and rotations cost no energy: six, or fewer in surroundings."""
    return 6 if model.environment is None else model.environment.free_motions


def internal_basis(positions: Tensor, masses: Tensor, free: int = 6) -> Tensor:
    """Orthonormal mass-weighted displacements without the first ``free`` translations and rotations,
    [3 atoms, modes].

    Args:
        positions: [atoms, 3] Å.
        masses: [3 atoms] u, every atom's three times.
        free: see above.
    """
    n = positions.shape[0]
    weight = masses.view(n, 3)
    centred = positions - (weight * positions).sum(dim=0) / weight.sum(dim=0)
    axes = torch.eye(3, dtype=positions.dtype, device=positions.device)
    moves = [axis.expand(n, 3) for axis in axes] + [torch.linalg.cross(axis.expand(n, 3), centred) for axis in axes]
    if not free:
        return torch.eye(3 * n, dtype=positions.dtype, device=positions.device)
    rigid = torch.stack([(m * weight.sqrt()).reshape(-1) for m in moves[:free]], dim=1)
    vectors, sizes, _ = torch.linalg.svd(rigid, full_matrices=True)
    rank = int((sizes > _LINEAR * sizes[0]).sum())
    return vectors[:, rank:]
