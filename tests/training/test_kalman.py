"""The extended Kalman filter against its recursion and against least squares; plans of the learning rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nddo_ml.training.config import PhaseConfig
from nddo_ml.training.optimizers import KalmanFilter, learning_rate


class LinearObjective:
    """One datum y ≈ x·w at a time; the innovation is the absolute error."""

    def __init__(self, weights: nn.Parameter, inputs: Tensor, targets: Tensor) -> None:
        self.weights, self.inputs, self.targets = weights, inputs, targets

    def loss(self, index: Tensor) -> float:
        raise AssertionError("a filter asks for innovations only")

    def innovation(self, index: Tensor, label: str, part: int, parts: int) -> float:
        x = self.inputs[index[0]]
        error = float(self.targets[index[0]] - x @ self.weights.detach())
        self.weights.grad = x * (1.0 if error > 0 else -1.0)
        return abs(error)


def data(n: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(n, size, dtype=torch.float64, generator=generator)
    truth = torch.randn(size, dtype=torch.float64, generator=generator)
    return inputs, inputs @ truth, truth


def test_updates_are_those_of_the_recursion() -> None:
    inputs, targets, _ = data(6, 4)
    weights = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    phase = PhaseConfig(optimizer="kalman", covariance=2.0)
    kalman = KalmanFilter(phase, [weights], LinearObjective(weights, inputs, targets), ["energy"])
    w, p, memory = np.zeros(4), 2.0 * np.eye(4), 0.98
    for k in range(6):
        kalman.step(torch.tensor([k]), 0.0)
        h = inputs[k].numpy()
        gain = p @ h / (memory + h @ p @ h)
        w = w + gain * (float(targets[k]) - h @ w)
        p = (p - np.outer(gain, h @ p)) / memory
        memory = 0.9987 * memory + 1 - 0.9987
        np.testing.assert_allclose(weights.detach().numpy(), w, atol=1e-12)


def test_it_solves_linear_equations() -> None:
    """As many data as weights, a wide prior: the solution, to the part that the prior still holds."""
    inputs, targets, truth = data(5, 5)
    weights = nn.Parameter(torch.zeros(5, dtype=torch.float64))
    phase = PhaseConfig(optimizer="kalman", covariance=1e8)
    kalman = KalmanFilter(phase, [weights], LinearObjective(weights, inputs, targets), ["energy"])
    for k in range(5):
        kalman.step(torch.tensor([k]), 0.0)
    torch.testing.assert_close(weights.detach(), truth, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [("constant", (1e-2, 1e-2, 1e-2)), ("exponential", (1e-2, 1e-3, 1e-4)), ("cosine", (1e-2, 5.05e-3, 1e-4))],
)
def test_plans_of_the_learning_rate(schedule: str, values: tuple[float, ...]) -> None:
    phase = PhaseConfig(optimizer="adam", lr=1e-2, final_lr=1e-4, schedule=schedule)
    assert [learning_rate(phase, progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx(values)
