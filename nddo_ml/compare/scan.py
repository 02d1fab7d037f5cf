"""Scans of a structure along a distance, an angle or a torsion by one or several models, rigid or relaxed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nddo_ml.compare.answers import Answers, model_answers
from nddo_ml.compare.comparison import ZEROS, relative_energies
from nddo_ml.datasets.dataset import Dataset, from_frames
from nddo_ml.elements import ground_state_multiplicity
from nddo_ml.errors import InputError, SCFConvergenceError
from nddo_ml.models.base import AbstractModel, Capabilities, Prediction, Request
from nddo_ml.models.constant import constant_energy
from nddo_ml.systems import Systems
from nddo_ml.workflows.coordinates import Coordinate

if TYPE_CHECKING:
    from ase import Atoms

ENERGY_NOISE = 1e-6  # eV, a fall below this is none
SCAN_ZEROS = (*ZEROS, "fragments")


@dataclass(frozen=True)
class Curve:
    """One model along a coordinate."""

    values: list[float]  # [points] Å or degrees
    frames: list[Atoms]
    data: Dataset  # of the frames
    answers: Answers
    relaxed: list[bool] | None  # whether each point met the force criterion; None of a rigid scan
    limit: float | None  # eV, the energy of the separated fragments, rigid; None where it was not asked for
    without_constant: bool = False  # whether energies lack a constant that ends in a step, PM6's of triple bonds

    def relative(self, to: str) -> Tensor:
        """Energies [points] eV relative to one of SCAN_ZEROS; NaN where this is not known."""
        if to == "fragments":
            return self.answers.energy - (torch.nan if self.limit is None else self.limit)
        return relative_energies(self.answers, self.data, to)


def scan(
    models: Sequence[AbstractModel],
    atoms: Atoms,
    coordinate: Coordinate,
    values: Sequence[float],
    *,
    relative_to: str = "minimum",
    fmax: float | None = None,
    max_steps: int = 200,
    advance: Callable[[int], None] | None = None,
) -> list[Curve]:
    """The curves of some models, one each, of energies whose derivatives are the forces (:func:`constant_energy`).

    Args:
        models: any methods, hybrids or potentials.
        atoms: the structure; charge and multiplicity in ``info``.
        coordinate: what is changed.
        values: of the coordinate, Å or degrees.
        relative_to: one of SCAN_ZEROS; "fragments" are the two sides of a stretched bond, far apart.
        fmax: relax each point, by each model, until no force exceeds this, eV/Å; None: both sides stay rigid.
        max_steps: of each relaxation.
        advance: called with the number of points that a model has just done.

    Raises:
        InputError: what the coordinate, or :func:`fragments` where it is asked for, refuses; another zero.
    """
    check_zero(relative_to)
    rigid = rigid_scan(atoms, coordinate, values)
    parts = fragments(atoms, coordinate) if relative_to == "fragments" else None
    curves = []
    for model in models:
        if fmax is None:
            curves.append(curve_of(model, values, rigid, None, relative_to, parts, advance))
            continue
        made = relaxed_scan(atoms, coordinate, values, model, fmax=fmax, max_steps=max_steps, advance=advance)
        curves.append(curve_of(model, values, made.frames, made.relaxed, relative_to, parts))
    return curves


def check_zero(relative_to: str) -> None:
    """Raise InputError unless energies can be relative to this."""
    if relative_to not in SCAN_ZEROS:
        raise InputError(f"energies may be relative to {', '.join(SCAN_ZEROS)}; got {relative_to!r}")


def curve_of(
    model: AbstractModel,
    values: Sequence[float],
    frames: list[Atoms],
    relaxed: list[bool] | None,
    relative_to: str,
    parts: Sequence[Atoms] | None,
    advance: Callable[[int], None] | None = None,
) -> Curve:
    """The curve of one model through the geometries of a scan; arguments as :func:`scan`, ``parts`` its fragments."""
    data = from_frames(frames)
    elements = data.elements if relative_to == "atoms" else ()
    along = AlongCurve(model) if model.capabilities.density else model
    answers = model_answers(along, data, elements, advance)
    constant = constant_energy(model, data.systems)
    answers = replace(answers, energy=answers.energy - constant)
    limit = None if parts is None else _energy_apart(model, parts)
    return Curve(list(values), frames, data, answers, relaxed, limit, bool(constant.any()))


class AlongCurve(AbstractModel):
    """A method or hybrid on the points of one curve, a batch in their order, each at the lowest solution found.

    The field of every point is solved on its own, then again from the densities of its neighbours, until no energy
    falls: broken-symmetry solutions, which a bond that comes apart needs, spread from where they are found. Fields
    that do not converge are masked.
    """

    def __init__(self, model: AbstractModel) -> None:
        super().__init__()
        self.model = model
        self.name = model.name
        self.elements = model.elements
        self.periodic = model.periodic

    @property
    def capabilities(self) -> Capabilities:
        """Those of the model."""
        return self.model.capabilities

    def isolated_energies(self, numbers: Iterable[int] | None = None) -> dict[int, float]:
        """Those of the model."""
        return self.model.isolated_energies(numbers)

    def forward(self, systems: Systems, request: Request) -> Prediction:
        """As that of the model; fields that do not converge are always masked."""
        ask = partial(self.model, systems, environment=request.environment, on_failure="mask")
        best, start = ask(start=request.start), request.start
        if best.scf is not None and systems.n_systems > 1 and len(set(systems.atoms_per_system.tolist())) == 1:
            start = self._spread(ask, best.energy, best.scf.density)
        return ask(forces=request.forces, stress=request.stress, start=start)

    def _spread(self, ask: Callable[..., Prediction], energy: Tensor, density: Tensor) -> Tensor:
        """The densities of a curve once no point's energy falls any more when it starts from a neighbour's."""
        energy, density = energy.nan_to_num(nan=torch.inf), density.clone()
        for _ in range(len(energy)):
            fallen = False
            for step in (1, -1):
                trial = ask(start=density.roll(step, 0))
                lower = trial.energy.nan_to_num(nan=torch.inf) < energy - ENERGY_NOISE
                if trial.scf is None or not bool(lower.any()):
                    continue
                energy = torch.where(lower, trial.energy, energy)
                density[lower] = trial.scf.density[lower]
                fallen = True
            if not fallen:
                break
        return density


def _energy_apart(model: AbstractModel, parts: Sequence[Atoms]) -> float:
    """Sum of the fragments' energies; their spins, which were assumed here, are kept from a model that knows none."""
    systems = Systems.from_ase(parts)
    if not model.capabilities.spin:
        systems = replace(systems, multiplicity=torch.ones_like(systems.multiplicity))
    return float((model(systems).energy - constant_energy(model, systems)).sum())


