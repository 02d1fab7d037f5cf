"""Optimisers behind one interface: Adam, SOAP, L-BFGS, an extended Kalman filter; a step, a state to resume from.

All work on any model: they ask the trainer for gradients, which are already summed over processes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nddo_ml.training.config import PhaseConfig
from nddo_ml.training.soap import SOAP

LAYER_LIMIT = 6000  # largest block of the Kalman filter's covariance


class Objective(Protocol):
    """What an optimiser may ask for; ``index`` are structures of the training set."""

    def loss(self, index: Tensor) -> float:
        """Loss of a batch; its gradient is left in the parameters' ``grad``."""

    def innovation(self, index: Tensor, label: str, part: int, parts: int) -> float:
        """Mean absolute error of (a part of) a label; the gradient of the predictions, signed so as to
        reduce it, is left in the parameters' ``grad``."""


class Optimizer(Protocol):
    """One phase's optimiser."""

    full_batch: bool

    def step(self, index: Tensor, progress: float) -> float:
        """One step on structures ``index``; ``progress`` in [0, 1) of the phase; the loss before it."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def make_optimizer(
    phase: PhaseConfig, parameters: Sequence[nn.Parameter], objective: Objective, labels: Sequence[str]
) -> Optimizer:
    """The optimiser that a phase asks for."""
    if phase.optimizer in ("adam", "soap"):
        return FirstOrder(phase, parameters, objective)
    if phase.optimizer == "lbfgs":
        return QuasiNewton(phase, parameters, objective)
    return KalmanFilter(phase, parameters, objective, labels)


def learning_rate(phase: PhaseConfig, progress: float) -> float:
    """Learning rate at a fraction ``progress`` of a phase."""
    if phase.schedule == "constant":
        return phase.lr
    if phase.schedule == "exponential":
        return phase.lr * (phase.final_lr / phase.lr) ** progress
    return phase.final_lr + 0.5 * (phase.lr - phase.final_lr) * (1 + math.cos(math.pi * progress))


class FirstOrder:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101) or SOAP with a learning-rate plan and a limit on the gradient."""

    full_batch = False

    def __init__(self, phase: PhaseConfig, parameters: Sequence[nn.Parameter], objective: Objective) -> None:
        self.phase, self.parameters, self.objective = phase, list(parameters), objective
        kind = Adam if phase.optimizer == "adam" else SOAP
        self.inner = kind(self.parameters, phase.weight_decay)

    def step(self, index: Tensor, progress: float) -> float:
        """One step; the loss before it."""
        loss = self.objective.loss(index)
        if self.phase.clip > 0:
            nn.utils.clip_grad_norm_(self.parameters, self.phase.clip)
        self.inner.step(learning_rate(self.phase, progress))
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Moments, step counts, bases."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.inner.load_state_dict(state)


class Adam:
    """torch's AdamW with a rate for each step."""

    def __init__(self, parameters: Sequence[nn.Parameter], weight_decay: float) -> None:
        self.adam = torch.optim.AdamW(parameters, weight_decay=weight_decay, foreach=True)

    def step(self, lr: float) -> None:
        """One step along the gradients that are in the parameters."""
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()

    def state_dict(self) -> dict[str, Any]:
        """Moments and step counts."""
        return self.adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.adam.load_state_dict(state)


class QuasiNewton:
    """L-BFGS with a strong-Wolfe line search on the loss of all structures (Liu & Nocedal, 1989)."""

    full_batch = True

    def __init__(self, phase: PhaseConfig, parameters: Sequence[nn.Parameter], objective: Objective) -> None:
        self.objective = objective
        self.lbfgs = torch.optim.LBFGS(
            list(parameters),
            lr=1.0,
            max_iter=phase.inner,
            max_eval=phase.inner * 2,
            history_size=phase.history,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-12,
            tolerance_change=1e-14,
        )

    def step(self, index: Tensor, progress: float) -> float:
        """``inner`` iterations; the loss before them."""
        return float(self.lbfgs.step(lambda: self.objective.loss(index)))

    def state_dict(self) -> dict[str, Any]:
        """Curvature pairs and line-search state."""
        return self.lbfgs.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.lbfgs.load_state_dict(state)


class KalmanFilter:
    """Extended Kalman filter with a fading memory, one scalar innovation an update.

    P is the covariance of the weights (in blocks), h the gradient of the signed mean prediction, e the mean
    absolute error: K = P h / (λ + hᵀP h), w ← w + √n K e, P ← (P − K hᵀP)/λ. Blank & Brown, J. Chemom. 8, 391
    (1994); Singraber et al., JCTC 15, 3075 (2019); Hu et al., arXiv 2212.06989.
    """

    full_batch = False

    def __init__(
        self,
        phase: PhaseConfig,
        parameters: Sequence[nn.Parameter],
        objective: Objective,
        labels: Sequence[str],
    ) -> None:
        self.phase, self.parameters, self.objective, self.labels = phase, list(parameters), objective, labels
        self.memory = 0.98
        self.blocks = _blocks([p.numel() for p in self.parameters], LAYER_LIMIT)
        self.covariance = [
            phase.covariance * torch.eye(stop - start, dtype=torch.float64) for start, stop in self.blocks
        ]

    def step(self, index: Tensor, progress: float) -> float:
        """An update by each label, by forces in several parts; the mean of the innovations."""
        errors = []
        for label in self.labels:
            parts = self.phase.force_updates if label == "forces" else 1
            for part in range(parts):
                errors.append(self._update(self.objective.innovation(index, label, part, parts), len(index)))
        return sum(errors) / len(errors)

    def _update(self, error: float, n: int) -> float:
        if error == 0.0:
            return error
        h = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in self.parameters])
        products = [p @ h[a:b] for p, (a, b) in zip(self.covariance, self.blocks, strict=True)]
        gain = 1.0 / (
            self.memory * len(products)
            + sum(float(h[a:b] @ q) for q, (a, b) in zip(products, self.blocks, strict=True))
        )
        for p, q in zip(self.covariance, products, strict=True):
            p.addr_(q, q, alpha=-gain).div_(self.memory)
        change = torch.cat(products) * (gain * error * math.sqrt(n))
        with torch.no_grad():
            for p, d in zip(self.parameters, change.split([p.numel() for p in self.parameters]), strict=True):
                p.add_(d.reshape(p.shape))
        self.memory = 0.9987 * self.memory + 1 - 0.9987
        return error

    def state_dict(self) -> dict[str, Any]:
        """Covariance and memory."""
        return {"covariance": self.covariance, "memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.covariance = [p.clone() for p in state["covariance"]]
        self.memory = state["memory"]


def _blocks(sizes: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Runs of whole parameters of at most ``limit`` numbers (a larger parameter is cut)."""
    blocks, start, stop = [], 0, 0
    for size in sizes:
        if stop - start + size > limit and stop > start:
            blocks.append((start, stop))
            start = stop
        stop += size
        while stop - start > limit:
            blocks.append((start, start + limit))
            start += limit
    return [*blocks, (start, stop)] if stop > start else blocks


def all_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that are trained, in a fixed order."""
    return [p for p in model.parameters() if p.requires_grad]
