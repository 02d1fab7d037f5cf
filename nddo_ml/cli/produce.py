"""From structures to files, the same for every command: read, compute in chunks, keep in the journal, write whole."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nddo_ml.cli import common
from nddo_ml.errors import InputError
from nddo_ml.results.journal import Journal
from nddo_ml.results.pool import Resources
from nddo_ml.results.run import CHUNK, Attempt, Compute, Outcome, Piece, chunks_of, run
from nddo_ml.results.targets import Targets, check_targets
from nddo_ml.structures.structure import Refused, Structure

if TYPE_CHECKING:
    from rich.table import Table

    from nddo_ml.models.base import AbstractModel

Record = dict[str, Any]
Writer = Callable[[Iterable[Outcome], Path], None]

Workers = Annotated[int, typer.Option("--workers", "-j", min=1, max=1000, help="Processes that work side by side.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Work on a Dask cluster: tcp://host:8786."),
]
INTERRUPTED = 130  # exit code of a shell's command that Ctrl-C ended


@dataclass(frozen=True)
class Workforce:
    """Who computes, a group of options."""

    workers: Workers = 1
    scheduler: Scheduler = None

    @property
    def resources(self) -> Resources:
        """Processes that share this machine's cores, or a cluster."""
        return Resources(self.workers, max(1, (os.cpu_count() or 1) // self.workers), self.scheduler)


def checked(inputs: Iterable[str | Path], **options: str | Path | None) -> Targets:
    """The files to write, refused before any work; a suffix must name a format, but for ``json`` and figures.

    Raises:
        InputError: as :func:`check_targets` and :func:`check_format`.
    """
    from nddo_ml.results.frames import check_format

    targets = check_targets(list(inputs), **options)
    for name in ("output", "trajectory"):
        if name in targets.files:
            check_format(targets.files[name], name)
    return targets


@dataclass
class Production:
    """One run of a command: its journal, and what has been computed so far."""

    journal: Journal
    report: common.Report
    held: Held
    done: int = 0

    def compute(
        self, structures: Iterable[Structure], compute: Compute, what: str, resources: Resources, most: int = CHUNK
    ) -> list[str]:
        """Compute for the structures what the journal lacks; the keys of all chunks in order."""
        return self.work(chunks_of(structures, most), Attempt(compute), what, resources)

    def work(
        self, pieces: Iterable[Piece | None], function: Callable[[Any], list[Outcome]], what: str, resources: Resources
    ) -> list[str]:
        """Compute what the journal lacks; the keys of all pieces in order."""
        if len(self.journal):
            self.report.say(f"{self.journal.path}: going on where an interrupted run stopped")
        with common.progress(what, None, self.report.console) as bar:

            def advance(n: int) -> None:
                self.held.check()
                self.done += n
                if self.journal.path is not None:
                    self.held.kept = f"{self.done} {what} are in {self.journal.path}"
                bar(n)

            keys = run(pieces, function, self.journal, resources, tell=self.report.tell, advance=advance)
        stale = self.journal.unused(keys)
        if stale:
            self.report.say(
                f"{self.journal.path}: {stale} pieces are of structures that have changed, or of steps "
                "that this run has not: not used"
            )
        if self.journal.damaged:
            self.report.say(f"{self.journal.path}: {self.journal.damaged} pieces were damaged and are computed anew")
        return keys

    def blocks(self, keys: list[str]) -> Iterator[list[Outcome]]:
        """What was found, chunk by chunk, read from the journal as it is needed."""
        for key in keys:
            if found := [o for o in self.journal.read(key) if "record" in o]:
                yield found

    def write_results(
        self,
        keys: list[str],
        targets: Targets,
        tables: Callable[[Iterable[Record]], Iterable[Table]] | None = None,
        **writers: Writer,
    ) -> None:
        """Write records, structures and paths where they are wanted, and tables.

        Args:
            keys: of the pieces.
            targets: what to write.
            tables: of the records; left out, one of energies.
            writers: of further outputs, by the option's name.
        """
        from nddo_ml.cli import output
        from nddo_ml.results.frames import write_frames
        from nddo_ml.results.records import write_records

        def found() -> Iterator[Outcome]:
            return chain.from_iterable(self.blocks(keys))

        def write(name: str) -> None:
            if name == "json":
                write_records((o["record"] for o in found()), targets.files.get(name))
            elif name in writers:
                writers[name](found(), targets.files[name])
            elif name == "trajectory":
                write_frames((a for o in found() for a in output.path_of(o)), targets.files[name])
            else:
                write_frames(map(output.frame_of, found()), targets.files[name])

        some = next(found(), None) is not None
        names = [*targets.files, *["json"] * targets.json_on_standard_output]
        self.write({name: partial(write, name) for name in names if some or name == "json"})
        for table in (tables or output.tables_of)(o["record"] for o in found()):
            common.console(stderr=targets.json_on_standard_output).print(table)

    def write(self, writers: Mapping[str, Callable[[], None]]) -> None:
        """Write every output; one that fails keeps no other from being written, and the journal stays for it."""
        good = True
        for write in writers.values():
            try:
                write()
            except InputError as error:
                self.report.wrong_input(str(error))
                good = False
        if good:
            self.journal.remove()
        elif self.journal.path is not None:
            self.report.say(f"{self.journal.path} has the results; the same command writes what is missing")


@contextmanager
def production(targets: Targets, settings: Mapping[str, Any], report: common.Report) -> Iterator[Production]:
    """A run whose results outlive an interruption, and which says so.

    Raises:
        InputError: as :class:`Journal`.
        typer.Exit: with 130, at Ctrl-C.
    """
    with Journal(targets.journal, settings) as journal, interruptible(report, lasts=journal.path is not None) as held:
        yield Production(journal, report, held)


@dataclass
class Held:
    """What an interruption would leave on the disk."""

    kept: str = ""
    interrupted: bool = False

    def check(self) -> None:
        """End here where some library has swallowed Ctrl-C."""
        if self.interrupted:
            raise KeyboardInterrupt


@contextmanager
def interruptible(report: common.Report, *, lasts: bool = True) -> Iterator[Held]:
    """Say at Ctrl-C, or where a batch system ends the job, what is on the disk and how to go on.

    Args:
        report: for the user.
        lasts: whether what is finished is kept in a file that outlives the command.

    Raises:
        typer.Exit: with 130, at Ctrl-C and SIGTERM.
    """
    held = Held()

    def interrupt(*signal_and_frame: object) -> None:
        held.interrupted = True
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM) if here}
    try:
        yield held
        held.check()
    except KeyboardInterrupt:
        said = f"{held.kept}; the same command goes on from there"
        if not lasts:
            said = "nothing is kept without an output file; with one, the same command goes on where it stopped"
        elif not held.kept:
            said = "nothing was finished yet; the same command begins anew"
        report.say(f"interrupted: {said}")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Said:
    """What options say of every structure, a group of options."""

    charge: common.Charge = None
    multiplicity: common.Multiplicity = None
    no_pbc: common.NoPbc = False


