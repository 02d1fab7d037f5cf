"""The compiled path on a CPU: the plan of a set of functions, threads, and the autograd functions around the kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor

from bp_descriptors.cutoffs import CUTOFF_KINDS
from bp_descriptors.kernels import FORWARD, PULL, PUSH, Plan, run_atoms
from bp_descriptors.specification import Function

_ATOMS_PER_TASK = 64  # the least work worth a thread of its own


class Compiled:
    """A set of functions made ready for the kernels.

    ``definition`` is the torch function G(vectors, numbers, element, pairs) that the kernels equal; it takes
    over where derivatives of second order with respect to the vectors are needed.
    """

    def __init__(self, functions: dict[str, list[Function]], n_features: int) -> None:
        self.plan = build_plan(functions)
        self.charge = np.array([atomic_numbers[s] for s in functions], dtype=np.float64)
        self.n_features = n_features

    def run(
        self, mode: int, element: Tensor, first: np.ndarray, neighbor: np.ndarray, vectors: Tensor, field: np.ndarray, g: np.ndarray
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
                for start, stop in zip(bounds, bounds[1:], strict=False)
                if stop > start
            ]
            for task in tasks:
                task.result()


def build_plan(functions: dict[str, list[Function]]) -> Plan:
    """The functions of every central element as the kernels' flat arrays."""
    symbols = list(functions)
    everything = [f for fs in functions.values() for f in fs]
    cutoffs = list(dict.fromkeys(f.cutoff for f in everything))
    radial = list(dict.fromkeys(_radial_key(f) for f in everything if f.is_radial))
    angular = [f for f in everything if not f.is_radial]
    factors = list(dict.fromkeys((f.cutoff, f.eta, f.r_s) for f in angular))
    angles = sorted({(f.zeta, f.lambda_) for f in angular})

    rad_rows = _Rows(3)
    for center in symbols:
        for symbol in symbols:
            for column, f in enumerate(functions[center]):
                if f.is_radial and (f.is_weighted or f.neighbors == (symbol,)):
                    rad_rows.add(radial.index(_radial_key(f)), column, f.is_weighted)
            rad_rows.close()
    group_rows, term_rows, reach = _Rows(2), _Rows(3), []
    for center in symbols:
        for high, upper in enumerate(symbols):
            for lower in symbols[: high + 1]:
                groups: dict[tuple[Any, ...], list[tuple[int, int, bool]]] = {}
                for column, f in enumerate(functions[center]):
                    if not f.is_radial and (f.is_weighted or f.neighbors == (lower, upper)):
                        key = (factors.index((f.cutoff, f.eta, f.r_s)), f.is_narrow)
                        term = (angles.index((f.zeta, f.lambda_)), column, f.is_weighted)
                        groups.setdefault(key, []).append(term)
                for key, terms in groups.items():
                    group_rows.add(*key)
                    for term in terms:
                        term_rows.add(*term)
                    term_rows.close()
                group_rows.close()
                reach.append(max((factors[k][0].radius * (1.0 if narrow else 2.0) for k, narrow in groups), default=0.0))
    floats = lambda values: np.array(list(values), dtype=np.float64)  # noqa: E731
    return Plan(
        len(symbols),
        np.array([CUTOFF_KINDS.index(c.kind) + 1 for c in cutoffs], dtype=np.int64),
        floats(c.inner for c in cutoffs),
        floats(c.radius for c in cutoffs),
        floats(kappa for _, _, _, kappa in radial),
        floats(eta for _, eta, _, _ in radial),
        floats(r_s for _, _, r_s, _ in radial),
        np.array([cutoffs.index(c) for c, _, _, _ in radial], dtype=np.int64),
        *rad_rows.arrays(),
        floats(eta for _, eta, _ in factors),
        floats(r_s for _, _, r_s in factors),
        np.array([cutoffs.index(c) for c, _, _ in factors], dtype=np.int64),
        floats(zeta for zeta, _ in angles),
        floats(lambda_ for _, lambda_ in angles),
        *group_rows.arrays(),
        *term_rows.arrays(),
        floats(reach),
        floats(
            max((f.cutoff.radius for f in everything if f.is_radial is kind), default=0.0) for kind in (True, False)
        ),
    )


def _radial_key(f: Function) -> tuple[Any, float, float, float]:
    eta, r_s = (0.0, 0.0) if f.kind in ("G1", "G3") else (f.eta, f.r_s)
    return f.cutoff, eta, r_s, f.kappa if f.kind == "G3" else 0.0


class _Rows:
    """Rows of integers in runs: ``arrays`` gives where each run starts, and the columns."""

    def __init__(self, n_columns: int) -> None:
        self.starts = [0]
        self.columns: list[list[int]] = [[] for _ in range(n_columns)]

    def add(self, *row: int) -> None:
        for column, value in zip(self.columns, row, strict=True):
            column.append(int(value))

    def close(self) -> None:
        self.starts.append(len(self.columns[0]))

    def arrays(self) -> list[np.ndarray]:
        return [np.array(c, dtype=np.int64) for c in (self.starts, *self.columns)]


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
    """G by the kernels; its backward is :class:`FastPull`."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, environment: Environment, definition: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(vectors)
        ctx.environment, ctx.definition = environment, definition
        return environment.forward(vectors)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        (vectors,) = ctx.saved_tensors
        return FastPull.apply(vectors, g, ctx.environment, ctx.definition), None, None


class FastPull(torch.autograd.Function):
    """Σ_f g_f ∂G_f/∂r_ij by the kernels; linear in ``g``, so that its derivative there is a push forward.

    Its derivative with respect to the vectors, and all that lies beyond, come from the torch definition.
    """

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, g: Tensor, environment: Environment, definition: Callable[[Tensor], Tensor]
    ) -> Tensor:
        ctx.save_for_backward(vectors, g)
        ctx.environment, ctx.definition = environment, definition
        return environment.pull(vectors, g)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        vectors, g = ctx.saved_tensors
        again = torch.is_grad_enabled()
        if not (again or ctx.needs_input_grad[0]):
            return None, ctx.environment.push(vectors, tangent), None, None
        with torch.enable_grad():
            x = vectors if again else vectors.detach().requires_grad_()
            weights = g if again else g.detach().requires_grad_()
            (pulled,) = torch.autograd.grad(ctx.definition(x), x, weights, create_graph=True)
            needed = [t for t, need in zip((x, weights), ctx.needs_input_grad, strict=False) if need]
            found = list(torch.autograd.grad(pulled, needed, tangent, create_graph=again, allow_unused=True))
        return (
            found.pop(0) if ctx.needs_input_grad[0] else None,
            found.pop(0) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )
