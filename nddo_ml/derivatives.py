"""Forces, stress and per-atom virial of any energy: the only caller of autograd.grad in the package.

Conventions: forces are −∂E/∂R; the stress has ASE's sign, σ = (1/V) ∂E/∂ε, positive under tension. The
per-atom virial is W_j = −Σ_i r_ij ⊗ ∂E/∂r_ij over the pairs whose neighbour end is j (r_ij = r_j − r_i,
centre i), so that Σ_j W_j = −V σ; assigned to the neighbour it gives the right heat current of a many-body
potential (Fan et al., Phys. Rev. B 92, 094301 (2015)).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nddo_ml.errors import InputError


def gradient(
    energy: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False, retain_graph: bool | None = None
) -> tuple[Tensor, ...]:
    """∂(Σ energy)/∂inputs, zeros where the energy does not depend on an input."""
    total = energy.sum()
    if not total.requires_grad:
        return tuple(torch.zeros_like(x) for x in inputs)
    return torch.autograd.grad(
        total, list(inputs), create_graph=create_graph, retain_graph=retain_graph, materialize_grads=True
    )


def contracted_gradient(
    outputs: Sequence[Tensor], weights: Sequence[Tensor], inputs: Sequence[Tensor], *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """``Σ_k weight_k · ∂output_k/∂inputs``: the derivative of a weighted sum at frozen weights.

    With ``create_graph`` the result depends on the weights as well, so that they may carry a gradient of their own.
    """
    chosen = [(o, w) for o, w in zip(outputs, weights, strict=True) if o.requires_grad]
    if not chosen:
        return tuple(torch.zeros_like(x) for x in inputs)
    if not create_graph:
        # a sum, since for grad_outputs torch loads its symbolic shapes: half a second at the first force
        with torch.enable_grad():  # the outputs have a graph, whatever the caller's mode
            total = torch.stack([(o * w.detach()).sum() for o, w in chosen]).sum()
        return gradient(total, inputs)
    # grad_outputs, since in a sum the derivative would go through the weights as well
    values, factors = zip(*chosen, strict=True)
    return torch.autograd.grad(values, list(inputs), factors, create_graph=True, materialize_grads=True)


def forces_from_positions(energy: Tensor, positions: Tensor, *, create_graph: bool = False) -> Tensor:
    """Forces −∂E/∂R [atoms, 3] eV/Å of energies [systems] eV that depend on positions [atoms, 3] Å."""
    return -gradient(energy, [positions], create_graph=create_graph)[0]


def forces_from_pairs(grad_vectors: Tensor, i: Tensor, j: Tensor, n_atoms: int) -> Tensor:
    """Forces [atoms, 3] eV/Å from ∂E/∂r_ij [pairs, 3] with r_ij = r_j − r_i."""
    forces = grad_vectors.new_zeros(n_atoms, 3)
    return forces.index_add(0, i, grad_vectors).index_add(0, j, -grad_vectors)


def virials_from_pairs(grad_vectors: Tensor, vectors: Tensor, j: Tensor, n_atoms: int) -> Tensor:
    """Per-atom virial [atoms, 3, 3] eV, W_j = −Σ_i r_ij ⊗ ∂E/∂r_ij (the module's convention)."""
    virials = grad_vectors.new_zeros(n_atoms, 9)
    outer = vectors[:, :, None] * grad_vectors[:, None, :]
    return virials.index_add(0, j, -outer.reshape(-1, 9)).reshape(n_atoms, 3, 3)


def volumes(cell: Tensor) -> Tensor:
    """Cell volumes [systems] Å³.

    Raises:
        InputError: a system without a cell volume, for which stress is undefined.
    """
    volume = torch.linalg.det(cell).abs()
    bad = torch.nonzero(~(volume > 1e-6)).squeeze(1).tolist()
    if bad:
        raise InputError(f"stress needs a cell with a volume; systems {bad} have none")
    return volume


def stress_from_virials(virials: Tensor, system_idx: Tensor, cell: Tensor) -> Tensor:
    """Stress [systems, 3, 3] eV/Å³ in ASE's sign, σ = −(1/V) Σ_j W_j, symmetric for an invariant energy.

    Raises:
        InputError: a system without a cell volume.
    """
    total = virials.new_zeros(cell.shape[0], 3, 3).index_add(0, system_idx, virials)
    return -total / volumes(cell)[:, None, None]
