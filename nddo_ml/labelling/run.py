"""Label many structures: in several processes here, or on a Dask cluster; interrupted and resumed at will."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from nddo_ml.errors import InputError
from nddo_ml.labelling.sources import Source
from nddo_ml.labelling.store import LabelFile, structure_key

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.structures.structure import Structure


@dataclass(frozen=True)
class Task:
    """A structure to be labelled."""

    key: str
    source: str
    frame: int
    atoms: Atoms


@dataclass(frozen=True)
class Outcome:
    """What came of a task: the labelled structure, or the reason why there is none."""

    task: Task
    atoms: Atoms | None
    reason: str = ""


@dataclass(frozen=True)
class Summary:
    """How many structures were labelled, failed, or were there before (labelled or failed)."""

    labelled: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Resources:
    """Where the work is done: ``workers`` processes of ``threads`` each, or a Dask scheduler's workers.

    ``batch`` structures are given to a worker at a time: what is lost when it dies.
    """

    workers: int = 1
    threads: int = 1
    scheduler: str | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1 or self.threads < 1:
            raise InputError(f"workers and threads must be at least 1; got {self.workers} and {self.threads}")
        if self.batch < 1:
            raise InputError(f"batch must be at least 1; got {self.batch}")


def prepare(structure: Structure, charge: int | None = None, multiplicity: int | None = None) -> Task:
    """A checked task; charge and multiplicity come from the arguments, else the structure, else the lowest.

    Raises:
        InputError: what Systems refuses, a periodic cell, or a multiplicity that does not fit the electrons.
    """
    from ase import Atoms

    from nddo_ml.systems import Systems

    systems = Systems.from_ase(structure.atoms, charge, multiplicity)
    if bool(systems.pbc.any()):
        raise InputError("system 0: labels are for molecules; expected no periodic directions (pbc)")
    total, spin = int(systems.charge[0]), int(systems.multiplicity[0])
    electrons = int(systems.numbers.sum()) - total
    if electrons < 1 or spin - 1 > electrons or (electrons + spin) % 2 == 0:
        raise InputError(f"system 0: multiplicity {spin} does not fit {electrons} electrons (charge {total})")
    atoms = Atoms(structure.atoms.numbers, structure.atoms.positions, info=dict(structure.atoms.info))
    atoms.info |= {
        "charge": total,
        "multiplicity": spin,
        "source": structure.source,
        "frame": structure.frame,
    }
    return Task(structure_key(atoms), structure.source, structure.frame, atoms)


def label(
    tasks: Iterable[Task],
    output: Path,
    source: Source,
    resources: Resources | None = None,
    retry_failed: bool = False,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Summary:
    """Label the tasks and append them to ``output`` (extxyz) as they come; what is there already is left out.

    Labels come from PySCF (a ``Level``), an ASE calculator or a program.

    Failures go to ``output`` + ``.failures.jsonl`` and are tried again only when asked to.

    Raises:
        InputError: the source (or Dask) is missing, or the output holds other labels.
    """
    source.check()
    resources = resources or Resources()
    summary = Summary()
    with LabelFile(output, source.description) as file:
        if retry_failed:
            file.forget_failures()
        given = list(tasks)
        wanted = {t.key: t for t in given if t.key not in file.done | file.failed}
        summary = replace(summary, skipped=len(given) - len(wanted))
        for outcome in _outcomes(list(wanted.values()), source, resources):
            if outcome.atoms is not None:
                file.append(outcome.task.key, outcome.atoms)
                summary = replace(summary, labelled=summary.labelled + 1)
            else:
                file.append_failure(outcome.task.key, outcome.task.source, outcome.task.frame, outcome.reason)
                summary = replace(summary, failed=summary.failed + 1)
            if on_outcome is not None:
                on_outcome(outcome)
    return summary


def attempt(task: Task, source: Source, threads: int) -> Outcome:
    """One task in a worker; any failure becomes an outcome, so that no structure is lost."""
    return attempt_batch([task], source, threads)[0]


def attempt_batch(tasks: Sequence[Task], source: Source, threads: int) -> list[Outcome]:
    """Some tasks in a worker, one by one where they fail together."""
    try:
        labelled = source.label([task.atoms for task in tasks], threads)
    except Exception as error:  # foreign programs raise whatever their parts run into; the reason is recorded
        if len(tasks) > 1:
            return [attempt(task, source, threads) for task in tasks]
        return [Outcome(tasks[0], None, f"{type(error).__name__}: {error}")]
    return [Outcome(task, atoms) for task, atoms in zip(tasks, labelled, strict=True)]


def _outcomes(tasks: Sequence[Task], source: Source, resources: Resources) -> Iterator[Outcome]:
    """The outcomes as they come. When a worker process dies, its tasks have failed and a new pool goes on."""
    pending = deque(tasks[k : k + resources.batch] for k in range(0, len(tasks), resources.batch))
    while pending:
        with _executor(resources) as (pool, slots):
            yield from _drain(pending, pool, slots, source, resources.threads)


def _drain(
    pending: deque[Sequence[Task]], pool: Executor, slots: int, source: Source, threads: int
) -> Iterator[Outcome]:
    """Work off ``pending``, ``slots`` batches at a time, until it is empty or the pool is broken."""
    running: dict[Future[list[Outcome]], Sequence[Task]] = {}
    broken = False
    while running or (pending and not broken):
        while pending and not broken and len(running) < slots:
            try:
                running[pool.submit(attempt_batch, pending[0], source, threads)] = pending[0]
                pending.popleft()
            except BrokenExecutor:
                broken = True
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            tasks = running.pop(future)
            error = future.exception()
            broken = broken or isinstance(error, BrokenExecutor)
            if error is None:
                yield from future.result()
            else:
                yield from (Outcome(task, None, f"the worker died: {error}") for task in tasks)


@contextmanager
def _executor(resources: Resources) -> Iterator[tuple[Executor, int]]:
    """A pool and the number of tasks that it should hold at a time."""
    if resources.scheduler is None:
        with _processes(resources.workers) as pool:
            yield pool, resources.workers
        return
    if find_spec("distributed") is None:
        raise InputError("--scheduler needs Dask; install it with: pip install 'nddo-ml[label]'")
    from distributed import Client

    try:
        client = Client(resources.scheduler, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"expected the address of a Dask scheduler; got {resources.scheduler!r}") from error
    with client, client.get_executor(pure=False) as pool:
        yield pool, max(1, 2 * sum(client.nthreads().values()))


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """A pool of fresh processes; an interruption ends their calculations at once."""
    others = set(active_children())
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(active_children()) - others:
                process.terminate()
            raise


def _start_worker() -> None:
    """Let a worker end quietly at Ctrl-C, and when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
