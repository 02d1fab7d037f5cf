"""Fields, energies and forces of a batch by the compiled core."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nddo_ml.core.factors import N_FACTORS
from nddo_ml.core.large import solve_large
from nddo_ml.core.library import Batch, MethodTable, Options, address, library
from nddo_ml.core.parameters import N_DIFFERENTIABLE, ParameterTable, of_elements
from nddo_ml.core.plan import Plan
from nddo_ml.methods.parameters import Method, Parameters
from nddo_ml.scf.loop import SCFOptions
from nddo_ml.scf.search import ROUNDS, TRIALS, WINDOW
from nddo_ml.scf.solve import SCFResult
from nddo_ml.systems import Systems
from nddo_ml.threads import map_threads

LARGEST = 300  # orbitals up to which a molecule is one thread's; larger matrices are shared among torch's threads
_REPULSIONS = {"classic": 0, "AM1": 1, "MNDO/d": 2, "PM6": 3, "PM7": 4}
_Arrays = dict[str, np.ndarray | None]


@dataclass(frozen=True)
class CoreResult:
    """What the core has of a batch. Rows of systems that are not ``solved`` hold nothing."""

    solved: Tensor  # [systems] bool; the others are for the torch solvers
    scf: SCFResult
    electronic: Tensor  # [systems] eV
    core: Tensor  # [systems] eV
    charges: Tensor  # [atoms] e
    dipole: Tensor  # [systems, 3] e·Å
    gradient: Tensor | None  # [atoms, 3] eV/Å, of field and core repulsion
    by_parameter: Tensor | None  # [atoms, N_DIFFERENTIABLE], in the order of COLUMNS
    by_factor: Tensor | None  # [pairs, N_FACTORS], like the factors


@dataclass(frozen=True)
class Around:
    """What surrounds the molecules; products as ``OrbitalLayout.join_products`` has them."""

    potential: Tensor  # [systems, K] eV, of the electrons
    reaction: Tensor | None  # [systems, K, K] eV, see scf.fock


def available(method: Method) -> bool:
    """Whether the core was built and has the method's core repulsion."""
    return method.info.core_repulsion in _REPULSIONS and library() is not None


def is_large(orbitals: Tensor) -> Tensor:
    """Whether molecules of so many orbitals are each solved alone, see :mod:`nddo_ml.core.large`."""
    return orbitals > LARGEST


def solve(
    systems: Systems,
    method: Method,
    n_occupied: Tensor,
    open_shell: Tensor,
    options: SCFOptions,
    *,
    parameters: Parameters | ParameterTable | None = None,
    factors: Tensor | None = None,
    around: Around | None = None,
    guess: Tensor | None = None,
    forces: bool = False,
    by_parameter: bool = False,
    iterate: bool = True,
) -> CoreResult:
    """The fields of a batch, each molecule on its own, on as many threads as torch has.

    Args:
        systems: molecules, or one that is large; positions float64 on the CPU.
        method: the parent method.
        n_occupied: [systems, 2] α and β electrons.
        open_shell: [systems] bool, which are unrestricted.
        options: tolerance and limits.
        parameters: of the atoms, where they are not the method's own; a table's rows are in the core's order.
        factors: [pairs, N_FACTORS] of the overlaps (l_a, l_b, m) and of the core repulsion, see ``factors``.
        around: the potential of surroundings, and how they answer.
        guess: [systems, spin, M, M] densities to start from, M orbitals of the largest, two spins where any is open.
        forces: whether to differentiate by positions.
        by_parameter: whether to differentiate by parameters and factors as well.
        iterate: False evaluates everything at the densities given.
    """
    plan = Plan.of(systems, method, n_occupied, open_shell)
    table, row = of_elements(method), plan.numbers
    if isinstance(parameters, ParameterTable):
        table, row = parameters, np.arange(len(row))
    elif parameters is not None:
        table, row = ParameterTable.of(systems.numbers, parameters), plan.order
    given: _Arrays = {
        "row": row,
        "positions": systems.positions.detach().numpy()[plan.order],
        "guess": _array(guess),
        "factors": _array(factors),
        "closed_angles": _angles(1),
        "open_angles": _angles(2),
        "surrounding": None if around is None else _array(around.potential),
        "reaction": None if around is None else _array(around.reaction),
    }
    found = _results(plan, forces=forces, by_parameter=by_parameter, by_factor=by_parameter and factors is not None)
    search = iterate and options.solution == "lowest" and guess is None
    chosen = Options(options.tolerance, options.max_iterations, options.max_descent, options.history, iterate, search)
    arrays = {**given, **found}
    batch = _batch(plan, table, chosen, arrays)
    if iterate and plan.shape[2] > LARGEST:
        found |= solve_large(batch, table, row, plan.n_occupied, options, arrays)
    else:
        _run(batch)
    return _answer(plan, found)