@dataclass(frozen=True)
class Sources(Said):
    """Where structures come from, and what is said of all of them, a group of options.

    Raises:
        InputError: neither files nor SMILES.
    """

    files: common.Files = None
    smiles: common.Smiles = None

    def __post_init__(self) -> None:
        if not self.files and not self.smiles:
            raise InputError("expected structure files, - for standard input, or --smiles; got none of them")

    @property
    def paths(self) -> list[str]:
        """The files."""
        return list(self.files or ())

    def structures(self) -> Iterator[Structure | Refused]:
        """As they are read."""
        from nddo_ml.structures.read import read_structures

        return read_structures(
            self.paths,
            charge=self.charge,
            multiplicity=self.multiplicity,
            pbc=False if self.no_pbc else None,
            smiles=self.smiles or (),
        )


def read(sources: Sources, report: common.Report, targets: Targets) -> Iterator[Structure]:
    """The structures of all sources, as they are needed; what cannot be read is reported, and what was assumed.

    Raises:
        InputError: several structures for a format that holds one.
    """
    from nddo_ml.results.frames import holds_one

    structures = _read(sources, report)
    first = list(islice(structures, 2))
    for name, path in targets.files.items():
        one = name in ("molden", "cube") or path.suffix == ".molden"
        if len(first) > 1 and (one or (name in ("output", "trajectory") and holds_one(path))):
            raise InputError(f"--{name} {path.name}: expected one structure, which is all that this format holds")
    return chain(first, structures)


def _read(sources: Sources, report: common.Report) -> Iterator[Structure]:
    for found in sources.structures():
        if isinstance(found, Refused):
            report.wrong_input(str(found))
        else:
            for remark in found.remarks:
                report.note(f"{found.address}: {remark}")
            yield found


def settings_of(command: str, models: Iterable[AbstractModel], **options: Any) -> dict[str, Any]:
    """What the results of a command depend on beside the structures."""
    from nddo_ml import __version__

    listed = list(models)
    return {
        "command": command,
        "model": ", ".join(m.name for m in listed),
        **{name: str(v) if isinstance(v, Path) else v for name, v in options.items()},
        "version": __version__,
        "weights": "-".join(fingerprint(m) for m in listed),
        "environment": next((m.environment.record() for m in listed if m.environment is not None), None),
    }


def fingerprint(model: AbstractModel) -> str:
    """Sixteen hexadecimal digits that name a model's configuration and weights."""
    try:
        config = model.to_config()
    except InputError:  # a model that cannot be saved is known by its name
        config = {"name": model.name}
    digest = hashlib.sha256(json.dumps([type(model).__name__, config], sort_keys=True, default=str).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
