"""``nddo-ml frequencies``: vibrations and thermochemistry of everything in the files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from nddo_ml.cli import common, environment, output, produce
from nddo_ml.cli.common import Charge, Files, Json, Model, Multiplicity, NoPbc, Smiles, Uhf
from nddo_ml.cli.environment import Charges, Field
from nddo_ml.cli.optimize import Fmax, Steps, note_steps
from nddo_ml.cli.produce import Scheduler, Workers
from nddo_ml.cli.thermal import Conditions, modes_table, temperatures_of, thermal_record, thermal_tables
from nddo_ml.evaluation.spectra import Lines, infrared
from nddo_ml.results.modes import Modes, check_modes, write_modes
from nddo_ml.results.targets import whole
from nddo_ml.workflows.normal_modes import free_motions, masses_of, named_mode, normal_modes
from nddo_ml.workflows.optimize import check_limits
from nddo_ml.workflows.optimize import optimize as relax
from nddo_ml.workflows.second_derivatives import second_derivatives
from nddo_ml.workflows.thermochemistry import ATMOSPHERE

if TYPE_CHECKING:
    from rich.table import Table

    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure
    from nddo_ml.systems import Systems

_MODES_SHOWN = 3  # structures up to which every mode has a line

Relax = Annotated[bool, typer.Option("--relax", "-r", help="Relax first, to --fmax.")]
Analytic = Annotated[
    bool, typer.Option("--analytic", help="Hessian by the density's response; else by differences of forces, faster.")
]
Temperature = Annotated[
    str, typer.Option("--temperature", "-t", metavar="K", help="One temperature, or FROM:TO:STEP, in K.")
]
Pressure = Annotated[float, typer.Option("--pressure", help="Pressure, Pa; 101325 is one atmosphere.")]
SymmetryNumber = Annotated[
    int | None, typer.Option("--symmetry-number", help="Rotational symmetry number of all; else detected.")
]
QuasiHarmonic = Annotated[
    bool, typer.Option("--quasi-harmonic", help="Grimme's entropy of modes below about 100 cm⁻¹.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Structures; the suffix is the format.")
]
ModesFile = Annotated[
    Path | None, typer.Option("--modes", metavar="OUT", help="Normal modes: .molden, or swinging frames (.xyz …).")
]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="Infrared spectra.")]


@dataclass(frozen=True)
class Vibrating:
    """Vibrations and thermochemistry of a batch, relaxed before where a largest force is given."""

    model: AbstractModel
    conditions: Conditions
    analytic: bool
    fmax: float | None
    max_steps: int
    bonds: bool = False

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        systems = output.systems_of(structures)
        relaxed = None
        if self.fmax is not None:
            relaxed = relax(systems, self.model, fmax=self.fmax, max_steps=self.max_steps)
            systems = relaxed.systems
        prediction = self.model(systems, forces=True) if relaxed is None else relaxed.prediction
        made = output.outcomes(structures, systems, prediction, self.model, self.bonds)
        dipoles = "dipole" in self.model.capabilities.properties
        found = second_derivatives(self.model, systems, dipoles=dipoles, analytic=self.analytic)
        for k, (outcome, derivatives) in enumerate(zip(made, found, strict=True)):
            if relaxed is not None:
                note_steps(outcome, relaxed, k, structures[k], self.fmax or 0.0)
            one = systems[k]
            vibrations = normal_modes(one, derivatives, free_motions(self.model))
            outcome["modes"] = vibrations.modes.tolist()
            outcome["record"] |= vibration_record(one, vibrations.frequencies, vibrations.modes, vibrations.intensities)
            outcome["record"] |= thermal_record(one.to_ase()[0], outcome["record"], self.conditions)
        return made


def vibration_record(systems: Systems, frequencies: Any, modes: Any, intensities: Any) -> dict[str, Any]:
    """Frequencies, intensities and what moves, as plain data."""
    masses, numbers = masses_of(systems), systems.numbers.tolist()
    return {
        "masses_u": masses.tolist(),
        "frequencies_cm": frequencies.tolist(),
        "intensities_km_mol": None if intensities is None else intensities.tolist(),
        "moving": [named_mode(mode, numbers, masses) for mode in modes],
        "imaginary_modes": int((frequencies < 0).sum()),
    }


def frequencies(
    files: Files = None,
    model: Model = "AM1",
    charge: Charge = None,
    multiplicity: Multiplicity = None,
    no_pbc: NoPbc = False,
    smiles: Smiles = None,
    uhf: Uhf = False,
    field: Field = None,
    charges: Charges = None,
    relaxed: Relax = False,
    fmax: Fmax = 0.002,
    max_steps: Steps = 500,
    analytic: Analytic = False,
    temperature: Temperature = "298.15",
    pressure: Pressure = ATMOSPHERE,
    symmetry_number: SymmetryNumber = None,
    quasi_harmonic: QuasiHarmonic = False,
    json: Json = None,
    output_file: Output = None,
    modes: ModesFile = None,
    figure: Figure = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
) -> None:
    """Vibrations, infrared spectra and thermochemistry of the molecules in files.

    Harmonic frequencies, and enthalpy, entropy and Gibbs energy of an ideal gas
    of rigid rotors and harmonic oscillators. The structures must be relaxed
    with the same model, or are with --relax. Imaginary modes are shown as
    negative numbers. Atoms are counted from 0. Isotopes are those of the file.
    Results are kept in OUT.part as they come: after an interruption the same
    command goes on where it stopped.

    Examples:

      nddo-ml frequencies examples/molecules/ethanol.xyz --relax

      nddo-ml frequencies examples/molecules/*.xyz --relax --model PM6 --temperature 200:400:50 --json thermo.json

      nddo-ml frequencies --smiles CCO --relax --figure infrared.png --modes ethanol.molden
    """
    sources = produce.Sources.given(files, smiles, charge, multiplicity, no_pbc)
    targets = produce.checked(
        [*sources.files, model, *filter(None, [charges])], output=output_file, json=json, modes=modes, figure=figure
    )
    check_limits(fmax, max_steps)
    check_modes(modes)
    conditions = Conditions(temperatures_of(temperature), pressure, symmetry_number, quasi_harmonic)
    loaded = common.load_model(model, uhf, surroundings=environment.surroundings(field, charges))
    report = common.Report(common.console(stderr=True))
    options: dict[str, Any] = {"uhf": uhf, "analytic": analytic, "bonds": targets.wants_bonds, **vars(conditions)}
    options |= {"relax": relaxed, **({"fmax": fmax, "max-steps": max_steps} if relaxed else {})}
    with produce.production(targets, produce.settings_of("frequencies", [loaded], **options), report) as run:
        structures = produce.read(sources, report, targets)
        work = Vibrating(loaded, conditions, analytic, fmax if relaxed else None, max_steps, targets.wants_bonds)
        keys = run.compute(structures, work, "vibrating molecules", produce.resources(workers, scheduler))
        run.write_results(keys, targets, _tables, modes=_write_modes, figure=_draw)
    raise typer.Exit(report.exit_code)


def _tables(records: Iterable[dict[str, Any]]) -> list[Table]:
    """A line a molecule; of few molecules a table each of modes, and of temperatures where there are several."""
    kept = list(records)
    tables = [*thermal_tables(kept)] if kept else []
    if len(kept) <= _MODES_SHOWN:
        tables += [modes_table(r) for r in kept]
    return tables


def _write_modes(outcomes: Iterable[Outcome], path: Path) -> None:
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


def _draw(outcomes: Iterable[Outcome], path: Path) -> None:
    spectra = []
    for o in outcomes:
        record = o["record"]
        if record["intensities_km_mol"] is not None:
            name = f"{output.structure_name(record['source'], record['frame'])}, {record['method']}"
            spectra.append(Lines(name, np.array(record["frequencies_cm"]), np.array(record["intensities_km_mol"])))
    with whole(path) as made:
        infrared(spectra, made)
