"""Answers: what one model, PySCF, or the labels of the data say of the same structures."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from nddo_ml.datasets.dataset import Dataset, from_frames
from nddo_ml.elements import ground_state_multiplicity
from nddo_ml.errors import InputError, NDDOMLError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.extrapolation import SystemExtrapolation
from nddo_ml.models.prediction import Prediction
from nddo_ml.systems import Systems

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.labelling.level import Level

T = TypeVar("T")

PORTION = 1500  # atoms computed at once
SHORT = 5.0  # s; a first portion that takes less is timed twice
PER_ATOM = ("forces", "charges")


@dataclass(frozen=True)
class Extrapolation:
    """How far a structure lies outside what a potential was trained on."""

    atoms: list[int]  # indices of the atoms concerned
    functions: int  # number of symmetry functions out of range, over all atoms
    worst: SystemExtrapolation
    excess: float  # of the worst: distance from its range over the range's width; infinite for a width of zero


@dataclass(frozen=True)
class Answers:
    """What one source says of all structures; NaN where it says nothing, None for what it never gives."""

    name: str
    energy: Tensor  # [structures] eV
    forces: Tensor | None = None  # [atoms, 3] eV/Å
    dipole: Tensor | None = None  # [structures, 3] e·Å
    charges: Tensor | None = None  # [atoms] e
    energy_spread: Tensor | None = None  # [structures] eV, of a committee
    seconds: float | None = None  # a structure, energy and forces, in batches
    failures: dict[int, str] = field(default_factory=dict)  # structure -> why it has no energy
    unconverged: frozenset[int] = frozenset()  # failures of the self-consistent field, not of the input
    extrapolations: dict[int, Extrapolation] | None = None  # by structure; None for what has no range
    atoms: dict[int, float] | None = None  # eV, isolated atoms by atomic number
    atoms_extrapolated: bool = False  # whether isolated atoms lie outside what a potential was trained on


def model_answers(
    model: AbstractModel,
    data: Dataset,
    elements: Sequence[int] = (),
    advance: Callable[[int], None] | None = None,
    twice: bool = True,
) -> Answers:
    """What a model says of the structures, and of isolated atoms of ``elements``.

    The first portion is timed ``twice``, so that what is done only once does not count.
    """
    systems, table = data.systems, _Table(data)
    failures, unconverged, seconds = {}, set(), 0.0
    for k, index in enumerate(_portions(systems)):
        work = partial(_attempts, model, systems, index)
        elapsed, found = _timed(work)
        if twice and k == 0 and elapsed < SHORT:
            elapsed = min(elapsed, _timed(work)[0])
        seconds += elapsed
        for part, prediction in found:
            if isinstance(prediction, Exception):
                failures[int(part)] = _reason(prediction)
                if not isinstance(prediction, InputError):
                    unconverged.add(int(part))
            else:
                table.fill(part, prediction)
        if advance is not None:
            advance(len(index))
    for k in torch.nonzero(table.values["energy"].isnan()).squeeze(1).tolist():
        if k not in failures:
            failures[k] = "the SCF did not converge"
            unconverged.add(k)
    return Answers(
        model.name,
        seconds=seconds / len(data),
        failures=failures,
        unconverged=frozenset(unconverged),
        extrapolations=extrapolations_of(model, data.systems, failures),
        atoms=model.isolated_energies(elements),
        atoms_extrapolated=extrapolates_at_atoms(model, elements),
        **table.given(),
    )


def label_answers(data: Dataset) -> Answers | None:
    """The structures' own labels as answers; None where there are no energies, forces, dipoles or charges."""
    labels, systems = data.labels, data.systems
    values: dict[str, Any] = {}
    for name in ("energy", "forces", "dipole", "charges"):
        here = labels.has(name)
        here = here[systems.system_idx] if name in PER_ATOM else here
        if bool(here.any()):
            value = labels.values[name]
            values[name] = torch.where(here.reshape(-1, *[1] * (value.ndim - 1)), value, torch.nan)
    if not values:
        return None
    energy = values.pop("energy", torch.full((len(data),), torch.nan, dtype=torch.float64))
    return Answers("labels", energy=energy, **values)


def pyscf_answers(
    level: Level,
    frames: Sequence[Atoms],
    data: Dataset,
    elements: Sequence[int] = (),
    advance: Callable[[int], None] | None = None,
) -> Answers:
    """What PySCF says of the structures at ``level``, one after the other, and of isolated atoms of ``elements``.

    Raises:
        InputError: PySCF is not installed, or an unknown functional or basis.
    """
    from ase import Atoms

    level.check()
    failures, labelled, seconds = {}, [], 0.0
    for k, atoms in enumerate(frames):
        elapsed, found = _timed(partial(_labelled, atoms, level))
        seconds += elapsed
        if isinstance(found, str):
            failures[k] = found
        labelled.append(Atoms(atoms.numbers, atoms.positions) if isinstance(found, str) else found)
        if advance is not None:
            advance(1)
    empty = Answers("", energy=torch.full((len(data),), torch.nan, dtype=torch.float64))
    return replace(
        label_answers(from_frames(labelled)) or empty,
        name=f"{level.functional}/{level.basis}",
        seconds=seconds / len(data),
        failures=failures,
        unconverged=frozenset(failures),
        atoms=pyscf_atom_energies(level, elements),
    )


