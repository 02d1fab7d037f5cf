"""``nddo-ml frequencies``: vibrations and thermochemistry of everything in the files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nddo_ml.cli import common, produce
from nddo_ml.cli.common import Json, Model, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.optimize import Fmax, Steps
from nddo_ml.cli.produce import Sources, Workforce
from nddo_ml.cli.thermal import Gas
from nddo_ml.cli.vibrating import Relaxing, Vibrating, draw_infrared, vibration_tables, write_all_modes
from nddo_ml.results.modes import check_modes
from nddo_ml.workflows.optimize import check_limits

Relax = Annotated[bool, typer.Option("--relax", "-r", help="Relax first, to --fmax.")]
Analytic = Annotated[
    bool, typer.Option("--analytic", help="Hessian by the density's response; else by differences of forces, faster.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Structures; the suffix is the format.")
]
ModesFile = Annotated[
    Path | None, typer.Option("--modes", metavar="OUT", help="Normal modes: .molden, or swinging frames (.xyz …).")
]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="Infrared spectra.")]


def frequencies(
    *,
    sources: Sources,
    model: Model = "AM1",
    uhf: Uhf = False,
    around: Around,
    relaxed: Relax = False,
    fmax: Fmax = 0.002,
    max_steps: Steps = 500,
    analytic: Analytic = False,
    gas: Gas,
    json: Json = None,
    output_file: Output = None,
    modes: ModesFile = None,
    figure: Figure = None,
    workforce: Workforce,
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
    targets = produce.checked(
        [*sources.paths, model, *around.files], output=output_file, json=json, modes=modes, figure=figure
    )
    check_limits(fmax, max_steps)
    check_modes(modes)
    conditions = gas.conditions()
    loaded = common.load_model(model, uhf, surroundings=around.environment())
    report = common.Report(common.console(stderr=True))
    options: dict[str, Any] = {"uhf": uhf, "analytic": analytic, "bonds": targets.wants_bonds, **vars(conditions)}
    options |= {"relax": relaxed, **({"fmax": fmax, "max-steps": max_steps} if relaxed else {})}
    with produce.production(targets, produce.settings_of("frequencies", [loaded], **options), report) as run:
        structures = produce.read(sources, report, targets)
        go = Relaxing(fmax, max_steps) if relaxed else None
        work = Vibrating(loaded, conditions, analytic, go, targets.wants_bonds)
        keys = run.compute(structures, work, "vibrating molecules", workforce.resources)
        run.write_results(keys, targets, vibration_tables, modes=write_all_modes, figure=draw_infrared)
    raise typer.Exit(report.exit_code)
