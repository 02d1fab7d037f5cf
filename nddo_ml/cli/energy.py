"""``nddo-ml energy``: single points of everything in the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nddo_ml.cli import common, environment, produce
from nddo_ml.cli.common import Charge, Files, Ignore, Json, Model, Multiplicity, NoPbc, Smiles, Solution, Uhf
from nddo_ml.cli.environment import Charges, Field, Solvent
from nddo_ml.cli.produce import Scheduler, Workers

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
    files: Files = None,
    model: Model = "AM1",
    charge: Charge = None,
    multiplicity: Multiplicity = None,
    no_pbc: NoPbc = False,
    smiles: Smiles = None,
    uhf: Uhf = False,
    ignore_charge_and_spin: Ignore = False,
    solution: Solution = "lowest",
    field: Field = None,
    charges: Charges = None,
    solvent: Solvent = None,
    forces: Forces = False,
    json: Json = None,
    output_file: Output = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
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
    sources = produce.Sources.given(files, smiles, charge, multiplicity, no_pbc)
    targets = produce.checked([*sources.files, model, *filter(None, [charges])], output=output_file, json=json)
    surroundings = environment.surroundings(field, charges, solvent)
    loaded = common.load_model(model, uhf, solution, surroundings, ignore_charge_and_spin)
    options = {"uhf": uhf, "solution": solution, "forces": forces, "bonds": targets.wants_bonds}
    report = common.Report(common.console(stderr=True))
    with produce.production(targets, produce.settings_of("energy", [loaded], **options), report) as run:
        structures = produce.read(sources, report, targets)
        work = SinglePoints(loaded, forces, targets.wants_bonds)
        keys = run.compute(structures, work, "energies", produce.resources(workers, scheduler))
        run.write_results(keys, targets)
    raise typer.Exit(report.exit_code)
