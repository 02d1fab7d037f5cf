"""Vibrations at minima and saddle points: the work of ``nddo-ml frequencies`` and ``ts``, and what they write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nddo_ml.cli import output
from nddo_ml.cli.optimize import note_steps
from nddo_ml.cli.thermal import Conditions, modes_table, thermal_record, thermal_tables
from nddo_ml.evaluation.spectra import Lines, infrared
from nddo_ml.results.modes import Modes, write_modes
from nddo_ml.results.run import NOT_CONVERGED
from nddo_ml.results.targets import whole
from nddo_ml.workflows.normal_modes import Vibrations, free_motions, masses_of, named_mode, normal_modes, walls
from nddo_ml.workflows.optimize import OptimizationResult, optimize
from nddo_ml.workflows.saddle import Saddles, find_saddles
from nddo_ml.workflows.second_derivatives import second_derivatives

if TYPE_CHECKING:
    from rich.table import Table

    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure
    from nddo_ml.systems import Systems

_MODES_SHOWN = 3  # structures up to which every mode has a line


class Moving(Protocol):
    """How a batch is brought to stationary points."""

    @property
    def fmax(self) -> float:
        """The largest force there, eV/Å."""

    @property
    def imaginary(self) -> int | None:
        """How many modes must be imaginary there; None: it is not looked at."""

    def __call__(self, systems: Systems, model: AbstractModel) -> OptimizationResult | Saddles:
        """The batch at stationary points."""


@dataclass(frozen=True)
class Relaxing:
    """To minima."""

    fmax: float
    max_steps: int
    imaginary: int | None = None

    def __call__(self, systems: Systems, model: AbstractModel) -> OptimizationResult:
        return optimize(systems, model, fmax=self.fmax, max_steps=self.max_steps)


@dataclass(frozen=True)
class Climbing:
    """To saddle points."""

    fmax: float
    max_steps: int
    imaginary: int | None = 1

    def __call__(self, systems: Systems, model: AbstractModel) -> Saddles:
        return find_saddles(systems, model, fmax=self.fmax, max_steps=self.max_steps)


@dataclass(frozen=True)
class Vibrating:
    """Vibrations and thermochemistry of a batch, moved before where this is asked for."""

    model: AbstractModel
    conditions: Conditions
    analytic: bool
    moving: Moving | None
    bonds: bool = False

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        systems = output.systems_of(structures)
        moved = None if self.moving is None else self.moving(systems, self.model)
        systems = systems if moved is None else moved.systems
        made = output.outcomes(structures, systems, self.model(systems, forces=True), self.model, self.bonds)
        found = vibrations_of(systems, self.model, self.analytic)
        for k, (outcome, vibrations) in enumerate(zip(made, found, strict=True)):
            outcome["modes"] = vibrations.modes.tolist()
            outcome["record"] |= vibration_record(systems[k], vibrations)
            outcome["record"] |= thermal_record(systems[k].to_ase()[0], outcome["record"], self.conditions)
            if self.moving is not None and moved is not None:
                note_steps(outcome, moved, k, structures[k], self.moving.fmax)
            self._check(outcome, None if self.moving is None else self.moving.imaginary, structures[k])
        return made

    def _check(self, outcome: Outcome, expected: int | None, structure: Structure) -> None:
        found, said = outcome["record"]["imaginary_modes"], [walls(outcome["record"]["frequencies_cm"])]
        if expected is not None and found != expected:
            said.append(f"expected {expected} imaginary mode at a saddle point; got {found}")
        for text in filter(None, said):
            outcome.setdefault("complaints", []).append([NOT_CONVERGED, f"{structure.address}: {text}"])


def vibrations_of(systems: Systems, model: AbstractModel, analytic: bool = False) -> list[Vibrations]:
    """Vibrations of every molecule of a batch, with infrared intensities where the model has dipoles."""
    dipoles = "dipole" in model.capabilities.properties
    found = second_derivatives(model, systems, dipoles=dipoles, analytic=analytic)
    return [normal_modes(systems[k], d, free_motions(model)) for k, d in enumerate(found)]


def vibration_record(systems: Systems, vibrations: Vibrations) -> dict[str, Any]:
    """Frequencies, intensities and what moves of one molecule, as plain data."""
    masses, numbers = masses_of(systems), systems.numbers.tolist()
    strength = vibrations.intensities
    return {
        "masses_u": masses.tolist(),
        "frequencies_cm": vibrations.frequencies.tolist(),
        "intensities_km_mol": None if strength is None else strength.tolist(),
        "moving": [named_mode(mode, numbers, masses) for mode in vibrations.modes],
        "imaginary_modes": int((vibrations.frequencies < 0).sum()),
    }


def vibration_tables(records: Iterable[dict[str, Any]]) -> list[Table]:
    """A line a molecule; of few molecules a table each of modes, and of temperatures where there are several."""
    kept = list(records)
    tables = [*thermal_tables(kept)] if kept else []
    if len(kept) <= _MODES_SHOWN:
        tables += [modes_table(r) for r in kept]
    return tables


def write_all_modes(outcomes: Iterable[Outcome], path: Path) -> None:
    """Modes of all molecules into a file that viewers read."""
    write_modes(
        (
            Modes(
                output.frame_of(o),
                o["record"]["frequencies_cm"],
                np.array(o["modes"]),
                o["record"]["intensities_km_mol"],
            )
            for o in outcomes
        ),
        path,
    )


def draw_infrared(outcomes: Iterable[Outcome], path: Path) -> None:
    """Infrared spectra of the molecules as a figure."""
    spectra = []
    for o in outcomes:
        record = o["record"]
        if record["intensities_km_mol"] is not None:
            name = f"{output.structure_name(record['source'], record['frame'])}, {record['method']}"
            spectra.append(Lines(name, np.array(record["frequencies_cm"]), np.array(record["intensities_km_mol"])))
    with whole(path) as made:
        infrared(spectra, made)
