"""``nddo-ml energy``: single points of everything in the files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nddo_ml.cli import common, output
from nddo_ml.cli.common import Charge, Files, Json, Method, ModelFile, Multiplicity, NoPbc, Smiles, Uhf
from nddo_ml.cli.output import Result

if TYPE_CHECKING:
    from nddo_ml.structures.structure import Structure
    from nddo_ml.systems import Systems

Forces = Annotated[bool, typer.Option("--forces", "-f", help="Forces as well, in the JSON and extxyz output.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT", help="extxyz file with results.")]


def energy(
    files: Files = None,
    method: Method = "AM1",
    model: ModelFile = None,
    charge: Charge = None,
    multiplicity: Multiplicity = None,
    no_pbc: NoPbc = False,
    smiles: Smiles = None,
    uhf: Uhf = False,
    forces: Forces = False,
    json: Json = None,
    output_file: Output = None,
) -> None:
    """Energies, forces, charges and dipoles of the molecules in files.

    Every frame of every file is computed, in batches. What is wrong with a
    structure is said in one sentence and the others are still done; the exit
    code is then 2, or 1 when only an SCF did not converge.

    Examples:

      nddo-ml energy water.xyz

      nddo-ml energy *.xyz --method PM3 --forces --json results.json

      nddo-ml energy ammonium.xyz --charge 1 --forces --json -
    """
    output.check_writable(json, output_file)
    loaded = common.load_model(method, model, uhf)
    console = common.console(stderr=True)
    report = common.Report(console)
    structures = common.read(files, report, charge, multiplicity, no_pbc=no_pbc, smiles=smiles)

    with common.progress("energies", len(structures), console) as advance:

        def compute(chosen: list[Structure], systems: Systems) -> list[Result]:
            prediction = loaded(systems, forces=forces)
            advance(len(chosen))
            return output.results(chosen, systems, prediction, loaded.name)

        done = common.run_all(structures, compute, charge, multiplicity, report)
    output.write(done, json, output_file)
    raise typer.Exit(report.exit_code)
