"""Label many structures: in several processes here, or on a Dask cluster; interrupted and resumed at will."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nddo_ml.errors import InputError
from nddo_ml.labelling.sources import Source
from nddo_ml.labelling.store import LabelFile, structure_key
from nddo_ml.results.pool import Resources, work

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
    on_remark: Callable[[str], None] | None = None,
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
        if file.remark and on_remark is not None:
            on_remark(file.remark)
        skipped = 0

        def missing() -> Iterator[Task]:
            nonlocal skipped
            known = file.done | file.failed
            for task in tasks:
                if task.key in known:
                    skipped += 1
                else:
                    known.add(task.key)
                    yield task

        for outcome in _outcomes(missing(), source, resources):
            if outcome.atoms is not None:
                file.append(outcome.task.key, outcome.atoms)
                summary = replace(summary, labelled=summary.labelled + 1)
            else:
                file.append_failure(outcome.task.key, outcome.task.source, outcome.task.frame, outcome.reason)
                summary = replace(summary, failed=summary.failed + 1)
            if on_outcome is not None:
                on_outcome(outcome)
    return replace(summary, skipped=skipped)


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


def _outcomes(tasks: Iterable[Task], source: Source, resources: Resources) -> Iterator[Outcome]:
    """The outcomes as they come. When a worker process dies, its tasks have failed and a new pool goes on."""
    given = iter(tasks)
    batches = iter(lambda: list(islice(given, resources.batch)), [])
    for done in work(partial(attempt_batch, source=source, threads=resources.threads), batches, resources):
        lost = [Outcome(task, None, f"the worker died: {done.error}") for task in done.item]
        yield from lost if done.result is None else done.result
