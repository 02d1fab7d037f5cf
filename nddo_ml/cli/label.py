"""``nddo-ml label``: reference energies, forces, dipoles and charges by PySCF, an ASE calculator or a program."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from nddo_ml.cli import common, produce
from nddo_ml.cli.produce import Sources
from nddo_ml.errors import InputError
from nddo_ml.labelling.level import Level
from nddo_ml.labelling.run import Outcome, Task, prepare
from nddo_ml.labelling.run import label as run
from nddo_ml.labelling.sources import CalculatorSource, CommandSource, Source
from nddo_ml.results.pool import Resources
from nddo_ml.results.targets import Targets
from nddo_ml.structures.structure import Structure, addressed

DEFAULT = Level()

Output = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="extxyz file, appended to.")]
Functional = Annotated[str, typer.Option("--functional", help="PySCF's name; or mp2, scs-mp2, sos-mp2: energies only.")]
Basis = Annotated[str, typer.Option("--basis", help="Basis set.")]
Fitting = Annotated[str, typer.Option("--density-fitting", help="Auxiliary basis set, or `none`.")]
Grid = Annotated[str, typer.Option("--grid", help="Radial and angular points: 75,302.")]
Pruning = Annotated[str, typer.Option("--pruning", help="Of the grid: sg1, nwchem, treutler, none.")]
Response = Annotated[
    bool, typer.Option("--grid-response", help="Forces with the grid's response: no net force, dearer.")
]
Dispersion = Annotated[str | None, typer.Option("--dispersion", help="d3bj, d3zero or d4.")]
Charges = Annotated[str, typer.Option("--charges", help="mulliken, hirshfeld or cm5 (H, C, N, O).")]
Convergence = Annotated[float, typer.Option("--convergence", help="Energy between two SCF iterations, hartree.")]
Calculator = Annotated[
    str | None, typer.Option("--calculator", metavar="MODULE:FACTORY", help="An ASE calculator in PySCF's place.")
]
CalculatorArgs = Annotated[str | None, typer.Option("--calculator-args", metavar="JSON", help="Its keyword arguments.")]
Command = Annotated[
    str | None, typer.Option("--command", help="A program in PySCF's place: `program {input} {output}`, both extxyz.")
]
LevelName = Annotated[str | None, typer.Option("--level", help="What a calculator's or program's labels are called.")]
ReadsState = Annotated[
    bool, typer.Option("--reads-state", help="It takes charge and multiplicity from the structures' headers.")
]
Batch = Annotated[int, typer.Option("--batch", help="Structures given to a worker, or the program, at a time.")]
Workers = Annotated[
    int | None, typer.Option("--workers", "-j", min=1, max=1000, help="Processes; else by the number of cores.")
]
Threads = Annotated[int, typer.Option("--threads", help="Threads of each process.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Work on a Dask cluster: tcp://host:8786."),
]
Retry = Annotated[bool, typer.Option("--retry-failed", help="Try again what failed in an earlier run.")]


@dataclass(frozen=True)
class Teacher:
    """Where labels come from and who computes them, a group of options."""

    functional: Functional = DEFAULT.functional
    basis: Basis = DEFAULT.basis
    density_fitting: Fitting = DEFAULT.auxiliary_basis or "none"
    grid: Grid = f"{DEFAULT.grid[0]},{DEFAULT.grid[1]}"
    pruning: Pruning = DEFAULT.pruning
    grid_response: Response = False
    dispersion: Dispersion = None
    charges: Charges = DEFAULT.charges
    convergence: Convergence = DEFAULT.convergence
    calculator: Calculator = None
    calculator_args: CalculatorArgs = None
    command: Command = None
    level: LevelName = None
    reads_state: ReadsState = False
    workers: Workers = None
    threads: Threads = 1
    scheduler: Scheduler = None
    batch: Batch = 1
    retry_failed: Retry = False

    def source(self) -> Source:
        """PySCF, or the calculator or program asked for, which can be used.

        Raises:
            InputError: what belongs to another of these, or is missing.
        """
        fitting = None if self.density_fitting == "none" else self.density_fitting
        numerics = _grid(self.grid), self.pruning, self.grid_response
        pyscf = Level(self.functional, self.basis, fitting, *numerics, self.dispersion, self.charges, self.convergence)
        source = _source(pyscf, self)
        source.check()
        return source

    @property
    def resources(self) -> Resources:
        """Processes here, or a cluster."""
        workers = self.workers or max(1, (os.cpu_count() or 1) // self.threads)
        return Resources(workers, self.threads, self.scheduler, self.batch)


def label(*, output: Output, sources: Sources, teacher: Teacher) -> None:
    """Reference energies, forces, dipoles and charges with PySCF, an ASE calculator or a program.

    The forms of MP2 give energies only.

    Labels are appended as they come: interrupt the run at any moment and give
    the same command again, and it goes on where it was. Structures that fail
    are listed in OUT.failures.jsonl; the exit code is then 1.

    Examples:

      nddo-ml label examples/molecules/*.xyz --output labels.extxyz --workers 4

      nddo-ml label examples/molecules/acetate.xyz --output ions.extxyz --charge -1 --functional b3lyp --dispersion d3bj

      nddo-ml label examples/water_dimer.xyz --output mp2.extxyz --functional scs-mp2 --basis "6-31g(d)"

      nddo-ml label examples/molecules/*.xyz --output labels.extxyz --scheduler tcp://cluster:8786

      nddo-ml label examples/molecules/*.xyz -o lj.extxyz --calculator ase.calculators.lj:LennardJones

      nddo-ml label examples/molecules/*.xyz -o labels.extxyz --command "python teacher.py {input} {output}" --batch 50
    """
    source = teacher.source()
    targets = produce.checked(sources.paths, output=output)
    if output.suffix not in (".xyz", ".extxyz"):
        raise InputError(f"--output {output}: expected .xyz or .extxyz, to which labels can be appended")
    _label(sources, targets, source, teacher.resources, retry_failed=teacher.retry_failed)


def _label(
    sources: produce.Sources, targets: Targets, source: Source, resources: Resources, *, retry_failed: bool
) -> None:
    output = targets.files["output"]
    report = common.Report(common.console(stderr=True))
    with common.progress("labels", None, report.console) as advance, produce.interruptible(report) as held:
        tasks = prepared(produce.read(sources, report, targets), source, report)
        tell = _teller(output, report, held, advance)
        summary = run(tasks, output, source, resources, retry_failed, tell, report.say)
    report.say(f"{output}: {summary.labelled} labelled, {summary.failed} failed, {summary.skipped} done before")
    raise typer.Exit(report.exit_code)


def _teller(
    output: Path, report: common.Report, held: produce.Held, advance: Callable[[int], None]
) -> Callable[[Outcome], None]:
    """What is done with every outcome once it is kept."""
    new = 0

    def tell(outcome: Outcome) -> None:
        nonlocal new
        new += outcome.atoms is not None
        held.kept = f"{new} new labels are in {output}"
        held.check()
        advance(1)
        if outcome.atoms is None:
            report.not_converged(f"{outcome.task.source}, frame {outcome.task.frame}: {outcome.reason}")

    return tell


def _source(pyscf: Level, teacher: Teacher) -> Source:
    """PySCF, or the calculator or program asked for; what belongs to another of these is refused."""
    calculator, command, arguments = teacher.calculator, teacher.command, teacher.calculator_args
    level, reads_state = teacher.level, teacher.reads_state
    if calculator is not None and command is not None:
        raise InputError(f"expected --calculator or --command, not both; got {calculator!r} and {command!r}")
    if arguments is not None and calculator is None:
        raise InputError("--calculator-args expects a --calculator; there is none")
    if calculator is None and command is None:
        if level is not None or reads_state:
            raise InputError("--level and --reads-state expect a --calculator or --command; there is none")
        return pyscf
    if pyscf != DEFAULT:
        raise InputError("expected no settings of PySCF (--functional, --basis, …) beside --calculator or --command")
    if calculator is not None:
        return CalculatorSource(calculator, arguments or "{}", level, reads_state)
    return CommandSource(command or "", level, reads_state)


def prepared(structures: Iterable[Structure], source: Source, report: common.Report) -> Iterator[Task]:
    """Tasks of the structures that can be labelled; the others are reported."""
    for structure in structures:
        try:
            task = prepare(structure, structure.charge, structure.multiplicity)
            source.check_structure(task.atoms)
            yield task
        except InputError as error:
            report.wrong_input(addressed(str(error), [structure]))


def _grid(text: str) -> tuple[int, int]:
    try:
        radial, angular = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--grid expects two whole numbers, 75,302; got {text!r}") from None
    return radial, angular
