"""Systems: the one batch type. Flat atoms of any number of molecules or cells; validated once, when built."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bp_descriptors import neighbor_list, pair_vectors
from bp_descriptors.runs import ranks, starts
from nddo_ml.display import SHOWN, html_table, html_view
from nddo_ml.elements import OGANESSON, symbol_of
from nddo_ml.errors import InputError
from nddo_ml.structures.charge_spin import resolve_charge_and_spin

if TYPE_CHECKING:
    from ase import Atoms

MIN_DISTANCE = 0.05  # Å; two atoms nearer than this are taken to be on one spot
MAX_COORDINATE = 1e7  # Å; beyond this distances have lost their digits
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
        counts = Counter(symbol_of(z) for z in self.numbers[self.system_idx == k].tolist())
        first = [s for s in ("C", "H") if "C" in counts and s in counts]
        order = [*first, *sorted(set(counts) - set(first))]
        charge = int(self.charge[k])
        sign = f" {charge:+d}".replace("-", "−") if charge else ""
        return "".join(s if counts[s] == 1 else f"{s}{counts[s]}" for s in order) + sign

    @property
    def atoms_per_system(self) -> Tensor:
        """Number of atoms in each system, [systems] int64."""
        return torch.bincount(self.system_idx, minlength=self.n_systems)

    @property
    def lowest_multiplicity(self) -> Tensor:
        """Singlet or doublet, whichever the number of electrons allows, [systems] int64."""
        protons = torch.zeros_like(self.charge).index_add(0, self.system_idx, self.numbers)
        return 1 + (protons - self.charge) % 2

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
        charge: int | Sequence[int] | Tensor = 0,
        multiplicity: int | Sequence[int] | Tensor | None = None,
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
        numbers = torch.as_tensor(numbers, dtype=torch.int64)
        positions = torch.as_tensor(positions)
        if positions.shape != (numbers.shape[0], 3):
            raise InputError(
                f"positions must have shape [{numbers.shape[0]}, 3], one row an atom; got {list(positions.shape)}"
            )
        if not positions.is_floating_point():
            raise InputError(f"positions must be floating point; got {positions.dtype}")
        device = positions.device
        numbers = numbers.to(device)
        if system_idx is None:
            system_idx = torch.zeros_like(numbers)
        system_idx = torch.as_tensor(system_idx, dtype=torch.int64, device=device)
        if system_idx.shape != numbers.shape:
            raise InputError(f"system_idx must have shape {list(numbers.shape)}; got {list(system_idx.shape)}")
        n = int(system_idx.max()) + 1 if numbers.numel() else 0
        charge_t = _per_system(charge, n, "charge", device)
        if multiplicity is None:
            parity = torch.zeros(n, dtype=torch.int64, device=device).index_add(0, system_idx, numbers)
            multiplicity_t = 1 + (parity - charge_t) % 2
        else:
            multiplicity_t = _per_system(multiplicity, n, "multiplicity", device)
        if cell is None:
            cell = torch.zeros(n, 3, 3, dtype=positions.dtype, device=device)
        if pbc is None:
            pbc = torch.zeros(n, 3, dtype=torch.bool, device=device)
        systems = cls(numbers, positions, system_idx, charge_t, multiplicity_t, cell, pbc, masses, fixed, constraints)
        _validate(systems)
        return systems

    @classmethod
    def from_ase(
        cls,
        atoms: Atoms | Sequence[Atoms],
        charge: int | Sequence[int] | Tensor | None = None,
        multiplicity: int | Sequence[int] | Tensor | None = None,
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
        charges, multiplicities = _charges_and_multiplicities(frames, charge, multiplicity)
        return cls.build(
            torch.as_tensor(np.concatenate([f.get_atomic_numbers() for f in frames])),
            torch.as_tensor(np.concatenate([f.get_positions() for f in frames]), dtype=dtype, device=device),
            torch.repeat_interleave(torch.arange(len(frames)), torch.as_tensor(sizes)),
            charges,
            multiplicities,
            torch.as_tensor(np.stack([np.asarray(f.cell) for f in frames]), dtype=dtype, device=device),
            torch.as_tensor(np.stack([np.asarray(f.pbc) for f in frames]), dtype=torch.bool, device=device),
            _masses(frames, dtype, device),
            *_constraints(frames, device),
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
        """The systems ``index`` ([k] int64, in this order) as a batch; atoms keep their order within a system."""
        return self.select_with_atoms(index)[0]

    def select_with_atoms(self, index: Tensor) -> tuple[Systems, Tensor]:
        """As :meth:`select`, and the indices [n] of its atoms in this batch; a system may be taken several times.

        Raises:
            InputError: an index beyond the batch, or none.
        """
        index = torch.as_tensor(index, dtype=torch.int64, device=self.numbers.device)
        self._check_index(index)
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

    def _check_index(self, index: Tensor) -> None:
        if index.ndim != 1 or not index.numel():
            raise InputError(f"expected the indices of one or more systems; got shape {list(index.shape)}")
        bad = index[(index < 0) | (index >= self.n_systems)].tolist()
        if bad:
            raise InputError(f"expected indices of systems from 0 to {self.n_systems - 1}; got {bad[0]}")

    def _of_atoms(self, atoms: Tensor, index: Tensor) -> tuple[Tensor | None, Tensor | None, tuple[str, ...]]:
        """Masses, fixed atoms and constraints of a selection."""
        return (
            None if self.masses is None else self.masses[atoms],
            None if self.fixed is None else self.fixed[atoms],
            tuple(self.constraints[k] for k in index.tolist()) if self.constraints else (),
        )

    def with_positions(self, positions: Tensor, cell: Tensor | None = None) -> Systems:
        """The same systems at other positions [atoms, 3] Å (and cells); not validated again."""
        return replace(self, positions=positions, cell=self.cell if cell is None else cell)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Systems:
        """The same systems on another device or with another floating-point type."""
        device = self.numbers.device if device is None else device
        return Systems(
            self.numbers.to(device),
            self.positions.to(device, dtype),
            self.system_idx.to(device),
            self.charge.to(device),
            self.multiplicity.to(device),
            self.cell.to(device, dtype),
            self.pbc.to(device),
            None if self.masses is None else self.masses.to(device, dtype),
            None if self.fixed is None else self.fixed.to(device),
            self.constraints,
        )


def _charges_and_multiplicities(
    frames: Sequence[Atoms],
    charge: int | Sequence[int] | Tensor | None,
    multiplicity: int | Sequence[int] | Tensor | None,
) -> tuple[list[int], list[int]]:
    """Of each frame, by what is given, else by what it says."""
    cpu, n = torch.device("cpu"), len(frames)
    charges = [None] * n if charge is None else _per_system(charge, n, "charge", cpu).tolist()
    spins = [None] * n if multiplicity is None else _per_system(multiplicity, n, "multiplicity", cpu).tolist()
    found = []
    for k, (frame, q, m) in enumerate(zip(frames, charges, spins, strict=True)):
        try:
            found.append(resolve_charge_and_spin(frame, q, m))
        except InputError as error:
            raise InputError(f"system {k}: {error}") from None
    return [f.charge for f in found], [f.multiplicity for f in found]


def _masses(frames: Sequence[Atoms], dtype: torch.dtype, device: torch.device | str) -> Tensor | None:
    """Masses where some frame has its own."""
    if not any(f.has("masses") for f in frames):
        return None
    return torch.as_tensor(np.concatenate([f.get_masses() for f in frames]), dtype=dtype, device=device)


def _constraints(frames: Sequence[Atoms], device: torch.device | str) -> tuple[Tensor | None, tuple[str, ...]]:
    """Atoms of FixAtoms, and the names of each frame's other constraints."""
    if not any(f.constraints for f in frames):
        return None, ()
    from ase.constraints import FixAtoms

    fixed = [np.zeros(len(f), dtype=bool) for f in frames]
    others = []
    for mask, frame in zip(fixed, frames, strict=True):
        names = []
        for constraint in frame.constraints:
            if isinstance(constraint, FixAtoms):
                mask[constraint.index] = True
            else:
                names.append(type(constraint).__name__)
        others.append(", ".join(sorted(set(names))))
    return torch.as_tensor(np.concatenate(fixed), device=device), tuple(others) if any(others) else ()


