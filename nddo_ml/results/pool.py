"""Work in several processes here, or on a Dask cluster; what was lost with a process is done again."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = 300.0  # s that work waits for workers of a cluster that has none
ANSWER = 8.0  # s in which a scheduler must answer
LOOK = 5.0  # s between two looks for them


@dataclass(frozen=True)
class Resources:
    """Where the work is done: ``workers`` processes of ``threads`` each, or a Dask scheduler's workers.

    ``batch`` structures are given to a labelling worker at a time: what is lost when it dies.
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


@dataclass(frozen=True)
class Done(Generic[T, R]):
    """A piece of work and its result, or why there is none."""

    item: T
    result: R | None
    error: BaseException | None = None


def work(
    function: Callable[[T], R], items: Iterable[T | None], resources: Resources, retries: int = 0
) -> Iterator[Done[T, R]]:
    """``function(item)`` of every item as they are done, in any order; a few items are taken ahead, never all.

    An item None says that there is none until one of those in work is done.

    When a worker process dies, what was in work is tried again one by one, ``retries`` times, and what is lost every
    time has failed. Dask moves the work of a dead worker to others by itself.

    Raises:
        InputError: no Dask, no scheduler at that address, one that goes away, or whose workers do.
    """
    source, again = iter(items), deque[tuple[T, int]]()
    left = True
    while left or again:
        with _executor(function, resources, retries) as (submit, slots, attend):
            left = yield from _drain(source, again, submit, slots, attend, retries)


def _drain(
    source: Iterator[T | None],
    again: deque[tuple[T, int]],
    submit: Callable[[T], Future[R]],
    slots: int,
    attend: Callable[[bool], None],
    retries: int,
) -> Generator[Done[T, R], None, bool]:
    """Work until there is no more (False), or until the pool is broken (True: another is needed)."""
    running: dict[Future[R], tuple[T, int]] = {}
    broken = exhausted = False
    while True:
        while not broken and len(running) < (1 if again else slots):
            try:
                item, failed = again.popleft() if again else (next(source), 0)
            except StopIteration:
                exhausted = True
                break
            if item is None:
                break
            try:
                running[submit(item)] = (item, failed)
            except BrokenExecutor:
                again.appendleft((item, failed))
                broken = True
        if not running:
            return broken or not exhausted
        finished = wait(running, timeout=LOOK, return_when=FIRST_COMPLETED).done
        attend(bool(finished))
        for future in finished:
            item, failed = running.pop(future)
            try:
                error = future.exception()
            except CancelledError:
                raise InputError(
                    "expected a Dask scheduler until the end of the work; the connection is lost"
                ) from None
            if isinstance(error, BrokenExecutor):
                broken = True
                if failed < retries:
                    again.append((item, failed + 1))
                    continue
            yield Done(item, None, error) if error is not None else Done(item, future.result())


@contextmanager
def _executor(
    function: Callable[[T], R], resources: Resources, retries: int
) -> Iterator[tuple[Callable[[T], Future[R]], int, Callable[[bool], None]]]:
    """What submits an item, the number of items that should be in work, and what is called after every wait with
    whether something was finished; the function travels once."""
    if resources.scheduler is None:
        with _processes(function, resources) as pool:
            yield lambda item: pool.submit(_apply_here, item), resources.workers, lambda finished: None
        return
    if find_spec("distributed") is None:
        raise InputError("--scheduler needs Dask; install it with: pip install 'nddo-ml[dask]'")
    from distributed import Client

    try:
        client = Client(resources.scheduler, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected the address of a Dask scheduler; nothing answers at {resources.scheduler!r} in {ANSWER:.0f} s"
        ) from error
    with client, client.get_executor(pure=False, retries=retries) as pool:
        held = client.submit(_itself, function, pure=False)  # made again where the worker that holds it dies
        slots = max(2, 2 * sum(client.nthreads().values()))
        try:
            yield lambda item: pool.submit(_apply, held, item), slots, _Attendance(client)
        except BaseException:
            pool.shutdown(wait=False)
            raise


class _Attendance:
    """Whether a cluster still has workers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._alone: float | None = None  # since when there have been none

    def __call__(self, finished: bool) -> None:
        """Look for workers where nothing was finished.

        Raises:
            InputError: there have been none for PATIENCE seconds.
        """
        if finished or self._client.nthreads():
            self._alone = None
            return
        now = time.monotonic()
        self._alone = self._alone or now
        if now - self._alone > PATIENCE:
            raise InputError(f"expected workers of the Dask cluster; there have been none for {PATIENCE:.0f} s")


def _itself(function: T) -> T:
    return function


def _apply(function: Callable[[T], R], item: T) -> R:
    return function(item)


def _apply_here(item: Any) -> Any:
    """The worker's function, which it was given when it started."""
    return _worker["function"](item)


_worker: dict[str, Any] = {}


@contextmanager
def _processes(function: Callable[[T], R], resources: Resources) -> Iterator[Executor]:
    """A pool of fresh processes; an interruption ends their calculations at once."""
    others = set(active_children())
    options = (get_context("spawn"), _start_worker, (resources.threads, function))
    with ProcessPoolExecutor(resources.workers, *options) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(active_children()) - others:
                process.terminate()
            raise


def _start_worker(threads: int, function: Callable[[Any], Any]) -> None:
    """Let a worker know its function, end quietly at Ctrl-C, and when its parent is gone."""
    _worker["function"] = function
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
