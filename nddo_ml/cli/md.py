"""``nddo-ml md``: molecular dynamics of the molecules in files, all replicas in one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nddo_ml.cli import common, produce
from nddo_ml.cli.common import Json, Model, Uhf
from nddo_ml.cli.environment import Around
from nddo_ml.cli.moving import MdRun, write_md
from nddo_ml.cli.produce import Sources
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.results.pool import Resources
from nddo_ml.workflows.dynamics import Motion
from nddo_ml.workflows.infrared import WAVENUMBER_FS

Steps = Annotated[int, typer.Option("--steps", "-n", min=1, help="Steps to go.")]
Timestep = Annotated[float, typer.Option("--timestep", help="Time step, fs.")]
Temperature = Annotated[float, typer.Option("--temperature", "-t", help="K, of the first velocities and the bath.")]
Friction = Annotated[
    float, typer.Option("--friction", help="Langevin's heat bath, 1/ps; 0 is constant energy.", min=0.0)
]
Replicas = Annotated[
    int, typer.Option("--replicas", min=1, max=100_000, help="Copies of each molecule with other velocities.")
]
Every = Annotated[int, typer.Option("--every", min=1, help="Steps between frames of the trajectory.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the random numbers.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Last structures; the suffix is the format.")
]
Trajectory = Annotated[
    Path | None, typer.Option("--trajectory", metavar="OUT", help="Frames: .traj (compact), .xyz and others.")
]
Infrared = Annotated[
    Path | None,
    typer.Option("--infrared", metavar="PNG", help="Infrared spectra from the dipole moments of the frames."),
]
_FASTEST = 4500.0  # cm⁻¹, of vibrations; frames must not be farther apart than half its period
Figure = Annotated[Path | None, typer.Option("--figure", metavar="PNG", help="Energies and temperature over time.")]


def md(
    *,
    sources: Sources,
    model: Model = "AM1",
    uhf: Uhf = False,
    around: Around,
    steps: Steps = 1000,
    timestep: Timestep = 0.5,
    temperature: Temperature = 300.0,
    friction: Friction = 0.0,
    replicas: Replicas = 1,
    every: Every = 10,
    seed: Seed = 0,
    json: Json = None,
    output_file: Output = None,
    trajectory: Trajectory = None,
    figure: Figure = None,
    infrared: Infrared = None,
) -> None:
    """Molecular dynamics of the molecules in files, all of them and their replicas in one batch.

    At constant energy, or with --friction in Langevin's heat bath. What has been
    done is kept in OUT.part every few dozen steps: after an interruption the
    same command goes on, and the path is the one it would have been. Give
    --steps a larger number then to go further. A replica whose field fails
    stays where it was, and is named.

    Examples:

      nddo-ml md examples/molecules/ethanol.xyz --steps 200 --trajectory ethanol.traj

      nddo-ml md examples/water_dimer.xyz --friction 5 --temperature 200 --replicas 4 --figure energies.png
    """
    targets = produce.checked(
        [*sources.paths, model, *around.files],
        output=output_file,
        json=json,
        trajectory=trajectory,
        figure=figure,
        infrared=infrared,
    )
    motion = Motion(timestep, temperature, friction, seed)
    loaded = common.load_model(model, uhf, surroundings=around.environment())
    if infrared is not None:
        _check_infrared(loaded, steps, every, motion)
    report = common.Report(common.console(stderr=True))
    options = {"uhf": uhf, "replicas": replicas, "every": every, "dipoles": infrared is not None, **vars(motion)}
    with produce.production(targets, produce.settings_of("md", [loaded], **options), report) as run:
        structures = list(produce.read(sources, report, targets))
        if not structures:
            raise typer.Exit(report.exit_code)
        work = MdRun(loaded, tuple(structures), replicas, motion, every, run.journal, infrared is not None)
        keys = run.work(work.pieces(steps), work, "steps", Resources())
        write_md(run, keys, targets, work)
    raise typer.Exit(report.exit_code)


def _check_infrared(model: AbstractModel, steps: int, every: int, motion: Motion) -> None:
    """Whether a spectrum can be had of the frames."""
    if "dipole" not in model.capabilities.properties:
        raise InputError(f"--infrared needs a model with dipole moments; {model.name} has none")
    apart, most = every * motion.timestep, 0.5 * WAVENUMBER_FS / _FASTEST
    if apart > most or steps // every < 16 or motion.temperature == 0:
        raise InputError(
            f"--infrared needs frames at most {most:.1f} fs apart (--every), 16 at least, and a temperature; got "
            f"{apart:g} fs, {steps // every} frames, {motion.temperature:g} K"
        )
