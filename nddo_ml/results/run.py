"""Structures in chunks through a calculation, every outcome in the journal, every failure with its structure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.errors import InputError, SCFConvergenceError
from nddo_ml.io import addressed
from nddo_ml.results.journal import Journal
from nddo_ml.results.pool import Done, Resources, work

if TYPE_CHECKING:
    from nddo_ml.io import Structure

MAX_BATCH_PAIRS = 100_000  # atoms² summed over a padded batch: about 1 GB of matrices
CHUNK = 200  # structures at most, so that a kill costs little
CHUNK_PAIRS = 50_000  # atoms² summed over a chunk
WRONG_INPUT, NOT_CONVERGED = 2, 1  # exit codes

Outcome = dict[str, Any]  # "record": what was found; "complaint": [exit code, sentence]; what else a command keeps
Compute = Callable[[Sequence["Structure"]], list[Outcome]]


@dataclass(frozen=True)
class Chunk:
    """Structures that follow one another, computed together."""

    key: str
    structures: list[Structure]


def chunks_of(structures: Iterable[Structure], most: int = CHUNK) -> Iterator[Chunk]:
    """Chunks of bounded size, in order; the same structures always give the same chunks."""
    held: list[Structure] = []
    pairs = 0
    for structure in structures:
        size = len(structure.atoms) ** 2
        if held and (len(held) == most or pairs + size > CHUNK_PAIRS):
            yield Chunk(key_of(held), held)
            held, pairs = [], 0
        held.append(structure)
        pairs += size
    if held:
        yield Chunk(key_of(held), held)


def key_of(structures: Sequence[Structure]) -> str:
    """Thirty-two hexadecimal digits that name structures: where they come from, and all that is written of them."""
    digest = hashlib.sha256()
    for s in structures:
        atoms = s.atoms
        labels = {} if atoms.calc is None else dict(getattr(atoms.calc, "results", {}))
        held = {type(c).__name__: c.todict() for c in atoms.constraints}
        named = [s.source, s.frame, s.name, s.charge, s.multiplicity, labels, held, atoms.info, atoms.arrays]
        digest.update(_bytes([*named, np.asarray(atoms.cell), np.asarray(atoms.pbc), atoms.get_masses()]))
    return digest.hexdigest()[:32]


def _bytes(value: Any) -> bytes:
    """What tells one value from another."""
    if isinstance(value, dict):
        return b"{%s}" % b",".join(_bytes([str(k), value[k]]) for k in sorted(value, key=str))
    if isinstance(value, list | tuple):
        return b"[%s]" % b",".join(map(_bytes, value))
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    return repr(value).encode()


def run(
    structures: Iterable[Structure],
    compute: Compute,
    journal: Journal,
    resources: Resources,
    *,
    most: int = CHUNK,
    tell: Callable[[int, str], None],
    advance: Callable[[int], None],
) -> list[str]:
    """Compute what the journal lacks; the keys of all chunks in the order of the structures.

    Args:
        structures: read as they are needed.
        compute: outcomes of a batch, one a structure; it travels to other processes where there are any.
        journal: takes every chunk as it is finished.
        resources: in this process, in several, or on a cluster.
        most: structures in a chunk.
        tell: called with exit code and sentence of every complaint.
        advance: called with the number of structures that are done.

    Raises:
        InputError: the journal cannot be written; as :func:`work`.
    """
    keys: list[str] = []

    def complain(key: str) -> None:
        for outcome in journal.read(key) if journal.complaints(key) else ():
            if "complaint" in outcome:
                tell(*outcome["complaint"])

    def missing() -> Iterator[Chunk]:
        for chunk in chunks_of(structures, most):
            keys.append(chunk.key)
            if chunk.key in journal:
                advance(len(chunk.structures))
                complain(chunk.key)
            else:
                yield chunk

    for done in _outcomes(compute, missing(), resources):
        if done.error is not None:
            reason = f"the worker died: {done.error}"
            found = [_failure(s, NOT_CONVERGED, reason) for s in done.item.structures]
        else:
            found = done.result or []
        journal.append(done.item.key, found)
        advance(len(found))
        complain(done.item.key)
    return keys


def outcomes(journal: Journal, keys: Iterable[str]) -> Iterator[Outcome]:
    """Every outcome that has a record, in order, read from the journal as it is needed."""
    for key in keys:
        yield from (o for o in journal.read(key) if "record" in o)


def attempt(compute: Compute, structures: Sequence[Structure]) -> list[Outcome]:
    """The outcomes of a chunk, one a structure; a structure that fails in whatever way costs no other its own.

    A batch that fails is halved until the culprits stand alone; systems whose SCF does not converge are named by
    their model, and the rest of their batch is computed without them.
    """
    found: dict[int, Outcome] = {}

    def on(batch: list[int]) -> None:
        if not batch:
            return
        chosen = [structures[k] for k in batch]
        try:
            found.update(zip(batch, compute(chosen), strict=True))
            return
        except SCFConvergenceError as error:
            for i in error.systems:
                found[batch[i]] = _failure(chosen[i], NOT_CONVERGED, "the SCF did not converge")
            rest = [k for i, k in enumerate(batch) if i not in error.systems]
            if len(rest) < len(batch):
                on(rest)
                return
            failure = (NOT_CONVERGED, str(error))
        except InputError as error:
            failure = (WRONG_INPUT, str(error))
        except Exception as error:  # numerics raise whatever they run into: LinAlgError, overflow, no memory
            text = next(iter(str(error).strip().splitlines()), "")
            failure = (NOT_CONVERGED, f"it could not be computed ({type(error).__name__}: {text[:200]})")
        if len(batch) == 1:
            found[batch[0]] = _failure(chosen[0], *failure)
        else:
            on(batch[: len(batch) // 2])
            on(batch[len(batch) // 2 :])

    for batch in batches(structures):
        on(batch)
    return [found[k] for k in range(len(structures))]


def batches(structures: Sequence[Structure]) -> Iterator[list[int]]:
    """Indices of the structures in batches of like size and bounded memory, the largest first."""
    order = sorted(range(len(structures)), key=lambda k: -len(structures[k].atoms))
    batch: list[int] = []
    for k in order:
        largest = len(structures[batch[0]].atoms) if batch else 0
        if batch and (len(batch) + 1) * largest**2 > MAX_BATCH_PAIRS:
            yield batch
            batch = []
        batch.append(k)
    if batch:
        yield batch


class _Attempt:
    """:func:`attempt` of a chunk by one calculation, to be sent to other processes."""

    def __init__(self, compute: Compute) -> None:
        self.compute = compute

    def __call__(self, chunk: Chunk) -> list[Outcome]:
        with _one_at_a_time:
            return attempt(self.compute, chunk.structures)


_one_at_a_time = Lock()  # a cluster's worker may have several threads; models use all cores by themselves


def _outcomes(compute: Compute, chunks: Iterator[Chunk], resources: Resources) -> Iterator[Done[Chunk, list[Outcome]]]:
    if resources.workers == 1 and resources.scheduler is None:
        for chunk in chunks:
            yield Done(chunk, attempt(compute, chunk.structures))
        return
    yield from work(_Attempt(compute), chunks, resources, retries=2)


def _failure(structure: Structure, code: int, reason: str) -> Outcome:
    text = addressed(reason, [structure])
    return {"complaint": [code, text if structure.address in text else f"{structure.address}: {text}"]}
