"""``nddo-ml ts``: saddle points from guesses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nddo_ml.cli import common, produce
from nddo_ml.cli.common import Json, Model, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.frequencies import ModesFile
from nddo_ml.cli.optimize import Fmax
from nddo_ml.cli.produce import Sources, Workforce
from nddo_ml.cli.thermal import Gas
from nddo_ml.cli.vibrating import Climbing, Vibrating, vibration_tables, write_all_modes
from nddo_ml.results.modes import check_modes
from nddo_ml.workflows.optimize import check_limits

Steps = Annotated[int, typer.Option("--max-steps", help="Hessians after which a guess is given up.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Saddle points; the suffix is the format.")
]


def ts(
    *,
    sources: Sources,
    model: Model = "AM1",
    uhf: Uhf = False,
    around: Around,
    fmax: Fmax = 0.005,
    max_steps: Steps = 60,
    gas: Gas,
    json: Json = None,
    output_file: Output = None,
    modes: ModesFile = None,
    workforce: Workforce,
) -> None:
    """Saddle points from guesses in files: transition states.

    Each guess is walked up its softest mode and down all others, by partitioned
    rational function steps with a Hessian of its own at every step, and its
    vibrations are computed at the end: exactly one should be imaginary. For
    a reaction of which reactant and product are known, take nddo-ml reaction.

    Examples:

      nddo-ml ts examples/reactions/hcn_saddle.xyz --model PM6 --output saddle.xyz --modes saddle.molden
    """
    inputs = [*sources.paths, model, *around.files]
    targets = produce.checked(inputs, output=output_file, json=json, modes=modes)
    check_limits(fmax, max_steps)
    check_modes(modes)
    conditions = gas.conditions()
    loaded = common.load_model(model, uhf, surroundings=around.environment())
    report = common.Report(common.console(stderr=True))
    options: dict[str, Any] = {"uhf": uhf, "fmax": fmax, "max-steps": max_steps, "bonds": targets.wants_bonds}
    with produce.production(targets, produce.settings_of("ts", [loaded], **options, **vars(conditions)), report) as run:
        structures = produce.read(sources, report, targets)
        climbing = Climbing(fmax, max_steps)
        work = Vibrating(loaded, conditions, analytic=False, moving=climbing, bonds=targets.wants_bonds)
        keys = run.compute(structures, work, "saddle points", workforce.resources)
        run.write_results(keys, targets, vibration_tables, modes=write_all_modes)
    raise typer.Exit(report.exit_code)
