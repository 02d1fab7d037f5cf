"""``nddo-ml optimize``: relax everything in the files, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nddo_ml.cli import common, output, produce
from nddo_ml.cli.common import Ignore, Json, Model, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.produce import Sources, Workforce
from nddo_ml.results.run import NOT_CONVERGED
from nddo_ml.workflows.optimize import OptimizationResult, check_limits
from nddo_ml.workflows.optimize import optimize as relax

if TYPE_CHECKING:
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure
    from nddo_ml.workflows.saddle import Saddles

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="OUT", help="Relaxed structures; the suffix is the format.")
]
Fmax = Annotated[float, typer.Option("--fmax", help="Largest force that counts as relaxed, eV/Å.")]
Steps = Annotated[int, typer.Option("--max-steps", help="Steps after which a molecule is given up.")]
Trajectory = Annotated[
    Path | None, typer.Option("--trajectory", metavar="OUT", help="Every accepted step; the suffix is the format.")
]


@dataclass(frozen=True)
class Relaxations:
    """Relaxed structures of a batch, and how they came about."""

    model: AbstractModel
    fmax: float
    max_steps: int
    paths: bool
    bonds: bool = False

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        relaxed = relax(
            output.systems_of(structures),
            self.model,
            fmax=self.fmax,
            max_steps=self.max_steps,
            trajectory=self.paths,
        )
        made = output.outcomes(structures, relaxed.systems, relaxed.prediction, self.model, self.bonds)
        for k, outcome in enumerate(made):
            note_steps(outcome, relaxed, k, structures[k], self.fmax)
            if relaxed.trajectories is not None:
                outcome["path"] = [
                    {
                        "positions": a.positions.tolist(),
                        "energy": a.get_potential_energy(),
                        "forces": a.get_forces(apply_constraint=False).tolist(),
                    }
                    for a in relaxed.trajectories[k]
                ]
        return made


def note_steps(
    outcome: Outcome, relaxed: OptimizationResult | Saddles, k: int, structure: Structure, fmax: float
) -> None:
    """Add to an outcome how its relaxation ended, and a complaint where it did not converge."""
    steps = int(relaxed.steps[k])
    outcome["record"] |= {"optimization_converged": bool(relaxed.converged[k]), "optimization_steps": steps}
    if not bool(relaxed.converged[k]):
        text = f"{structure.address}: not relaxed to {fmax} eV/Å after {steps} steps"
        outcome["complaints"] = [[NOT_CONVERGED, text]]


def optimize(
    *,
    output_file: Output,
    sources: Sources,
    model: Model = "AM1",
    uhf: Uhf = False,
    ignore_charge_and_spin: Ignore = False,
    around: Around,
    fmax: Fmax = 0.05,
    max_steps: Steps = 500,
    json: Json = None,
    trajectory: Trajectory = None,
    workforce: Workforce,
) -> None:
    """Relax the molecules in files, many at once.

    Every molecule takes its own steps and leaves the batch when it is done.
    The output has the relaxed structures in the order of the files. The exit
    code is 1 when some molecule did not converge, 2 when some input was
    wrong; the others are done in both cases. Results are kept in OUT.part as
    they come: after an interruption the same command goes on where it stopped.

    Examples:

      nddo-ml optimize examples/molecules/aspirin.xyz --output relaxed.xyz

      nddo-ml optimize examples/molecules/*.xyz --model PM3 --fmax 0.01 --output relaxed.sdf --workers 2
    """
    inputs = [*sources.paths, model, *around.files]
    targets = produce.checked(inputs, output=output_file, json=json, trajectory=trajectory)
    check_limits(fmax, max_steps)
    surroundings = around.environment()
    loaded = common.load_model(model, uhf, surroundings=surroundings, ignore=ignore_charge_and_spin)
    report = common.Report(common.console(stderr=True))
    options = {"uhf": uhf, "fmax": fmax, "max-steps": max_steps, "trajectory": trajectory is not None}
    options["bonds"] = targets.wants_bonds
    with produce.production(targets, produce.settings_of("optimize", [loaded], **options), report) as run:
        structures = produce.read(sources, report, targets)
        work = Relaxations(loaded, fmax, max_steps, trajectory is not None, targets.wants_bonds)
        keys = run.compute(structures, work, "relaxed structures", workforce.resources)
        run.write_results(keys, targets)
    raise typer.Exit(report.exit_code)
