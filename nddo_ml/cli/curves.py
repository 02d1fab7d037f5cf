"""Models along a coordinate: the work of ``nddo-ml scan``, curve by curve, relaxed ones point by point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from nddo_ml.compare.answers import Answers
from nddo_ml.compare.scan import Curve, curve_of, fragments, noted, relaxed_point, scan
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.errors import InputError
from nddo_ml.results.run import NOT_CONVERGED, WRONG_INPUT, Piece, key_of

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.journal import Journal
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure
    from nddo_ml.workflows.coordinates import Coordinate

Point = dict[str, Any]  # a relaxed geometry: positions, and whether it is relaxed


@dataclass(frozen=True)
class CurveOf:
    """The curves of some models, one after another, as plain data."""

    models: tuple[AbstractModel, ...]
    structure: Structure
    coordinate: Coordinate
    values: Sequence[float]
    relative_to: str
    fmax: float | None  # None: rigid
    max_steps: int

    def __call__(self, step: Step) -> list[Outcome]:
        """A relaxed point, or the curve through all of them.

        What a step finds is in its outcome: a point's geometry under "point", the curve under "record".
        """
        model = self.models[step.model]
        try:
            if step.point is not None:
                return [{"point": self._point(model, step.point, step.before)}]
            return [{"record": _plain(self._curve(model, step.before)), "model": step.model}]
        except Exception as error:  # numerics raise whatever they run into; the other models have their curves
            code = WRONG_INPUT if isinstance(error, InputError) else NOT_CONVERGED
            return [{"complaints": [[code, f"{self.coordinate}: {model.name}: {error}"]]}]

    def _point(self, model: AbstractModel, k: int, before: Sequence[Point]) -> Point:
        start = self._frame(before[-1], k - 1) if before else self.structure.atoms
        made, relaxed = relaxed_point(
            self.structure.atoms,
            start,
            self.coordinate,
            self.values[k],
            model,
            fmax=self.fmax or 0.0,
            max_steps=self.max_steps,
        )
        return {"positions": made.positions.tolist(), "relaxed": relaxed}

    def _curve(self, model: AbstractModel, points: Sequence[Point]) -> Curve:
        if self.fmax is None:
            (curve,) = scan([model], self.structure.atoms, self.coordinate, self.values, relative_to=self.relative_to)
            return curve
        frames = [self._frame(point, k) for k, point in enumerate(points)]
        parts = fragments(self.structure.atoms, self.coordinate) if self.relative_to == "fragments" else None
        return curve_of(model, self.values, frames, [p["relaxed"] for p in points], self.relative_to, parts)

    def _frame(self, point: Point, k: int) -> Atoms:
        return noted(self.structure.atoms, point["positions"], self.coordinate, self.values[k])


@dataclass(frozen=True)
class Step:
    """One piece of the work on a model's curve: a relaxed point, or the curve through all of them (``point`` None)."""

    model: int
    point: int | None
    before: Sequence[Point]  # of a point the one before it, of a curve all of them


def pieces_of(curves: CurveOf, journal: Journal) -> Iterator[Piece | None]:
    """The steps of all models as they can be taken: each needs the one before it, which the journal has when it is
    done. None stands for none at the moment."""
    key, points = key_of([curves.structure]), 0 if curves.fmax is None else len(curves.values)
    steps = [0] * len(curves.models)  # of each model, those given out

    def found(model: int, step: int) -> list[Point]:
        return [o["point"] for o in journal.read(f"{key}-{model}-{step}") if "point" in o]

    while any(step <= points for step in steps):
        idle = True
        for model, step in enumerate(steps):
            if step > points or (step and f"{key}-{model}-{step - 1}" not in journal):
                continue
            idle = False
            needed = range(step) if step == points else range(max(0, step - 1), step)
            before = [point for k in needed for point in found(model, k)]
            if len(before) < len(needed):  # a point has failed: the model has no curve
                steps[model] = points + 1
                continue
            steps[model] += 1
            item, counts = (Step(model, step, before), 1) if step < points else (Step(model, None, before), not points)
            yield Piece(f"{key}-{model}-{step}", item, int(counts))
        if idle:
            yield None


def read_curve(kept: Mapping[str, Any]) -> Curve:
    """The curve that was kept."""
    from ase import Atoms

    made = kept["record"]
    frames = [
        Atoms(made["numbers"], positions, cell=made["cell"], pbc=made["pbc"], info=dict(info))
        for positions, info in zip(made["positions"], made["info"], strict=True)
    ]
    outside = made["extrapolates"]  # which points; how far is not asked again
    answers = Answers(
        made["name"],
        energy=torch.tensor([torch.nan if e is None else e for e in made["energy"]], dtype=torch.float64),
        seconds=made["seconds"],
        failures={int(k): reason for k, reason in made["failures"].items()},
        unconverged=frozenset(made["unconverged"]),
        extrapolations=None if outside is None else cast(Any, dict.fromkeys(outside)),
        atoms={int(z): energy for z, energy in made["atoms"].items()},
    )
    return Curve(
        made["values"],
        frames,
        from_frames(frames),
        answers,
        made["relaxed"],
        made["limit"],
        made["without_constant"],
    )


def _plain(curve: Curve) -> dict[str, Any]:
    a, frames = curve.answers, curve.frames
    return {
        "name": a.name,
        "values": curve.values,
        "numbers": frames[0].numbers.tolist(),
        "cell": frames[0].cell.tolist(),
        "pbc": frames[0].pbc.tolist(),
        "positions": [f.positions.tolist() for f in frames],
        "info": [f.info for f in frames],
        "energy": a.energy.tolist(),
        "seconds": a.seconds,
        "failures": {str(k): reason for k, reason in a.failures.items()},
        "unconverged": sorted(a.unconverged),
        "extrapolates": None if a.extrapolations is None else sorted(a.extrapolations),
        "atoms": {str(z): energy for z, energy in (a.atoms or {}).items()},
        "relaxed": curve.relaxed,
        "limit": curve.limit,
        "without_constant": curve.without_constant,
    }
