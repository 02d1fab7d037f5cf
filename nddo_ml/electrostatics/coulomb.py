"""Coulomb interactions of Gaussian charges: matrices of molecules by direct sums, of cells by lattice sums."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nddo_ml.electrostatics.lattice import lattice_matrix
from nddo_ml.electrostatics.rows import AtomRows
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

COULOMB = HARTREE_EV * BOHR_ANGSTROM  # e²/(4π ε_0), eV Å


def gaussian_interaction(r: Tensor, width: Tensor) -> Tensor:
    """``erf(r / (√2 γ)) / r`` of two Gaussian charges at distance r, ``γ² = σ_i² + σ_j²``; 1/Å of Å."""
    return torch.erf(r / (math.sqrt(2) * width)) / r


def self_interaction(width: Tensor) -> Tensor:
    """``1 / (√π σ)``, twice the energy of a unit Gaussian charge of width σ; 1/Å of Å."""
    return 1 / (math.sqrt(math.pi) * width)


def coulomb_matrices(systems: Systems, rows: AtomRows, widths: Tensor) -> Tensor:
    """``A_ij = Σ_n erf(|r_ij + n| / (√2 γ_ij)) / |r_ij + n|``, ``A_ii = 1/(√π σ_i)`` and images; eV/e².

    ½ qᵀ A q is the Coulomb energy of charges q, of a cell with a uniform background that makes it neutral.

    Args:
        systems: molecules, slabs (two periodic directions) and crystals; the result is differentiable by positions
            and cells.
        rows: of the batch.
        widths: σ, [atoms] Å.

    Returns:
        [systems, rows, rows], zeros where there is no atom.

    Raises:
        InputError: a system that is periodic in one direction only.
    """
    mask = rows.mask
    both = mask[:, :, None] & mask[:, None, :]
    apart = both & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    positions, sigma = rows.padded(systems.positions.to(widths)), rows.padded(widths)
    squares = (positions[:, :, None] - positions[:, None, :]).square().sum(3)
    width = torch.where(both, sigma.square()[:, :, None] + sigma.square()[:, None, :], 1.0).sqrt()
    pairs = torch.where(apart, gaussian_interaction(torch.where(apart, squares, 1.0).sqrt(), width), 0.0)
    alone = torch.where(mask, self_interaction(torch.where(mask, sigma, 1.0)), 0.0)
    matrices = pairs + torch.diag_embed(alone)
    periodic = systems.pbc.any(dim=1)
    if bool(periodic.any()):
        found = list(matrices)
        for k in torch.nonzero(periodic).squeeze(1).tolist():
            n = int(rows.counts[k])
            cell = systems.cell[k].to(widths)
            lattice = lattice_matrix(positions[k, :n], cell, systems.pbc[k], sigma[k, :n], k)
            found[k] = torch.nn.functional.pad(lattice, (0, mask.shape[1] - n) * 2)
        matrices = torch.stack(found)
    return COULOMB * matrices
