"""The compiled path on a CPU: threads, and the autograd functions around the kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int64, c_void_p
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor

from bp_descriptors.library import address, best_build
from bp_descriptors.plan import build_plan
from bp_descriptors.specification import Function

ABI = 1  # as in csrc/functions.c
FORWARD, PULL, PUSH = 0, 1, 2  # G; Σ_f g_f ∂G_f/∂r_ij; Σ_ij ∂G/∂r_ij · t_ij
_TABLES = (
    *("cutoffs", "radial", "radial_start", "radial_terms", "parts", "narrow", "angles"),
    *("group_start", "group_part", "term_start", "terms", "reach", "radii"),
)
_ATOMS_PER_TASK = 64  # the least work worth a thread of its own
Definition = Callable[[Tensor], Tensor]


class _Plan(ctypes.Structure):
    _fields_ = [
        *((n, c_int64) for n in ("n_elements", "n_radial", "n_parts", "n_angles", "n_features")),
        *((n, c_void_p) for n in _TABLES),
    ]


class _Atoms(ctypes.Structure):
    _fields_ = [(n, c_void_p) for n in ("element", "charge", "first", "neighbor", "vectors", "field", "g")]


@cache
def library() -> Any | None:
    """The compiled kernels; None where they were not built."""
    return best_build(Path(__file__).parent, _fits)


def _fits(loaded: Any) -> bool:
    loaded.bp_functions_run.restype = c_int64
    return bool(loaded.bp_functions_abi() == ABI)


class Compiled:
    """A set of functions made ready for the kernels."""

    def __init__(self, functions: dict[str, list[Function]], n_features: int) -> None:
        plan = build_plan(functions)
        self.charge = np.array([atomic_numbers[s] for s in functions], dtype=np.float64)
        self.n_features = n_features
        self._tables = {name: np.ascontiguousarray(getattr(plan, name)) for name in _TABLES}
        sizes = plan.n_elements, len(plan.radial), len(plan.parts), len(plan.angles), n_features
        self._plan = _Plan(*sizes, *map(address, self._tables.values()))
        self._functions = functions

    def __reduce__(self) -> tuple[type[Compiled], tuple[dict[str, list[Function]], int]]:
        return Compiled, (self._functions, self.n_features)

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
        """Work off all atoms; FORWARD and PUSH add to ``g`` [atoms, features], PULL to ``field`` [pairs, 3]."""
        n_atoms = element.shape[0]
        x = np.ascontiguousarray(vectors.detach().numpy(), dtype=np.float64)
        arrays = (element.numpy(), self.charge, first, neighbor, x, field, g)
        data = _Atoms(*map(address, arrays))
        threads = max(1, min(torch.get_num_threads(), n_atoms // _ATOMS_PER_TASK))
        if threads == 1:
            self._part(data, mode, 0, n_atoms)
            return
        bounds = np.searchsorted(first, np.linspace(0, first[-1], 4 * threads + 1)[1:-1])
        bounds = np.concatenate([[0], bounds, [n_atoms]]).tolist()
        with ThreadPoolExecutor(threads) as pool:
            parts = [pool.submit(self._part, data, mode, *part) for part in pairwise(bounds) if part[1] > part[0]]
            for part in parts:
                part.result()

    def _part(self, data: _Atoms, mode: int, start: int, stop: int) -> None:
        compiled = library()
        assert compiled is not None
        numbers = (c_int64(n) for n in (mode, start, stop))
        if compiled.bp_functions_run(ctypes.byref(self._plan), ctypes.byref(data), *numbers):
            raise MemoryError("not enough memory for the neighbours of an atom")


class Neighborhood:
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
    def forward(ctx: Any, vectors: Tensor, environment: Neighborhood, definition: Definition) -> Tensor:
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
        ctx: Any, g: Tensor, vectors: tuple[Tensor], environment: Neighborhood, definition: Definition
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
