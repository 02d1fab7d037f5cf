"""Independent pieces of work on the processor's cores, one torch thread each.

Many small matrices use two cores better as two pieces of work than as matrix products shared by two threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@cache
def alone_after_fork() -> None:
    """Have torch work with one thread in every process that is forked from this one.

    A parent's threads are not there in its forked child, whose first work for several would wait for them for ever.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def map_threads(function: Callable[[T], R], items: Sequence[T], device: torch.device, large: bool = False) -> list[R]:
    """``[function(item) for item in items]``, on as many threads as torch has for itself, for work on a CPU.

    While they run torch's own number of threads is one, and it is restored after; only a single item that is ``large``
    keeps all of torch's threads. The caller's gradient mode holds in them.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(items))
    if threads == 1 or device.type != "cpu" or (large and len(items) == 1):
        return [function(item) for item in items]
    recording = torch.is_grad_enabled()

    def call(item: T) -> R:
        with torch.set_grad_enabled(recording):
            return function(item)

    torch.set_num_threads(1)
    try:
        if workers == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(call, items))
    finally:
        torch.set_num_threads(threads)
