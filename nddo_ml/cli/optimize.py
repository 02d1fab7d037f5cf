"""``nddo-ml optimize``: relax everything in the files, in batches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nddo_ml.cli import common, output
from nddo_ml.cli.common import Charge, Files, Json, Method, ModelFile, Multiplicity, NoPbc, Smiles, Uhf
from nddo_ml.cli.output import Result
from nddo_ml.workflows.optimize import OptimizationResult
from nddo_ml.workflows.optimize import optimize as relax

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.structures.structure import Structure
    from nddo_ml.systems import Systems

Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="extxyz file of the relaxed frames.")]
Fmax = Annotated[float, typer.Option("--fmax", help="Largest force that counts as relaxed, eV/Å.")]
Steps = Annotated[int, typer.Option("--max-steps", help="Steps after which a molecule is given up.")]
Trajectory = Annotated[
    Path | None, typer.Option("--trajectory", metavar="OUT", help="extxyz file of every accepted step.")
]


def optimize(
    output_file: Output,
    files: Files = None,
    method: Method = "AM1",
    model: ModelFile = None,
    charge: Charge = None,
    multiplicity: Multiplicity = None,
    no_pbc: NoPbc = False,
    smiles: Smiles = None,
    uhf: Uhf = False,
    fmax: Fmax = 0.05,
    max_steps: Steps = 500,
    json: Json = None,
    trajectory: Trajectory = None,
) -> None:
    """Relax the molecules in files, all of them at once.

    Every molecule takes its own steps and leaves the batch when it is done.
    The output has the relaxed frames in the order of the files. The exit
    code is 1 when some molecule did not converge, 2 when some input was
    wrong; the others are done in both cases.

    Examples:

      nddo-ml optimize aspirin.xyz --output relaxed.xyz

      nddo-ml optimize *.xyz --method PM3 --fmax 0.01 --output relaxed.xyz
    """
    output.check_writable(output_file, json, trajectory)
    loaded = common.load_model(method, model, uhf)
    console = common.console(stderr=True)
    report = common.Report(console)
    structures = common.read(files, report, charge, multiplicity, no_pbc=no_pbc, smiles=smiles)

    with common.progress("optimize", len(structures), console) as advance:

        def compute(chosen: list[Structure], systems: Systems) -> list[tuple[Result, list[Atoms]]]:
            relaxed = relax(
                systems,
                loaded,
                fmax=fmax,
                max_steps=max_steps,
                trajectory=trajectory is not None,
                progress=advance,
            )
            return _results(chosen, relaxed, loaded.name)

        done = common.run_all(structures, compute, charge, multiplicity, report)
    results = [result for result, _ in done]
    for result in results:
        if not result.record["optimization_converged"]:
            report.not_converged(
                f"{result.record['source']}, frame {result.record['frame']}: not relaxed to {fmax} eV/Å "
                f"after {result.record['optimization_steps']} steps"
            )
    output.write(results, json, output_file)
    if trajectory is not None:
        output.write_frames([frame for _, path in done for frame in path], trajectory)
    raise typer.Exit(report.exit_code)


def _results(chosen: list[Structure], relaxed: OptimizationResult, method: str) -> list[tuple[Result, list[Atoms]]]:
    """The final results with the outcome of the optimisation, and the path of each structure."""
    results = output.results(chosen, relaxed.systems, relaxed.prediction, method)
    paths = relaxed.trajectories or [[] for _ in chosen]
    for k, result in enumerate(results):
        outcome = {
            "optimization_converged": bool(relaxed.converged[k]),
            "optimization_steps": int(relaxed.steps[k]),
        }
        result.record.update(outcome)
        result.frame.info.update(outcome)
        for step, frame in enumerate(paths[k]):
            frame.info.update(source=chosen[k].source, frame=chosen[k].frame, step=step)
    return list(zip(results, paths, strict=True))