def _results(plan: Plan, *, forces: bool, by_parameter: bool, by_factor: bool) -> _Arrays:
    """Arrays for what the core finds, of zeros; None for what is not wanted."""
    atoms, shape, zeros = len(plan.order), plan.shape, np.zeros
    n = shape[0]
    return {
        "density": zeros(shape),
        "fock": zeros(shape),
        "electronic": zeros(n),
        "core": zeros(n),
        "residual": zeros(n),
        "charges": zeros(atoms),
        "dipole": zeros((n, 3)),
        "iterations": zeros(n, dtype=np.int64),
        "state": zeros(n, dtype=np.int64),
        "gradient": zeros((atoms, 3)) if forces else None,
        "by_parameter": zeros((atoms, N_DIFFERENTIABLE)) if by_parameter else None,
        "by_factor": zeros((plan.first_pair[-1], N_FACTORS)) if by_factor else None,
    }


def _batch(plan: Plan, table: ParameterTable, options: Options, arrays: _Arrays) -> Batch:
    """As the core reads it; plan, table and arrays must outlive it."""
    n, spins, size, _ = plan.shape
    surrounding = arrays["surrounding"]
    return Batch(
        ctypes.pointer(plan.tables.structure),
        ctypes.pointer(_method_table(plan.method, table)),
        options,
        n,
        spins,
        size,
        n_surrounded=0 if surrounding is None else surrounding.shape[1],
        **plan.addresses,
        **{name: address(array) for name, array in arrays.items()},
    )


def _run(batch: Batch) -> None:
    """Have the core work off the molecules of a batch, on as many threads as torch has."""
    compiled, following = library(), ctypes.c_int64(0)
    assert compiled is not None

    def work(_: int) -> int:
        return int(compiled.nddo_core_solve(ctypes.byref(batch), ctypes.byref(following)))

    workers = min(torch.get_num_threads(), batch.n_systems)
    failed = map_threads(work, range(workers), torch.device("cpu")) if workers > 1 else [work(0)]
    if any(failed):
        raise MemoryError("not enough memory for the field of a molecule")


def _answer(plan: Plan, found: _Arrays) -> CoreResult:
    """What the core found as tensors, atoms in the order of the batch."""
    in_order = {k: v[plan.back] if k in _OF_ATOMS and v is not None else v for k, v in found.items()}
    tensor: dict[str, Any] = {k: None if v is None else torch.from_numpy(v) for k, v in in_order.items()}
    solved = tensor.pop("state") == 0
    scf = SCFResult(
        density=tensor.pop("density"),
        fock=tensor.pop("fock"),
        real_rows=plan.real_rows,
        n_occupied=torch.from_numpy(plan.n_occupied[:, : plan.shape[1]]),
        converged=solved,
        iterations=tensor.pop("iterations"),
        residual=tensor.pop("residual"),
    )
    return CoreResult(solved, scf, **tensor)


def _array(values: Tensor | None) -> np.ndarray | None:
    return None if values is None else np.ascontiguousarray(values.detach().numpy())


_OF_ATOMS = ("charges", "gradient", "by_parameter")


def _method_table(method: Method, table: ParameterTable) -> MethodTable:
    pairs = method.pair_alpha.numpy(), method.pair_x.numpy()
    repulsion = _REPULSIONS[method.info.core_repulsion]
    limit = method.info.point_charges
    reach = (0.0, 0.0) if limit is None else (limit.distance, limit.steepness)
    return MethodTable(repulsion, *(address(a) for a in (table.values, table.integers, *pairs)), *reach)


@cache
def _angles(spins: int) -> np.ndarray:
    """Of the shuffles that :mod:`nddo_ml.scf.search` makes, [trials, 2, 16, 16], antisymmetric."""
    trials, size = ROUNDS * TRIALS[spins], 2 * WINDOW
    drawn = torch.zeros(trials, 2, size, size, dtype=torch.float64)
    for seed in range(trials):
        drawn[seed, :spins] = torch.randn(spins, size, size, generator=torch.Generator().manual_seed(seed))
    return np.ascontiguousarray((drawn - drawn.transpose(2, 3)).numpy())