def _per_system(value: int | Sequence[int] | Tensor, n: int, name: str, device: torch.device) -> Tensor:
    """Broadcast a scalar or check a sequence to [systems] int64."""
    t = torch.as_tensor(value, device=device)
    if t.is_floating_point():
        if not torch.equal(t, t.round()):
            raise InputError(f"{name} must be a whole number; got {value}")
        t = t.round()
    t = t.to(torch.int64)
    if t.ndim == 0:
        t = t.expand(n).clone()
    if t.shape != (n,):
        raise InputError(f"{name} must be one number or one a system ({n}); got shape {list(t.shape)}")
    return t


def _validate(s: Systems) -> None:
    if s.n_atoms == 0:
        raise InputError("expected at least one atom; got none")
    empty = torch.nonzero(s.atoms_per_system == 0).squeeze(1).tolist()
    if empty or int(s.system_idx.min()) < 0:
        raise InputError(f"every system must have at least one atom; systems {empty} have none")
    bad = torch.nonzero((s.numbers < 1) | (s.numbers > OGANESSON)).squeeze(1).tolist()
    if bad:
        raise InputError(f"{_where(s, bad[0])}: atomic number must lie in 1..{OGANESSON}; got {int(s.numbers[bad[0]])}")
    bad = torch.nonzero(~torch.isfinite(s.positions).all(dim=1)).squeeze(1).tolist()
    if bad:
        xyz = [float(x) for x in s.positions[bad[0]]]
        raise InputError(f"{_where(s, bad[0])}: coordinates must be finite numbers in Å; got {xyz}")
    bad = torch.nonzero((s.positions.abs() > MAX_COORDINATE).any(dim=1)).squeeze(1).tolist()
    if bad:
        xyz = [float(x) for x in s.positions[bad[0]]]
        raise InputError(f"{_where(s, bad[0])}: coordinates must lie within {MAX_COORDINATE:.0e} Å; got {xyz}")
    bad = torch.nonzero(s.multiplicity < 1).squeeze(1).tolist()
    if bad:
        raise InputError(f"system {bad[0]}: multiplicity must be at least 1; got {int(s.multiplicity[bad[0]])}")
    _validate_cell(s)
    _validate_distances(s)


