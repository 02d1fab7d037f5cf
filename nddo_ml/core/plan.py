"""What the compiled core is told of a batch, and holds wherever its atoms move."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from nddo_ml.core.library import address
from nddo_ml.core.parameters import of_elements
from nddo_ml.core.tables import CoreTables
from nddo_ml.elements import atomic_masses
from nddo_ml.methods.parameters import Method
from nddo_ml.systems import Systems
from nddo_ml.units import Constants

_ARRAYS = ("masses", "first_atom", "first_pair", "n_spins", "n_occupied")  # as the core calls them


@dataclass(frozen=True)
class Plan:
    """The atoms of a batch in the core's order, molecule after molecule, wide atoms first."""

    method: Method
    tables: CoreTables  # held here: two threads that are first may have made their own
    numbers: np.ndarray  # [atoms] in the core's order
    order: np.ndarray  # [atoms] indices into the batch
    back: np.ndarray  # [atoms] its inverse
    masses: np.ndarray  # [atoms] in the core's order
    first_atom: np.ndarray  # [systems + 1]
    first_pair: np.ndarray  # [systems + 1]
    n_spins: np.ndarray  # [systems]
    n_occupied: np.ndarray  # [systems, 2]
    real_rows: Tensor  # [systems, M] bool, M orbitals of the largest

    @cached_property
    def shape(self) -> tuple[int, int, int, int]:
        """That of the densities: systems, spins, orbitals twice."""
        n, size = self.real_rows.shape
        return n, int(self.n_spins.max()), size, size

    @cached_property
    def addresses(self) -> dict[str, int | None]:
        """Where the arrays are that the core reads."""
        return {name: address(getattr(self, name)) for name in _ARRAYS}

    @classmethod
    def of(cls, systems: Systems, method: Method, n_occupied: Tensor, open_shell: Tensor) -> Plan:
        """The plan of a batch with ``n_occupied`` [systems, 2] electrons; made once for systems that move."""
        electrons, open_ones = n_occupied.numpy(), open_shell.numpy()
        key = (Plan, id(method), electrons.tobytes(), open_ones.tobytes())  # the plan keeps the method, and so its id
        return systems.kept(key, lambda: cls._made(systems, method, electrons, open_ones))

    @classmethod
    def _made(cls, systems: Systems, method: Method, n_occupied: np.ndarray, open_shell: np.ndarray) -> Plan:
        numbers, idx, n = systems.numbers.numpy(), systems.system_idx.numpy(), systems.n_systems
        table = of_elements(method)
        width = table.integers[numbers, 1]
        order = np.lexsort((-width, idx))
        back = np.empty_like(order)
        back[order] = np.arange(len(numbers))
        counts = np.bincount(idx, minlength=n)
        n_orbitals = np.bincount(idx, weights=width, minlength=n).astype(np.int64)
        return cls(
            method,
            tables=_tables(method.constants).prepared(table, numbers),
            numbers=np.ascontiguousarray(numbers[order]),
            order=order,
            back=back,
            masses=atomic_masses(systems.numbers, torch.float64).numpy()[order],
            first_atom=np.concatenate(([0], np.cumsum(counts))),
            first_pair=np.concatenate(([0], np.cumsum(counts * (counts - 1) // 2))),
            n_spins=np.where(open_shell, 2, 1).astype(np.int64),
            n_occupied=np.ascontiguousarray(n_occupied),
            real_rows=torch.from_numpy(np.arange(n_orbitals.max()) < n_orbitals[:, None]),
        )


@cache
def _tables(constants: Constants) -> CoreTables:
    return CoreTables(constants)
