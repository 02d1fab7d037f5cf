"""Independent pieces of work on the processor's cores, one torch thread each.

Many small matrices use two cores better as two pieces of work than as matrix products shared by two threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from threading import Barrier, Lock
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")
R = TypeVar("R")
_LOCK = Lock()
_POOLS: dict[tuple[int, int], ThreadPoolExecutor] = {}  # by process and number of threads


@cache
def alone_after_fork() -> None:
    """Have torch work with one thread in every process that is forked from this one.

    A parent's threads are not there in its forked child, whose first work for several would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def map_threads(function: Callable[[T], R], items: Sequence[T], device: torch.device, large: bool = False) -> list[R]:
    """``[function(item) for item in items]``, on as many threads as torch has for itself, for work on a CPU.

    These have one torch thread each; only a single item that is ``large`` keeps all of torch's threads. The caller's
    gradient mode holds in them. Callers in several threads share them, and none changes torch's number of threads for
    another. All work has ended when this returns or raises.
    """
    threads = torch.get_num_threads()
    if threads == 1 or device.type != "cpu" or (large and len(items) == 1):
        return [function(item) for item in items]
    recording = torch.is_grad_enabled()

    def call(item: T) -> R:
        with torch.set_grad_enabled(recording):
            return function(item)

    futures = [_pool(threads).submit(call, item) for item in items]
    try:
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` by torch, which has one thread in each of ours; those of NumPy's BLAS would come on top."""
    found: np.ndarray = (torch.from_numpy(a) @ torch.from_numpy(b)).numpy()
    return found


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads with one torch thread each, which stay.

    A number of threads that is set holds for the thread that sets it and for all that begin to use torch later; it is
    restored as soon as every thread of the pool has set its own, once a process.
    """
    key = os.getpid(), threads
    with _LOCK:
        if key not in _POOLS:
            pool = ThreadPoolExecutor(threads, "nddo-ml")
            together = Barrier(threads)

            def alone(_: int) -> None:
                torch.set_num_threads(1)
                torch.get_num_threads()  # a thread's first look would take the number of all others for its own
                together.wait()

            list(pool.map(alone, range(threads)))
            torch.set_num_threads(threads)
            _POOLS[key] = pool
        return _POOLS[key]