def pyscf_atom_energies(level: Level, elements: Sequence[int]) -> dict[int, float]:
    """Energies, eV, of isolated atoms at ``level``; those that PySCF can compute."""
    from ase import Atoms

    lone = {z: _labelled(Atoms([z], info={"multiplicity": ground_state_multiplicity(z)}), level) for z in elements}
    return {z: float(a.get_potential_energy()) for z, a in lone.items() if not isinstance(a, str)}


def _labelled(atoms: Atoms, level: Level) -> Atoms | str:
    """The structure with PySCF's results, or the reason why there are none."""
    from nddo_ml.labelling.run import attempt, prepare
    from nddo_ml.structures.structure import Structure

    try:
        task = prepare(Structure("structures", 0, atoms))
    except InputError as error:
        return _reason(error)
    outcome = attempt(task, level, torch.get_num_threads())
    return outcome.reason if outcome.atoms is None else outcome.atoms


class _Table:
    """Results of a model as they come, structure by structure."""

    def __init__(self, data: Dataset) -> None:
        n, atoms = len(data), data.systems.n_atoms
        shapes = {"energy": (n,), "forces": (atoms, 3), "dipole": (n, 3), "charges": (atoms,), "energy_spread": (n,)}
        self.systems = data.systems
        self.values = {k: torch.full(s, torch.nan, dtype=torch.float64) for k, s in shapes.items()}

    def fill(self, index: Tensor, prediction: Any) -> None:
        """Keep a prediction for the structures ``index``, its atoms contiguous by structure."""
        _, atoms = self.systems.select_with_atoms(index)
        for name, values in self.values.items():
            value = getattr(prediction, name)
            if value is not None:
                values[atoms if name in PER_ATOM else index] = value.detach().cpu().double()

    def given(self) -> dict[str, Any]:
        """The energies, and those of the other results that there are."""
        return {k: v if k == "energy" or not bool(v.isnan().all()) else None for k, v in self.values.items()}


def extrapolates_at_atoms(model: AbstractModel, elements: Sequence[int]) -> bool:
    """Whether isolated atoms lie outside what a potential was trained on."""
    atoms = model.isolated_atoms(elements)
    return atoms is not None and bool(model.extrapolation(atoms))


def _timed(call: Callable[[], T]) -> tuple[float, T]:
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def _predict(model: AbstractModel, systems: Systems) -> Prediction:
    return model(systems, forces=True, on_failure="mask")


def _attempts(model: AbstractModel, systems: Systems, index: Tensor) -> list[tuple[Tensor, Any]]:
    """Predictions of parts of ``index``; for a structure that the model refuses or fails for, the exception."""
    try:
        return [(index, _predict(model, systems.select_with_atoms(index)[0]))]
    except Exception as error:  # numerics raise whatever they run into
        if len(index) == 1:
            return [(index, error)]
        return [found for half in index.tensor_split(2) for found in _attempts(model, systems, half)]


def _portions(systems: Systems) -> Iterator[Tensor]:
    """Indices of structures in portions of bounded size, like sizes together."""
    sizes = systems.atoms_per_system
    order = sizes.argsort(stable=True)
    portion = torch.cumsum(sizes[order], 0) // PORTION
    for k in portion.unique().tolist():
        yield order[portion == k]


def extrapolations_of(
    model: AbstractModel, systems: Systems, without: Container[int] = ()
) -> dict[int, Extrapolation] | None:
    """Structures with symmetry functions outside the training data's range; None for what has no range."""
    if not model.capabilities.training_range:
        return None
    found: dict[int, list[SystemExtrapolation]] = {}
    good = torch.tensor([k for k in range(systems.n_systems) if k not in without], dtype=torch.int64)
    for index in good.split(64):
        if len(index):
            for entry in model.extrapolation(systems.select(index)):
                found.setdefault(int(index[entry.system]), []).append(entry)
    result = {}
    for k, entries in found.items():
        worst = max(entries, key=_excess)
        result[k] = Extrapolation(sorted({e.atom for e in entries}), len(entries), worst, _excess(worst))
    return result


def _excess(e: SystemExtrapolation) -> float:
    outside, width = max(e.low - e.value, e.value - e.high), e.high - e.low
    return outside / width if width > 0 else float("inf")


def _reason(error: Exception) -> str:
    if isinstance(error, NDDOMLError):
        return str(error).removeprefix("system 0: ").removeprefix("system 0, ")
    first = next(iter(str(error).strip().splitlines()), "")
    return f"it could not be computed ({type(error).__name__}: {first[:200]})"
