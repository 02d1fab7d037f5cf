"""One model along a coordinate: the work of ``nddo-ml scan``, curve by curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from nddo_ml.compare.answers import Answers
from nddo_ml.compare.scan import Curve, scan
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.errors import InputError
from nddo_ml.results.run import NOT_CONVERGED, WRONG_INPUT, Piece, key_of

if TYPE_CHECKING:
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure
    from nddo_ml.workflows.coordinates import Coordinate


@dataclass(frozen=True)
class CurveOf:
    """The curve of one of the models, as plain data."""

    models: tuple[AbstractModel, ...]
    structure: Structure
    coordinate: Coordinate
    values: Sequence[float]
    relative_to: str
    fmax: float | None
    max_steps: int

    def __call__(self, k: int) -> list[Outcome]:
        model = self.models[k]
        try:
            (curve,) = scan(
                [model],
                self.structure.atoms,
                self.coordinate,
                self.values,
                relative_to=self.relative_to,
                fmax=self.fmax,
                max_steps=self.max_steps,
            )
        except Exception as error:  # numerics raise whatever they run into; the other models have their curves
            code = WRONG_INPUT if isinstance(error, InputError) else NOT_CONVERGED
            return [{"complaints": [[code, f"{self.coordinate}: {model.name}: {error}"]]}]
        return [{"record": _plain(curve)}]


def pieces_of(curves: CurveOf) -> Iterator[Piece]:
    """A piece a model."""
    key = key_of([curves.structure])
    return (Piece(f"{key}-{k}", k, 1) for k in range(len(curves.models)))


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
