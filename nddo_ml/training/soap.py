"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al., arXiv 2409.11321)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

_BETA = 0.95  # of all running averages
_EPSILON = 1e-8
_EVERY = 10  # steps between updates of the bases
_LARGEST = 1024  # rows or columns beyond which a side keeps its own basis
_FLOOR = 1e-9  # of the mean eigenvalue, added, so that rounding does not choose the basis where there is no gradient


class SOAP:
    """Adam for each weight matrix in a basis where the gradient's covariances are nearly diagonal.

    With the running averages ``L ← β L + (1 − β) G Gᵀ`` and ``R ← β R + (1 − β) Gᵀ G`` of a gradient G and their
    eigenvectors Q_L, Q_R, Adam runs on ``Q_Lᵀ G Q_R`` and its step is turned back. Correlated inputs, as symmetry
    functions are, then cost no more steps than independent ones. Vectors get plain Adam. Weight decay is decoupled.

    Args:
        parameters: to be trained.
        weight_decay: share of the weights that a step of rate one removes.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], weight_decay: float = 0.0) -> None:
        self.parameters = list(parameters)
        self.weight_decay = weight_decay
        self.states: list[dict[str, Any]] = [{} for _ in self.parameters]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One step along the gradients that are in the parameters."""
        for p, state in zip(self.parameters, self.states, strict=True):
            if p.grad is not None:
                p.mul_(1 - lr * self.weight_decay)
                p.add_(_direction(p.grad, state), alpha=-lr)

    def state_dict(self) -> dict[str, Any]:
        """Averages and bases."""
        return {"states": [dict(state) for state in self.states]}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.states = [{k: v.clone() if isinstance(v, Tensor) else v for k, v in s.items()} for s in saved["states"]]


def _direction(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    """The step at a learning rate of one; the state is brought up to date."""
    if not state:
        state.update(steps=0, mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        for side in _sides(gradient):
            state[f"covariance {side}"] = gradient.new_zeros(gradient.shape[side], gradient.shape[side])
            state[f"basis {side}"] = torch.eye(gradient.shape[side], dtype=gradient.dtype, device=gradient.device)
    sides = _sides(gradient)
    for side in sides:
        product = gradient @ gradient.T if side == 0 else gradient.T @ gradient
        state[f"covariance {side}"].lerp_(product, 1 - _BETA)
        if state["steps"] == 0:
            state[f"basis {side}"] = torch.linalg.eigh(_definite(state[f"covariance {side}"]))[1]
        elif state["steps"] % _EVERY == 0:
            _turn(state, side)
    state["steps"] += 1
    state["mean"].lerp_(gradient, 1 - _BETA)
    turned = _into(gradient, state, sides)
    state["square"].lerp_(turned * turned, 1 - _BETA)
    unbias = 1 - _BETA ** state["steps"]
    step = _into(state["mean"], state, sides) / unbias / ((state["square"] / unbias).sqrt() + _EPSILON)
    for side in sides:
        step = state["basis 0"] @ step if side == 0 else step @ state["basis 1"].T
    return step


def _turn(state: dict[str, Any], side: int) -> None:
    """One power iteration of a side's basis towards the eigenvectors, ordered by the present eigenvalues."""
    covariance, basis = _definite(state[f"covariance {side}"]), state[f"basis {side}"]
    order = torch.argsort(((covariance @ basis) * basis).sum(0), descending=True)
    state["square"] = state["square"].index_select(side, order)
    state[f"basis {side}"] = torch.linalg.qr(covariance @ basis[:, order])[0]


def _definite(covariance: Tensor) -> Tensor:
    """The covariance with small, different numbers added to its diagonal."""
    added = torch.linspace(1, 2, covariance.shape[0], dtype=covariance.dtype, device=covariance.device)
    return covariance + torch.diag(_FLOOR * covariance.diagonal().mean() * added)


def _into(matrix: Tensor, state: dict[str, Any], sides: tuple[int, ...]) -> Tensor:
    for side in sides:
        matrix = state["basis 0"].T @ matrix if side == 0 else matrix @ state["basis 1"]
    return matrix


def _sides(gradient: Tensor) -> tuple[int, ...]:
    """Sides of a matrix that get a basis."""
    return tuple(k for k in range(2) if 1 < gradient.shape[k] <= _LARGEST) if gradient.ndim == 2 else ()
