"""How alike two structures are, from descriptors of their atoms: average and best-match kernels, and distances."""

from __future__ import annotations

import torch
from torch import Tensor

_ENOUGH = 1e-11  # change of the logarithms of the scalings at which Sinkhorn's iteration ends
_MOST = 10_000  # iterations


def local_kernel(first: Tensor, second: Tensor) -> Tensor:
    """``C_ij = G_i · G_j / (|G_i| |G_j|)``, the cosine of every two environments, [atoms, atoms].

    Args:
        first, second: [atoms, features] descriptors of two structures; symmetry functions or SOAP, scaled or not.

    Raises:
        ValueError: different numbers of features, or an atom whose descriptor is zero.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"expected two descriptors [atoms, features] of one set; got {list(first.shape)} and {list(second.shape)}"
        )
    sizes = [g.norm(dim=1) for g in (first, second)]
    for which, size in zip(("first", "second"), sizes, strict=True):
        if bool((size == 0).any()):
            raise ValueError(
                f"atom {int(torch.nonzero(size == 0)[0])} of the {which} structure has a descriptor of zeros"
            )
    return (first / sizes[0][:, None]) @ (second / sizes[1][:, None]).T


def average_kernel(first: Tensor, second: Tensor, zeta: float = 1.0) -> Tensor:
    """``K = Σ_ij C_ij^zeta / (N_a N_b)``, normalised to one for equal structures; a number with a gradient.

    De, Bartók, Csányi & Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016), eq. 7. With zeta = 1 it compares the sums
    over all atoms, and larger ones bring out single environments. Arguments and errors as :func:`local_kernel`.
    """

    def mean(a: Tensor, b: Tensor) -> Tensor:
        return (local_kernel(a, b) ** zeta).mean()

    return mean(first, second) / (mean(first, first) * mean(second, second)).sqrt()


def rematch_kernel(first: Tensor, second: Tensor, alpha: float = 0.1, zeta: float = 1.0) -> Tensor:
    """``K = Σ_ij P_ij C_ij^zeta`` with the doubly stochastic P that maximises ``K + alpha S(P)``, normalised to one.

    Regularised-entropy match of De et al. (2016), eqs. 10 to 12: alpha → 0 pairs every environment with its best
    partner, alpha → ∞ is the average kernel. P is found by Sinkhorn's iteration in logarithms, so that small alphas do
    not underflow. Arguments and errors as :func:`local_kernel`.

    Raises:
        ValueError: alpha is not positive, or so small that the iteration does not end.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be positive; got {alpha}")

    def match(a: Tensor, b: Tensor) -> Tensor:
        alike = local_kernel(a, b) ** zeta
        return (_transport(alike / alpha) * alike).sum()

    return match(first, second) / (match(first, first) * match(second, second)).sqrt()


def kernel_distance(kernel: Tensor) -> Tensor:
    """``d = √(2 − 2 K)`` of normalised kernels; rounding below zero is zero."""
    return (2.0 - 2.0 * kernel).clamp(min=0.0).sqrt()


def _transport(scores: Tensor) -> Tensor:
    """``P_ij = exp(u_i + s_ij + v_j)`` with rows that sum to 1/N_a and columns to 1/N_b."""
    rows, columns = (-torch.log(torch.tensor(float(n), dtype=scores.dtype, device=scores.device)) for n in scores.shape)
    u, v = scores.new_zeros(scores.shape[0]), scores.new_zeros(scores.shape[1])
    for _ in range(_MOST):
        last = u
        u = rows - torch.logsumexp(scores + v, 1)
        v = columns - torch.logsumexp(scores + u[:, None], 0)
        if bool((u - last).detach().abs().max() < _ENOUGH):
            return torch.exp(u[:, None] + scores + v)
    raise ValueError(f"the match of the environments has not converged in {_MOST} iterations: choose a larger alpha")
