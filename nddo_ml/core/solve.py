"""Fields, energies and forces of a batch by the compiled core."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from nddo_ml.core.library import Batch, MethodTable, Options, address, library
from nddo_ml.core.parameters import N_DIFFERENTIABLE, ParameterTable, of_elements
from nddo_ml.core.tables import CoreTables
from nddo_ml.elements import atomic_masses
from nddo_ml.methods.parameters import Method, Parameters
from nddo_ml.scf.loop import SCFOptions
from nddo_ml.scf.search import ROUNDS, TRIALS, WINDOW
from nddo_ml.scf.solve import SCFResult
from nddo_ml.systems import Systems
from nddo_ml.threads import map_threads
from nddo_ml.units import Constants

_Arrays = dict[str, np.ndarray | None]  # what the core reads and writes, by its names
_REPULSIONS = {"classic": 0, "AM1": 1, "MNDO/d": 2, "PM6": 3}


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


@cache
def _tables(constants: Constants) -> CoreTables:
    return CoreTables(constants)


@cache
def _angles(spins: int) -> np.ndarray:
    """Of the shuffles that :mod:`nddo_ml.scf.search` makes, [trials, 2, 16, 16], antisymmetric."""
    trials, size = ROUNDS * TRIALS[spins], 2 * WINDOW
    drawn = torch.zeros(trials, 2, size, size, dtype=torch.float64)
    for seed in range(trials):
        drawn[seed, :spins] = torch.randn(spins, size, size, generator=torch.Generator().manual_seed(seed))
    return np.ascontiguousarray((drawn - drawn.transpose(2, 3)).numpy())


def _method_table(method: Method, table: ParameterTable) -> MethodTable:
    pairs = method.pair_alpha.numpy(), method.pair_x.numpy()
    repulsion = _REPULSIONS[method.info.core_repulsion]
    return MethodTable(repulsion, *(address(a) for a in (table.values, table.integers, *pairs)))


def available(method: Method) -> bool:
    """Whether the core was built and has the method's core repulsion and integrals."""
    info = method.info
    plain = info.point_charges is None and not info.averages_d
    return plain and info.core_repulsion in _REPULSIONS and library() is not None


def solve(
    systems: Systems,
    method: Method,
    n_occupied: Tensor,
    open_shell: Tensor,
    options: SCFOptions,
    *,
    parameters: Parameters | None = None,
    factors: Tensor | None = None,
    guess: Tensor | None = None,
    forces: bool = False,
    by_parameter: bool = False,
    iterate: bool = True,
) -> CoreResult:
    """The fields of a batch, each molecule on its own, on as many threads as torch has.

    Args:
        systems: molecules; positions float64 on the CPU.
        method: the parent method.
        n_occupied: [systems, 2] α and β electrons.
        open_shell: [systems] bool, which are unrestricted.
        options: tolerance and limits.
        parameters: of the atoms, where they are not the method's own.
        factors: [pairs, N_FACTORS] of the overlaps (l_a, l_b, m) and of the core repulsion, see ``factors``.
        guess: [systems, spin, M, M] densities to start from, M orbitals of the largest, two spins where any is open.
        forces: whether to differentiate by positions.
        by_parameter: whether to differentiate by parameters and factors as well.
        iterate: False evaluates everything at the densities given.
    """
    table = of_elements(method) if parameters is None else ParameterTable.of(systems.numbers, parameters)
    numbers = systems.numbers.numpy() if parameters is None else np.arange(systems.n_atoms)
    order = _Order.of(systems.system_idx.numpy(), table.integers[numbers, 1], systems.n_systems)
    row = np.ascontiguousarray(numbers[order.atoms], dtype=np.int64)
    spins = np.where(open_shell.numpy(), 2, 1)
    sizes = systems.n_systems, int(spins.max()), int(order.n_orbitals.max())
    arrays: _Arrays = {
        **order.firsts(),
        "n_spins": spins.astype(np.int64),
        "n_occupied": np.ascontiguousarray(n_occupied.numpy()),
        "row": row,
        "positions": np.ascontiguousarray(systems.positions.detach().numpy()[order.atoms]),
        "masses": atomic_masses(systems.numbers, torch.float64).numpy()[order.atoms],
        "guess": None if guess is None else np.ascontiguousarray(guess.detach().numpy()),
        "closed_angles": _angles(1),
        "open_angles": _angles(2),
        "factors": None if factors is None else np.ascontiguousarray(factors.detach().numpy()),
        **_results(sizes, systems.n_atoms),
        "gradient": np.zeros((systems.n_atoms, 3)) if forces else None,
        "by_parameter": np.zeros((systems.n_atoms, N_DIFFERENTIABLE)) if by_parameter else None,
        "by_factor": np.zeros(factors.shape) if by_parameter and factors is not None else None,
    }
    search = iterate and options.solution == "lowest" and guess is None
    chosen = Options(options.tolerance, options.max_iterations, options.max_descent, options.history, iterate, search)
    _run(method, table, row, chosen, arrays, sizes)
    return _core_result(arrays, order, n_occupied if sizes[1] == 2 else n_occupied[:, :1])


