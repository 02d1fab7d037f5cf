"""Structures in chunks through a calculation, every outcome in the journal, every failure with its structure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.errors import InputError, SCFConvergenceError
from nddo_ml.results.journal import Journal
from nddo_ml.results.pool import Resources, work
from nddo_ml.structures.structure import addressed

if TYPE_CHECKING:
    from nddo_ml.structures.structure import Structure

MAX_BATCH_PAIRS = 100_000  # atoms² summed over a padded batch: about 1 GB of matrices
CHUNK = 200  # structures at most, so that a kill costs little
CHUNK_PAIRS = 50_000  # atoms² summed over a chunk
WRONG_INPUT, NOT_CONVERGED = 2, 1  # exit codes

Outcome = dict[str, Any]  # "record": what was found; "complaints": exit codes and sentences; what else a command keeps
Compute = Callable[[Sequence["Structure"]], list[Outcome]]


@dataclass(frozen=True)
class Piece:
    """What is computed and kept together: structures that follow one another, or whatever else a command cuts up."""

    key: str
    item: Any
    size: int


def chunks_of(structures: Iterable[Structure], most: int = CHUNK) -> Iterator[Piece]:
    """Structures in pieces of bounded size, in order; the same structures always give the same pieces."""
    held: list[Structure] = []
    pairs = 0
    for structure in structures:
        size = len(structure.atoms) ** 2
        if held and (len(held) == most or pairs + size > CHUNK_PAIRS):
            yield Piece(key_of(held), held, len(held))
            held, pairs = [], 0
        held.append(structure)
        pairs += size
    if held:
        yield Piece(key_of(held), held, len(held))


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
    pieces: Iterable[Piece | None],
    function: Callable[[Any], list[Outcome]],
    journal: Journal,
    resources: Resources,
    *,
    tell: Callable[[int, str], None],
    advance: Callable[[int], None],
) -> list[str]:
    """Compute what the journal lacks; the keys of all pieces in order.

    Args:
        pieces: taken as they are needed; None is none at the moment, more when a piece in work is done.
        function: outcomes of a piece's item; it travels to other processes where there are any.
        journal: takes every piece as it is finished.
        resources: in this process, in several, or on a cluster.
        tell: called with exit code and sentence of every complaint.
        advance: called with the size of a piece that is done.

    Raises:
        InputError: the journal cannot be written; as :func:`work`.
    """
    keys: list[str] = []

    def complain(key: str) -> None:
        for outcome in journal.read(key) if journal.complaints(key) else ():
            for code, sentence in outcome.get("complaints", ()):
                tell(code, sentence)

    def missing() -> Iterator[Piece | None]:
        for piece in pieces:
            if piece is None:
                yield None
                continue
            keys.append(piece.key)
            if piece.key in journal:
                advance(piece.size)
                complain(piece.key)
            else:
                yield piece

    for piece, found in _results(function, missing(), resources):
        journal.append(piece.key, found)
        advance(piece.size)
        complain(piece.key)
    return keys


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


@dataclass(frozen=True)
class Attempt:
    """:func:`attempt` by one calculation, to be sent to other processes."""

    compute: Compute

    def __call__(self, structures: Sequence[Structure]) -> list[Outcome]:
        return attempt(self.compute, structures)


@dataclass(frozen=True)
class _Alone:
    """A function of a piece's item, one call at a time in a process: a model uses the cores by itself."""

    function: Callable[[Any], list[Outcome]]

    def __call__(self, piece: Piece) -> list[Outcome]:
        with _one_at_a_time:
            return self.function(piece.item)


_one_at_a_time = Lock()  # a cluster's worker may have several threads


def _results(
    function: Callable[[Any], list[Outcome]], pieces: Iterator[Piece | None], resources: Resources
) -> Iterator[tuple[Piece, list[Outcome]]]:
    if resources.workers == 1 and resources.scheduler is None:
        for piece in pieces:
            if piece is not None:
                yield piece, function(piece.item)
        return
    for done in work(_Alone(function), pieces, resources, retries=2):
        if done.error is None:
            yield done.item, done.result or []
            continue
        reason, lost = f"the worker died: {done.error}", done.item.item
        structures = lost if isinstance(lost, list) else []
        yield done.item, [_failure(s, NOT_CONVERGED, reason) for s in structures] or [_lost(reason)]


def _failure(structure: Structure, code: int, reason: str) -> Outcome:
    text = addressed(reason, [structure])
    return {"complaints": [[code, text if structure.address in text else f"{structure.address}: {text}"]]}


def _lost(reason: str) -> Outcome:
    return {"complaints": [[NOT_CONVERGED, reason]]}
