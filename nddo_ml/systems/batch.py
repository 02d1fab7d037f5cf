"""Systems: the one batch type. Flat atoms of any number of molecules or cells; validated once, when built."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bp_descriptors.runs import ranks, starts
from nddo_ml.display import SHOWN, html_table, html_view
from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.systems.checks import (
    PerSystem,
    check_atoms,
    check_cells,
    check_coordinates,
    check_distances,
    check_images,
    check_multiplicity,
    check_shapes,
    indices_of,
    per_system,
)
from nddo_ml.systems.counts import formula, lowest_multiplicity, places
from nddo_ml.systems.frames import charges_and_multiplicities, constraints_of, masses_of
from nddo_ml.systems.kept import Kept

if TYPE_CHECKING:
    from ase import Atoms

_SHOWN = 5  # formulas in a representation


@dataclass(frozen=True)
class Systems:
    """A batch of molecules or periodic cells.

    Atoms are flat; ``system_idx`` says which system an atom belongs to and need not be sorted.
    """

    numbers: Tensor  # [atoms] int64, atomic numbers
    positions: Tensor  # [atoms, 3] Å
    system_idx: Tensor  # [atoms] int64, 0 <= system_idx < systems
    charge: Tensor  # [systems] int64, e
    multiplicity: Tensor  # [systems] int64, 2S + 1
    cell: Tensor  # [systems, 3, 3] Å, rows are lattice vectors; zero where not periodic
    pbc: Tensor  # [systems, 3] bool
    masses: Tensor | None = None  # [atoms] u; None: standard atomic weights
    fixed: Tensor | None = None  # [atoms] bool, atoms that an optimisation leaves where they are; None: none
    constraints: tuple[str, ...] = ()  # per system, constraints that no workflow here honours; () where there are none
    kept: Kept = field(default_factory=Kept, init=False, repr=False, compare=False)

    @property
    def n_atoms(self) -> int:
        """Atoms of all systems."""
        return self.numbers.shape[0]

    @property
    def n_systems(self) -> int:
        """Systems of the batch."""
        return self.charge.shape[0]

    def __len__(self) -> int:
        return self.n_systems

    def __iter__(self) -> Iterator[Systems]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Systems:
        """Some systems as a batch: ``systems[3]``, ``systems[-2:]``, ``systems[[0, 4]]``, ``systems[mask]``.

        Raises:
            IndexError: no such system, as loops expect.
            InputError: no system at all.
        """
        places = torch.arange(len(self), device=self.numbers.device)
        if isinstance(index, Sequence):
            index = torch.as_tensor(index, device=self.numbers.device)
        return self.select(places[index].reshape(-1))

    def __repr__(self) -> str:
        shown = [self.formula(k) for k in range(min(len(self), _SHOWN))]
        more = ", …" if len(self) > _SHOWN else ""
        systems = "1 system" if len(self) == 1 else f"{len(self)} systems"
        dtype = str(self.positions.dtype).removeprefix("torch.")
        return f"Systems({systems}: {', '.join(shown)}{more}; {self.n_atoms} atoms, {dtype})"

    def _repr_html_(self) -> str:
        """A table, and the first system in three dimensions."""
        first = self[0]
        view = html_view([symbol_of(z) for z in first.numbers.tolist()], first.positions.tolist())
        sizes = self.atoms_per_system.tolist()
        rows = [
            (k, self.formula(k), sizes[k], int(self.charge[k]), int(self.multiplicity[k]), bool(self.pbc[k].any()))
            for k in range(min(len(self), SHOWN))
        ]
        header = ("system", "formula", "atoms", "charge", "multiplicity", "periodic")
        return html_table(header, rows, len(self)) + view

    def formula(self, k: int) -> str:
        """Hill's formula of a system, its charge behind it: "C2H3O2 −1"."""
        return formula(self.numbers[self.system_idx == k].tolist(), int(self.charge[k]))

    @property
    def atoms_per_system(self) -> Tensor:
        """Number of atoms in each system, [systems] int64."""
        return torch.bincount(self.system_idx, minlength=self.n_systems)

    @property
    def lowest_multiplicity(self) -> Tensor:
        """Singlet or doublet, whichever the number of electrons allows, [systems] int64."""
        return lowest_multiplicity(self.numbers, self.system_idx, self.charge)

    @property
    def open_shell(self) -> Tensor:
        """Multiplicities above 1, [systems] bool; a doublet that a periodic cell's electrons force is none."""
        # an odd number of electrons in a periodic cell says nothing of its bands
        return self.multiplicity > torch.where(self.pbc.any(dim=1), self.lowest_multiplicity, 1)

    @property
    def charged_or_open(self) -> Tensor:
        """Ions and open shells, [systems] bool."""
        return (self.charge != 0) | self.open_shell

    @property
    def places(self) -> Tensor:
        """Place of each atom within its system, counted from zero, [atoms] int64."""
        return places(self.system_idx, self.atoms_per_system)

    @classmethod
    def build(
        cls,
        numbers: Tensor,
        positions: Tensor,
        system_idx: Tensor | None = None,
        charge: PerSystem = 0,
        multiplicity: PerSystem | None = None,
        cell: Tensor | None = None,
        pbc: Tensor | None = None,
        masses: Tensor | None = None,
        fixed: Tensor | None = None,
        constraints: tuple[str, ...] = (),
    ) -> Systems:
        """Build a validated batch from tensors; what is left out is one neutral molecule of lowest spin.

        Shapes and units as in the class; ``multiplicity=None`` takes singlet or doublet by electron count.

        Raises:
            InputError: shapes that do not fit, no atoms, NaN or infinite coordinates, atoms on one spot.
        """
        positions = torch.as_tensor(positions)
        device = positions.device
        numbers = torch.as_tensor(numbers, dtype=torch.int64, device=device)
        if system_idx is None:
            system_idx = torch.zeros_like(numbers)
        system_idx = torch.as_tensor(system_idx, dtype=torch.int64, device=device)
        check_shapes(numbers, positions, system_idx)
        n = int(system_idx.max()) + 1 if numbers.numel() else 0
        check_atoms(numbers, system_idx, n)
        check_coordinates(numbers, positions, system_idx)
        charges = per_system(charge, n, "charge", device)
        lowest = lowest_multiplicity(numbers, system_idx, charges)
        spins = lowest if multiplicity is None else per_system(multiplicity, n, "multiplicity", device)
        check_multiplicity(spins)
        cell = positions.new_zeros(n, 3, 3) if cell is None else cell
        pbc = torch.zeros(n, 3, dtype=torch.bool, device=device) if pbc is None else pbc
        check_cells(cell, pbc, n)
        check_images(numbers, positions, system_idx, cell, pbc)
        check_distances(numbers, positions, system_idx)
        return cls(numbers, positions, system_idx, charges, spins, cell, pbc, masses, fixed, constraints)

    @classmethod
    def from_ase(
        cls,
        atoms: Atoms | Sequence[Atoms],
        charge: PerSystem | None = None,
        multiplicity: PerSystem | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Systems:
        """Build a batch from one ASE ``Atoms`` or a list of them.

        Charge and multiplicity are scalars or one value a system. Left out, they come from ``atoms.info``, else
        from the sums of ``initial_charges`` and ``initial_magmoms``, else they are 0 and the lowest that the
        electron count allows; :mod:`nddo_ml.structures.charge_spin` has the keys. Masses that differ from the
        standard ones and atoms of ``FixAtoms`` come along.

        Raises:
            InputError: as :meth:`build`; values that are not whole numbers, that disagree, or do not fit the electrons.
        """
        from ase import Atoms

        frames = [atoms] if isinstance(atoms, Atoms) else list(atoms)
        if not frames:
            raise InputError("expected at least one structure; got an empty list")
        for k, frame in enumerate(frames):
            if len(frame) == 0:
                raise InputError(f"system {k}: expected at least one atom; got none")
        sizes = [len(f) for f in frames]
        charges, multiplicities = charges_and_multiplicities(frames, charge, multiplicity)
        return cls.build(
            torch.as_tensor(np.concatenate([f.get_atomic_numbers() for f in frames])),
            torch.as_tensor(np.concatenate([f.get_positions() for f in frames]), dtype=dtype, device=device),
            torch.repeat_interleave(torch.arange(len(frames)), torch.as_tensor(sizes)),
            charges,
            multiplicities,
            torch.as_tensor(np.stack([np.asarray(f.cell) for f in frames]), dtype=dtype, device=device),
            torch.as_tensor(np.stack([np.asarray(f.pbc) for f in frames]), dtype=torch.bool, device=device),
            masses_of(frames, dtype, device),
            *constraints_of(frames, device),
        )

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str],
        charge: int | None = None,
        multiplicity: int | None = None,
        pbc: bool | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Systems:
        """All structures of a file (or ``file@frames``) in any format that the commands read.

        ``charge`` and ``multiplicity`` outrank what the file says; ``pbc=False`` takes a cell's content as a molecule.
        What the file leaves open is told by warnings.

        Raises:
            InputError: the first frame that cannot be read, as :meth:`build` otherwise.
        """
        from nddo_ml.structures.read import read_structures
        from nddo_ml.structures.structure import Refused, addressed

        found = []
        for entry in read_structures(path, charge=charge, multiplicity=multiplicity, pbc=pbc):
            if isinstance(entry, Refused):
                raise entry.error
            found.append(entry)
            for remark in entry.remarks:
                warnings.warn(f"{entry.address}: {remark}", stacklevel=2)
        try:
            return cls.from_ase([s.atoms for s in found], dtype=dtype, device=device)
        except InputError as error:
            raise InputError(addressed(str(error), found)) from None

    def to_ase(self) -> list[Atoms]:
        """One ASE ``Atoms`` a system, charge and multiplicity in ``info``, masses and fixed atoms as in ASE."""
        from ase import Atoms
        from ase.constraints import FixAtoms

        frames = []
        for k in range(self.n_systems):
            mask = self.system_idx == k
            frame = Atoms(
                self.numbers[mask].cpu().numpy(),
                self.positions[mask].detach().cpu().numpy(),
                cell=self.cell[k].detach().cpu().numpy(),
                pbc=self.pbc[k].cpu().numpy(),
            )
            if self.masses is not None:
                frame.set_masses(self.masses[mask].cpu().numpy())
            if self.fixed is not None and bool(self.fixed[mask].any()):
                frame.set_constraint(FixAtoms(mask=self.fixed[mask].cpu().numpy()))
            frame.info["charge"] = int(self.charge[k])
            frame.info["multiplicity"] = int(self.multiplicity[k])
            frames.append(frame)
        return frames

    def select(self, index: Tensor) -> Systems:
        """The systems ``index`` ([k] int64, in this order; or [systems] bool) as a batch, atoms in their order."""
        return self.select_with_atoms(index)[0]

    def select_with_atoms(self, index: Tensor) -> tuple[Systems, Tensor]:
        """As :meth:`select`, and the indices [n] of its atoms in this batch; a system may be taken several times.

        Raises:
            InputError: an index beyond the batch, or none; a mask of another length.
        """
        index = indices_of(index, self.n_systems, self.numbers.device)
        sizes = self.atoms_per_system
        atoms = torch.argsort(self.system_idx, stable=True)  # contiguous by system
        taken = sizes[index]
        atoms = atoms[torch.repeat_interleave(starts(sizes)[index], taken) + ranks(taken)]
        chosen = Systems(
            self.numbers[atoms],
            self.positions[atoms],
            torch.repeat_interleave(torch.arange(index.shape[0], device=index.device), taken),
            self.charge[index],
            self.multiplicity[index],
            self.cell[index],
            self.pbc[index],
            *self._of_atoms(atoms, index),
        )
        return chosen, atoms

    def _of_atoms(self, atoms: Tensor, index: Tensor) -> tuple[Tensor | None, Tensor | None, tuple[str, ...]]:
        """Masses, fixed atoms and constraints of a selection."""
        return (
            None if self.masses is None else self.masses[atoms],
            None if self.fixed is None else self.fixed[atoms],
            tuple(self.constraints[k] for k in index.tolist()) if self.constraints else (),
        )

    def with_positions(self, positions: Tensor, cell: Tensor | None = None) -> Systems:
        """The same systems at other positions [atoms, 3] Å (and cells); not validated again."""
        other = copy(self)  # with what is kept of the systems
        object.__setattr__(other, "positions", positions)
        if cell is not None:
            object.__setattr__(other, "cell", cell)
        return other

    def moved(self, positions: Tensor) -> Systems:
        """The same systems at other positions [atoms, 3] Å, validated.

        Raises:
            InputError: NaN or infinite coordinates, atoms on one spot.
        """
        check_coordinates(self.numbers, positions, self.system_idx)
        if self.kept("periodic", lambda: bool(self.pbc.any())):
            check_images(self.numbers, positions, self.system_idx, self.cell, self.pbc)
        check_distances(self.numbers, positions, self.system_idx)
        return self.with_positions(positions)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Systems:
        """The same systems on another device or with another floating-point type."""
        moved: dict[str, Any] = {
            name: value.to(device or value.device, dtype if value.is_floating_point() else None)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def require_molecules(systems: Systems, term: str) -> None:
    """Raise InputError, naming the system, if a cell is periodic."""
    periodic = torch.nonzero(systems.pbc.any(dim=1)).squeeze(1).tolist()
    if periodic:
        raise InputError(f"system {periodic[0]}: {term} is for molecules; got a periodic cell")
