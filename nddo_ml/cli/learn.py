"""``nddo-ml learn``: rounds of training, proposing and labelling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nddo_ml.cli import common, produce
from nddo_ml.cli.label import Teacher, prepared
from nddo_ml.cli.train import EpochTeller, Settings, epoch_bar, overrides_of
from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from nddo_ml.labelling.run import Outcome
    from nddo_ml.training.active import Round

ConfigFile = Annotated[Path, typer.Option("--config", metavar="CONFIG", help="TOML file of the training.")]
Folder = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Rounds of labels.")]
Number = Annotated[int, typer.Option("--structures", min=1, help="Structures that a round labels.")]
Until = Annotated[float, typer.Option("--until", min=0, help="Stop when no candidate's spread is larger, meV/√atoms.")]
Steps = Annotated[
    int, typer.Option("--md-steps", min=0, help="Steps of dynamics from the most doubtful structures; 0: none.")
]
Every = Annotated[int, typer.Option("--md-every", min=1, help="Steps between structures that are looked at.")]
Timestep = Annotated[float, typer.Option("--timestep", help="Of the dynamics, fs.")]
Temperature = Annotated[float, typer.Option("--temperature", min=0, help="Of the dynamics, K.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the dynamics.")]
FIGURE = "rounds.png"


def learn(
    *,
    config: ConfigFile,
    output: Folder,
    sources: produce.Sources,
    teacher: Teacher,
    rounds: Rounds = 3,
    structures: Number = 50,
    until: Until = 0.0,
    md_steps: Steps = 0,
    md_every: Every = 20,
    timestep: Timestep = 0.5,
    temperature: Temperature = 300.0,
    seed: Seed = 0,
    settings: Settings = None,
) -> None:
    """Active learning: train a committee, label where its members differ most, train again.

    FILES are structures without labels, from which every round proposes those
    with the largest spread of the committee (over the square root of atoms),
    and with --md-steps what dynamics from there comes to. They are labelled as
    by `nddo-ml label` and join the training data of the next round.

    DIR gets round_0, round_1, …, rounds.json and rounds.png; the last round's
    model.pt is the result. The same command goes on where it was stopped, with
    more --rounds beyond the end.

    Examples:

      nddo-ml learn pool.xyz --config potential.toml --output runs/learned --rounds 4 --structures 100

      nddo-ml learn pool.xyz --config potential.toml --output runs/learned --md-steps 2000 --temperature 500

      nddo-ml learn pool.xyz --config potential.toml --output runs/learned --scheduler tcp://cluster:8786
    """
    from nddo_ml.training.active import Plan
    from nddo_ml.training.active import learn as run
    from nddo_ml.training.config import read_config
    from nddo_ml.workflows.dynamics import Motion

    source = teacher.source()
    motion = Motion(timestep, temperature, friction=5.0, seed=seed)
    plan = Plan(rounds, structures, until * 1e-3, md_steps, md_every, motion)
    chosen = read_config(config, {**overrides_of(settings or []), "output": str(output)})
    targets = produce.checked(sources.paths)
    report = common.Report(common.console(stderr=True))
    tell = _Teller(report, output)
    with epoch_bar(report.console) as bar, produce.interruptible(report) as held:
        held.kept = f"what is finished of every round is in {output}"
        pool = list(prepared(produce.read(sources, report, targets), source, report))
        if not pool:
            raise InputError("expected structures that can be labelled; there are none")
        model = run(
            chosen,
            pool,
            source,
            plan,
            teacher.resources,
            retry_failed=teacher.retry_failed,
            on_round=tell.of_round,
            on_epoch=EpochTeller(bar, chosen),
            on_outcome=tell.of_outcome,
        )
    report.say(f"model: {model}")
    raise typer.Exit(report.exit_code)


class _Teller:
    """Says what a round found, and draws it."""

    def __init__(self, report: common.Report, output: Path) -> None:
        self.report, self.output = report, output
        self.spreads: list[tuple[int, float, float]] = []  # labels learned, median, largest

    def of_round(self, found: Round) -> None:
        """One line, and the figure."""
        from nddo_ml.evaluation.learning import draw_rounds

        text = f"round {found.number}: trained with {found.learned} new labels"
        if found.median is None or found.largest is None:
            self.report.say(text)
            return
        spreads = f"spread median {1000 * found.median:.3g}, largest {1000 * found.largest:.3g} meV/√atoms"
        failed = f", {found.failed} failed" if found.failed else ""
        self.report.say(f"{text}; {spreads}; {found.labelled} of {found.proposed} labelled{failed}")
        self.spreads.append((found.learned, found.median, found.largest))
        labels, medians, largest = zip(*self.spreads, strict=True)
        draw_rounds(labels, medians, largest, self.output / FIGURE)

    def of_outcome(self, outcome: Outcome) -> None:
        """What could not be labelled."""
        if outcome.atoms is None:
            self.report.not_converged(f"{outcome.task.source}, frame {outcome.task.frame}: {outcome.reason}")
