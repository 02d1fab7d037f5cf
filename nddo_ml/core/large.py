"""Large molecules: integrals, Fock matrices and derivatives by the core, iterated by torch with all of its threads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from nddo_ml.core.library import Batch, library
from nddo_ml.core.parameters import COLUMNS, ParameterTable
from nddo_ml.integrals.layout import build_layout
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import SCFOptions, field_energy
from nddo_ml.scf.solve import solve_scf

_WIDTH = 1  # column of the table's integers


@dataclass(frozen=True)
class CoreFock(FockBuilder):
    """Fock matrices of one molecule whose integrals the core holds; nothing of them is kept here."""

    held: ctypes.c_void_p = field(kw_only=True)

    def fock(self, density: Tensor) -> Tensor:
        """See the base class."""
        compiled, density = library(), density.contiguous()
        assert compiled is not None
        fock = torch.empty_like(density)
        compiled.nddo_core_fock(self.held, density.data_ptr(), fock.data_ptr())
        return fock

    def two_electron(self, density: Tensor) -> Tensor:
        """See the base class."""
        return self.fock(density).sub_(self.h_core[:, None])

    def select(self, index: Tensor) -> FockBuilder:
        """Itself, which has one system."""
        return self


def solve_large(
    batch: Batch,
    table: ParameterTable,
    row: np.ndarray,
    n_occupied: np.ndarray,
    options: SCFOptions,
    arrays: dict[str, np.ndarray | None],
) -> dict[str, np.ndarray]:
    """The field of a batch of one molecule: density, Fock matrix and what else the iteration has.

    What follows from them is written to the arrays of the batch.

    Args:
        batch: as the core reads it.
        table: of parameters.
        row: [atoms] of the table.
        n_occupied: [1, 2] α and β electrons.
        options: tolerance, limits, and which solution.
        arrays: those of the batch.
    """
    width = torch.from_numpy(table.integers[row, _WIDTH]).long()
    layout = build_layout(torch.zeros_like(width), width, 1, pairs=False)
    shells = torch.from_numpy(table.values[row][:, COLUMNS["populations"]])
    guess, spins = arrays["guess"], batch.n_spins_out
    compiled = library()
    assert compiled is not None
    with _held(batch) as held, torch.no_grad():
        shape = (1, layout.size, layout.size)
        hamiltonian = np.ctypeslib.as_array(compiled.nddo_core_hamiltonian(held), shape)
        builder = CoreFock(layout, torch.from_numpy(hamiltonian), (), (), held=held)
        occupied = torch.from_numpy(n_occupied[:, :spins])
        start = None if guess is None else torch.from_numpy(guess)
        scf = solve_scf(builder, shells, occupied, options, start)
        batch.density = scf.density.data_ptr()
        compiled.nddo_core_finish(held)
        return {
            "density": scf.density.numpy(),
            "fock": scf.fock.numpy(),
            "electronic": field_energy(builder, scf.density, scf.fock).numpy(),
            "state": (~scf.converged).long().numpy(),
            "iterations": scf.iterations.numpy(),
            "residual": scf.residual.numpy(),
        }


@contextmanager
def _held(batch: Batch) -> Iterator[ctypes.c_void_p]:
    """What the core holds of a molecule."""
    compiled = library()
    assert compiled is not None
    held = compiled.nddo_core_open(ctypes.byref(batch))
    if not held:
        raise MemoryError("not enough memory for the integrals of a molecule")
    try:
        yield held
    finally:
        compiled.nddo_core_close(held)