@dataclass(frozen=True)
class RelaxedScan:
    """Geometries of a relaxed scan by one model."""

    frames: list[Atoms]
    relaxed: list[bool]  # whether the force criterion was met with the coordinate held


def rigid_scan(atoms: Atoms, coordinate: Coordinate, values: Sequence[float]) -> list[Atoms]:
    """The structure with the coordinate at each value, both sides rigid; the value stands in ``info``.

    Raises:
        InputError: as :meth:`Coordinate.moving` and :meth:`Coordinate.moved`.
    """
    atoms, moving = _bare(atoms), coordinate.moving(atoms)
    return [noted(atoms, coordinate.moved(atoms, value, moving).positions, coordinate, value) for value in values]


def relaxed_scan(
    atoms: Atoms,
    coordinate: Coordinate,
    values: Sequence[float],
    model: AbstractModel,
    *,
    fmax: float = 0.05,
    max_steps: int = 200,
    advance: Callable[[int], None] | None = None,
) -> RelaxedScan:
    """The structure relaxed by a model at each value, each from the geometry before it, with ASE's BFGS.

    A point that is not relaxed to ``fmax`` eV/Å in ``max_steps`` steps, or whose field fails, is kept as it is and
    marked.

    Raises:
        InputError: as :func:`rigid_scan`, and what the model refuses.
    """
    frames, relaxed, current = [], [], atoms
    for value in values:
        current, good = relaxed_point(atoms, current, coordinate, value, model, fmax=fmax, max_steps=max_steps)
        relaxed.append(good)
        frames.append(current)
        if advance is not None:
            advance(1)
    return RelaxedScan(frames, relaxed)


def relaxed_point(
    atoms: Atoms,
    before: Atoms,
    coordinate: Coordinate,
    value: float,
    model: AbstractModel,
    *,
    fmax: float = 0.05,
    max_steps: int = 200,
) -> tuple[Atoms, bool]:
    """One point of :func:`relaxed_scan`, and whether it is relaxed.

    Args:
        atoms: the structure, by whose bonds it is decided what moves.
        before: the geometry to start from, that of the point before.
    """
    from ase.optimize import BFGS

    from nddo_ml.workflows.calculator import NDDOCalculator

    current = coordinate.moved(_bare(before), value, coordinate.moving(atoms))
    current.set_constraint(coordinate.held(value))
    current.calc = NDDOCalculator(model)
    try:
        good = bool(BFGS(current, logfile=None).run(fmax=fmax, steps=max_steps))
    except (SCFConvergenceError, ValueError) as error:  # ASE raises ValueError where a constraint is not kept
        if isinstance(error, InputError):
            raise
        good = False
    return noted(atoms, current.positions, coordinate, value), good


def fragments(atoms: Atoms, coordinate: Coordinate) -> list[Atoms]:
    """The kept and the moved side of a stretched bond, each alone, neutral.

    An atom has the multiplicity of its ground state, a larger fragment the lowest.

    Raises:
        InputError: no bond coordinate, or a charged system, whose charge could go to either side.
    """
    if coordinate.kind != "bond":
        raise InputError(f"{coordinate}: energies relative to fragments need a bond; got a {coordinate.kind}")
    if int(atoms.info.get("charge", 0)):
        raise InputError(f"{coordinate}: fragments are defined for neutral systems; got {atoms.info['charge']:+d}")
    moving = coordinate.moving(atoms)
    parts = []
    for side in ([i for i in range(len(atoms)) if i not in moving], moving):
        part = atoms[side]
        electrons = int(part.numbers.sum())
        spin = ground_state_multiplicity(part.numbers[0]) if len(part) == 1 else 1 + electrons % 2
        part.info = {"charge": 0, "multiplicity": spin}
        parts.append(part)
    return parts


def _bare(atoms: Atoms) -> Atoms:
    """The structure with its charge and multiplicity, without labels, which would be wrong elsewhere."""
    made = type(atoms)(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    made.info = {key: atoms.info[key] for key in ("charge", "multiplicity") if key in atoms.info}
    return made


def noted(atoms: Atoms, positions: Any, coordinate: Coordinate, value: float) -> Atoms:
    """The structure at other positions, with the coordinate and its value in ``info``."""
    made = _bare(atoms)
    made.positions = positions
    made.info.update(scan_coordinate=str(coordinate), scan_value=float(value))
    return made
