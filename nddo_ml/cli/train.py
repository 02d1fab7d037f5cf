"""``nddo-ml train``: a model from a configuration and data."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress

    from nddo_ml.training.config import TrainConfig

MILLI = {"energy": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³", "dipole": "me·Å", "charges": "me"}

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="TOML file, for example silicon.toml.")]
TrainFiles = Annotated[
    list[Path] | None,
    typer.Option("--train", metavar="FILE", help="Training data, instead of the configuration's."),
]
ValidationFiles = Annotated[
    list[Path] | None,
    typer.Option("--validation", metavar="FILE", help="Validation data; else a part is held out."),
]
TestFiles = Annotated[
    list[Path] | None, typer.Option("--test", metavar="FILE", help="Data for the errors reported at the end.")
]
OutputFolder = Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Another setting, e.g. loss.energy=50.")
]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew instead of resuming the folder's run.")]


def train(
    config: ConfigFile,
    train_files: TrainFiles = None,
    validation: ValidationFiles = None,
    test: TestFiles = None,
    output: OutputFolder = None,
    settings: Settings = None,
    restart: Restart = False,
) -> None:
    """Train a model; a run that was interrupted goes on where it was.

    The folder gets model.pt, log.jsonl (one JSON object an epoch), checkpoint.pt,
    report.html, learning_curves.png, parity plots and, with test data, errors.json.

    Examples:

      nddo-ml train silicon.toml --train si.extxyz --output runs/si

      torchrun --nproc-per-node 2 -m nddo_ml train silicon.toml --train si.extxyz
    """
    from nddo_ml.training.config import read_config
    from nddo_ml.training.run import train as run
    from nddo_ml.training.summary import write_summary

    overrides = overrides_of(settings or [])
    for key, files in (("train", train_files), ("validation", validation), ("test", test)):
        if files:
            overrides[f"data.{key}"] = [str(f) for f in files]
    if output is not None:
        overrides["output"] = str(output)
    chosen = read_config(config, overrides)
    err = Console(stderr=True)
    with epoch_bar(err) as bar:
        tell = EpochTeller(bar, chosen)
        try:
            result = run(chosen, restart=restart, on_epoch=tell)
        except KeyboardInterrupt:
            err.print(f"interrupted: {_left(chosen)}", highlight=False, soft_wrap=True)
            raise typer.Exit(130) from None
    if tell.is_first:
        write_summary(chosen, result.model)
        err.print(f"model: {result.path}", highlight=False)
        if result.test_errors:
            from nddo_ml.cli.evaluate import error_table

            Console().print(error_table(result.test_errors))


def _left(config: TrainConfig) -> str:
    """What an interruption leaves on the disk."""
    if any(Path(config.output).rglob("checkpoint.pt")):
        return f"the last checkpoint is in {config.output}; the same command goes on from there"
    return "there is no checkpoint yet; the same command begins anew"


class EpochTeller:
    """Moves the bar and says the validation errors."""

    def __init__(self, bar: Progress, config: TrainConfig) -> None:

        self.is_first = os.environ.get("RANK", "0") == "0"
        self.bar = bar
        self.errors = ""
        self.epochs: dict[int, int] = {}  # done, by member
        total = sum(p.epochs for job in config.single() for p in job.phases)
        self.task = bar.add_task("training", total=total, visible=self.is_first)

    def __call__(self, entry: Mapping[str, Any]) -> None:
        member = entry.get("member", 1)
        if entry["epoch"] < self.epochs.get(member, 0):
            self.epochs.clear()  # another training has begun
        self.epochs[member] = entry["epoch"]
        errors = ", ".join(
            f"{name} {value * 1000:.3g} {MILLI[name]}" for name, value in entry.get("valid_mae", {}).items()
        )
        if errors:
            self.errors = f": {errors}"
        who = f"member {member}, " if len(self.epochs) > 1 else ""
        text = f"{who}{entry['optimizer']} epoch {entry['epoch']}{self.errors}"
        self.bar.update(self.task, completed=sum(self.epochs.values()), description=text)


def epoch_bar(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def overrides_of(settings: list[str]) -> dict[str, Any]:
    """Values of ``key=value`` read as TOML, or as strings where they are not."""
    overrides = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise InputError(f"--set expects KEY=VALUE; got {setting!r}")
        try:
            overrides[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key.strip()] = text.strip()
    return overrides