@dataclass(frozen=True)
class _Order:
    """The atoms in the order of the core: system by system, wide ones first."""

    atoms: np.ndarray  # [atoms] indices into the batch's atoms
    n_atoms: np.ndarray  # [systems]
    n_orbitals: np.ndarray  # [systems]

    @classmethod
    def of(cls, system_idx: np.ndarray, width: np.ndarray, n_systems: int) -> _Order:
        atoms = np.lexsort((-width, system_idx))
        n_atoms = np.bincount(system_idx, minlength=n_systems)
        return cls(atoms, n_atoms, np.bincount(system_idx, weights=width, minlength=n_systems).astype(np.int64))

    def firsts(self) -> _Arrays:
        """Where each system's atoms and pairs begin, [systems + 1]."""
        pairs = self.n_atoms * (self.n_atoms - 1) // 2
        counts = {"first_atom": self.n_atoms, "first_pair": pairs}
        return {name: np.concatenate(([0], np.cumsum(count))) for name, count in counts.items()}

    def back(self, value: np.ndarray) -> Tensor:
        """A result of the atoms in the order of the batch."""
        of_batch = np.empty_like(value)
        of_batch[self.atoms] = value
        return torch.from_numpy(of_batch)


def _results(sizes: tuple[int, int, int], n_atoms: int) -> _Arrays:
    """Where the core writes what it always has."""
    n, spins, size = sizes
    return {
        "density": np.zeros((n, spins, size, size)),
        "fock": np.zeros((n, spins, size, size)),
        "electronic": np.zeros(n),
        "core": np.zeros(n),
        "residual": np.zeros(n),
        "charges": np.zeros(n_atoms),
        "dipole": np.zeros((n, 3)),
        "iterations": np.zeros(n, dtype=np.int64),
        "state": np.zeros(n, dtype=np.int64),
    }


def _core_result(arrays: _Arrays, order: _Order, n_occupied: Tensor) -> CoreResult:
    given = {name: array for name, array in arrays.items() if array is not None}
    solved = torch.from_numpy(given["state"] == 0)
    scf = SCFResult(
        density=torch.from_numpy(given["density"]),
        fock=torch.from_numpy(given["fock"]),
        real_rows=torch.from_numpy(np.arange(given["density"].shape[-1]) < order.n_orbitals[:, None]),
        n_occupied=n_occupied,
        converged=solved,
        iterations=torch.from_numpy(given["iterations"]),
        residual=torch.from_numpy(given["residual"]),
    )
    return CoreResult(
        solved=solved,
        scf=scf,
        electronic=torch.from_numpy(given["electronic"]),
        core=torch.from_numpy(given["core"]),
        charges=order.back(given["charges"]),
        dipole=torch.from_numpy(given["dipole"]),
        gradient=order.back(given["gradient"]) if "gradient" in given else None,
        by_parameter=order.back(given["by_parameter"]) if "by_parameter" in given else None,
        by_factor=torch.from_numpy(given["by_factor"]) if "by_factor" in given else None,
    )


def _run(
    method: Method,
    table: ParameterTable,
    row: np.ndarray,
    options: Options,
    arrays: _Arrays,
    sizes: tuple[int, int, int],
) -> None:
    compiled = library()
    assert compiled is not None
    tables = _tables(method.constants).prepare(table, row)
    batch = Batch(
        ctypes.pointer(tables),
        ctypes.pointer(_method_table(method, table)),
        options,
        *sizes,
        **{name: address(array) for name, array in arrays.items()},
    )
    following = ctypes.c_int64(0)
    workers = min(torch.get_num_threads(), sizes[0])

    def work(_: int) -> int:
        return int(compiled.nddo_core_solve(ctypes.byref(batch), ctypes.byref(following)))

    failed = map_threads(work, range(workers), torch.device("cpu")) if workers > 1 else [work(0)]
    if any(failed):
        raise MemoryError("not enough memory for the field of a molecule")
