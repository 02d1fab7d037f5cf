"""The compiled path on a CPU: threads, and the autograd functions around the kernels."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor

from bp_descriptors.kernels import FORWARD, PULL, PUSH, run_atoms
from bp_descriptors.plan import build_plan
from bp_descriptors.specification import Function

_ATOMS_PER_TASK = 64  # the least work worth a thread of its own
Definition = Callable[[Tensor], Tensor]


class Compiled:
    """A set of functions made ready for the kernels."""

    def __init__(self, functions: dict[str, list[Function]], n_features: int) -> None:
        self.plan = build_plan(functions)
        self.charge = np.array([atomic_numbers[s] for s in functions], dtype=np.float64)
        self.n_features = n_features

    def run(
        self,
        mode: int,
        element: Tensor,
        first: np.ndarray,
        neighbor: np.ndarray,
        vectors: Tensor,
        field: np.ndarray,
        g: np.ndarray,
    ) -> None:
        n_atoms = element.shape[0]
        x = np.ascontiguousarray(vectors.detach().numpy(), dtype=np.float64)
        arguments = (element.numpy(), self.charge, first, neighbor, x, field, g)
        threads = max(1, min(torch.get_num_threads(), n_atoms // _ATOMS_PER_TASK))
        if threads == 1:
            run_atoms(self.plan, mode, (0, n_atoms), *arguments)
            return
        bounds = np.searchsorted(first, np.linspace(0, first[-1], 4 * threads + 1)[1:-1])
        bounds = np.concatenate([[0], bounds, [n_atoms]]).tolist()
        with ThreadPoolExecutor(threads) as pool:
            tasks = [
                pool.submit(run_atoms, self.plan, mode, (start, stop), *arguments)
                for start, stop in pairwise(bounds)
                if stop > start
            ]
            for task in tasks:
                task.result()


class Environment:
    """What the kernels need beside the vectors: elements of centres and neighbours, rows sorted by centre."""

    def __init__(self, compiled: Compiled, element: Tensor, i: Tensor, j: Tensor) -> None:
        self.compiled = compiled
        self.element = element.contiguous()
        counts = torch.bincount(i, minlength=element.shape[0])
        self.first = np.concatenate([[0], torch.cumsum(counts, 0).numpy()]).astype(np.int64)
        self.neighbor = element[j].contiguous().numpy()

    def forward(self, vectors: Tensor) -> Tensor:
        g = np.zeros((self.element.shape[0], self.compiled.n_features))
        self._run(FORWARD, vectors, np.zeros((1, 3)), g)
        return torch.from_numpy(g).to(vectors.dtype)

    def pull(self, vectors: Tensor, g: Tensor) -> Tensor:
        field = np.zeros((vectors.shape[0], 3))
        self._run(PULL, vectors, field, np.ascontiguousarray(g.detach().numpy(), dtype=np.float64))
        return torch.from_numpy(field).to(vectors.dtype)

    def push(self, vectors: Tensor, tangent: Tensor) -> Tensor:
        g = np.zeros((self.element.shape[0], self.compiled.n_features))
        self._run(PUSH, vectors, np.ascontiguousarray(tangent.detach().numpy(), dtype=np.float64), g)
        return torch.from_numpy(g).to(vectors.dtype)

    def _run(self, mode: int, vectors: Tensor, field: np.ndarray, g: np.ndarray) -> None:
        self.compiled.run(mode, self.element, self.first, self.neighbor, vectors, field, g)


class FastG(torch.autograd.Function):
    """G by the kernels, its first derivatives too; beyond these the torch definition takes over.

    The first derivative Σ_f g_f ∂G_f/∂r_ij is linear in g, where its own derivative is a kernel again: all
    that training on forces needs. That with respect to the vectors stands in a node of its own, so that
    autograd evaluates it only when somebody asks for second derivatives in space.
    """

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, environment: Environment, definition: Definition) -> Tensor:
        ctx.save_for_backward(vectors)
        ctx.environment, ctx.definition = environment, definition
        return environment.forward(vectors)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (vectors,) = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return ctx.environment.pull(vectors, g), None, None
        linear = _Pull.apply(g, (vectors,), ctx.environment, ctx.definition)
        return linear + _Curvature.apply(vectors, (g,), ctx.definition), None, None


class _Pull(torch.autograd.Function):
    """Σ_f g_f ∂G_f/∂r_ij as a function of g alone; the vectors come in a tuple, unseen by autograd."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, vectors: tuple[Tensor], environment: Environment, definition: Definition
    ) -> Tensor:
        ctx.vectors, ctx.environment, ctx.definition = vectors[0], environment, definition
        return environment.pull(vectors[0], g)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor, None, None, None]:
        if not torch.is_grad_enabled():
            return ctx.environment.push(ctx.vectors, tangent), None, None, None
        described = ctx.definition(ctx.vectors)
        weights = torch.zeros_like(described, requires_grad=True)
        (pulled,) = torch.autograd.grad(described, ctx.vectors, weights, create_graph=True)
        (pushed,) = torch.autograd.grad(pulled, weights, tangent, create_graph=True)
        return pushed, None, None, None


class _Curvature(torch.autograd.Function):
    """Zero in value; carries the derivative of Σ_f g_f ∂G_f/∂r_ij with respect to the vectors alone."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, g: tuple[Tensor], definition: Definition) -> Tensor:
        ctx.save_for_backward(vectors)
        ctx.g, ctx.definition = g[0], definition
        return torch.zeros_like(vectors)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor, None, None]:
        (vectors,) = ctx.saved_tensors
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            # a node of its own: g may depend on the vectors too, and that way is not this function's
            x = vectors.view_as(vectors) if again else vectors.detach().requires_grad_()
            g = ctx.g if again else ctx.g.detach()
            (pulled,) = torch.autograd.grad(ctx.definition(x), x, g, create_graph=True)
            (found,) = torch.autograd.grad(pulled, x, tangent, create_graph=again, allow_unused=True)
        return (torch.zeros_like(vectors) if found is None else found), None, None