def _validate_cell(s: Systems) -> None:
    if s.cell.shape != (s.n_systems, 3, 3) or s.pbc.shape != (s.n_systems, 3):
        raise InputError(
            f"cell and pbc must have shapes [{s.n_systems}, 3, 3] and [{s.n_systems}, 3]; "
            f"got {list(s.cell.shape)} and {list(s.pbc.shape)}"
        )
    length = s.cell.norm(dim=-1)
    bad = torch.nonzero((s.pbc & ~(length > 1e-6)).any(dim=1) | ~torch.isfinite(s.cell).all(dim=(1, 2)))
    if bad.numel():
        k = int(bad[0, 0])
        raise InputError(
            f"system {k}: every periodic direction needs a finite lattice vector longer than zero; "
            f"got cell {s.cell[k].tolist()} with pbc {s.pbc[k].tolist()}"
        )


def _validate_distances(s: Systems) -> None:
    """Two atoms of a system on one spot: compare neighbours after sorting along x, which is cheap and exact.

    In periodic cells images count as well.
    """
    if bool(s.pbc.any()):
        _validate_images(s)
    positions = s.positions.detach()
    key = torch.argsort(positions[:, 0], stable=True)
    key = key[torch.argsort(s.system_idx[key], stable=True)]
    x, idx = positions[key], s.system_idx[key]
    step = 1
    while step < key.shape[0]:
        near = (idx[step:] == idx[:-step]) & (x[step:, 0] - x[:-step, 0] < MIN_DISTANCE)
        if not bool(near.any()):
            return
        close = near & ((x[step:] - x[:-step]).norm(dim=1) < MIN_DISTANCE)
        if bool(close.any()):
            k = int(torch.nonzero(close)[0, 0])
            a, b = sorted((int(key[k]), int(key[k + step])))
            raise InputError(
                f"{_where(s, a)} and {_where(s, b)} are on one spot: "
                f"their distance is {float((x[k + step] - x[k]).norm()):.4f} Å, expected at least {MIN_DISTANCE} Å"
            )
        step += 1


def _validate_images(s: Systems) -> None:
    """Two atoms of periodic systems, or an atom and its own image, on one spot through the boundary of the cell."""
    periodic = torch.nonzero(s.pbc.any(dim=1)).squeeze(1)
    part, atoms = s.select_with_atoms(periodic)
    try:
        pairs = neighbor_list(part.positions, MIN_DISTANCE, part.system_idx, part.cell, part.pbc, half=True)
    except ValueError as error:
        message = re.sub(r"^system (\d+)", lambda match: f"system {int(periodic[int(match[1])])}", str(error))
        raise InputError(message) from None
    through = torch.nonzero(pairs.shift.any(dim=1)).squeeze(1)
    if through.numel() == 0:
        return
    k = through[0]
    vector = pair_vectors(part.positions, pairs, part.system_idx, part.cell)[k]
    a, b = (_where(s, int(atoms[index])) for index in (pairs.i[k], pairs.j[k]))
    raise InputError(
        f"{a} and {'an image of ' if a == b else ''}{b} are on one spot through the boundary of the cell: "
        f"their distance is {float(vector.norm()):.4f} Å, expected at least {MIN_DISTANCE} Å"
    )


def _where(s: Systems, atom: int) -> str:
    """Address of a flat atom index: system, index within it, element."""
    k = int(s.system_idx[atom])
    return f"system {k}, atom {int(s.places[atom])} ({symbol_of(int(s.numbers[atom]))})"


def places(system_idx: Tensor, counts: Tensor) -> Tensor:
    """Place of each atom [atoms] within its system, where the systems have ``counts`` atoms."""
    order = torch.argsort(system_idx, stable=True)
    return torch.empty_like(system_idx).index_copy(0, order, ranks(counts))


def require_molecules(systems: Systems, term: str) -> None:
    """Raise InputError, naming the system, if a cell is periodic."""
    periodic = torch.nonzero(systems.pbc.any(dim=1)).squeeze(1).tolist()
    if periodic:
        raise InputError(f"system {periodic[0]}: {term} is for molecules; got a periodic cell")
