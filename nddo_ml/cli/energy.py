"""``nddo-ml energy``: single points of everything in the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nddo_ml.cli import common, produce
from nddo_ml.cli.common import Ignore, Json, Model, Solution, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.produce import Sources, Workforce

if TYPE_CHECKING:
    from nddo_ml.models.base import AbstractModel
    from nddo_ml.results.run import Outcome
    from nddo_ml.structures.structure import Structure

Forces = Annotated[bool, typer.Option("--forces", "-f", help="Forces as well, in the JSON and the output.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="OUT", help="Structures with results; the suffix is the format."),
]


@dataclass(frozen=True)
class SinglePoints:
    """Energies, and forces where asked for, of a batch."""

    model: AbstractModel
    forces: bool
    bonds: bool = False

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        from nddo_ml.cli import output

        systems = output.systems_of(structures)
        return output.outcomes(structures, systems, self.model(systems, forces=self.forces), self.model, self.bonds)


def energy(
    *,
    sources: Sources,
    model: Model = "AM1",
    uhf: Uhf = False,
    ignore_charge_and_spin: Ignore = False,
    solution: Solution = "lowest",
    around: Around,
    forces: Forces = False,
    json: Json = None,
    output_file: Output = None,
    workforce: Workforce,
) -> None:
    """Energies, forces, charges and dipoles of the molecules in files.

    Every frame of every file is computed, in batches. What is wrong with a
    structure is said in one sentence and the others are still done; the exit
    code is then 2, or 1 when only a calculation failed. Results are kept in
    OUT.part as they come, and OUT is written whole at the end: after an
    interruption the same command goes on where it stopped.

    Examples:

      nddo-ml energy examples/water_dimer.xyz

      nddo-ml energy examples/molecules/*.xyz --model PM3 --forces --json results.json

      nddo-ml energy examples/molecules/acetate.xyz --model hybrid-chno --charge -1 --json -

      nddo-ml energy examples/molecules/water.xyz --model PM7 --field 0 0 0.5
    """
    targets = produce.checked([*sources.paths, model, *around.files], output=output_file, json=json)
    surroundings = around.environment()
    loaded = common.load_model(model, uhf, solution, surroundings, ignore_charge_and_spin)
    options = {"uhf": uhf, "solution": solution, "forces": forces, "bonds": targets.wants_bonds}
    report = common.Report(common.console(stderr=True))
    with produce.production(targets, produce.settings_of("energy", [loaded], **options), report) as run:
        structures = produce.read(sources, report, targets)
        work = SinglePoints(loaded, forces, targets.wants_bonds)
        keys = run.compute(structures, work, "energies", workforce.resources)
        run.write_results(keys, targets)
    raise typer.Exit(report.exit_code)
