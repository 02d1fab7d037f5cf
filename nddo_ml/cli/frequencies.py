"""``nddo-ml frequencies``: vibrations and thermochemistry of everything in the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nddo_ml.cli import common, environment, produce
from nddo_ml.cli.common import Charge, Files, Json, Model, Multiplicity, NoPbc, Smiles, Uhf
from nddo_ml.cli.environment import Charges, Field, Solvent
from nddo_ml.cli.optimize import Fmax, Steps
from nddo_ml.cli.produce import Scheduler, Workers
from nddo_ml.cli.thermal import Conditions, temperatures_of
from nddo_ml.cli.vibrating import Relaxing, Vibrating, draw_infrared, vibration_tables, write_all_modes
from nddo_ml.results.modes import check_modes
from nddo_ml.workflows.optimize import check_limits
from nddo_ml.workflows.thermochemistry import ATMOSPHERE

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
    solvent: Solvent = None,
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
    loaded = common.load_model(model, uhf, surroundings=environment.surroundings(field, charges, solvent))
    report = common.Report(common.console(stderr=True))
    options: dict[str, Any] = {"uhf": uhf, "analytic": analytic, "bonds": targets.wants_bonds, **vars(conditions)}
    options |= {"relax": relaxed, **({"fmax": fmax, "max-steps": max_steps} if relaxed else {})}
    with produce.production(targets, produce.settings_of("frequencies", [loaded], **options), report) as run:
        structures = produce.read(sources, report, targets)
        go = Relaxing(fmax, max_steps) if relaxed else None
        work = Vibrating(loaded, conditions, analytic, go, targets.wants_bonds)
        keys = run.compute(structures, work, "vibrating molecules", produce.resources(workers, scheduler))
        run.write_results(keys, targets, vibration_tables, modes=write_all_modes, figure=draw_infrared)
    raise typer.Exit(report.exit_code)
