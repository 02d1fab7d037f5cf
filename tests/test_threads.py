"""Threads that work for callers in several threads: none changes what another has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
import torch

from nddo_ml.threads import map_threads

_CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _own_threads(_: int) -> int:
    return torch.get_num_threads()


def test_work_has_one_torch_thread_and_the_caller_keeps_its_own() -> None:
    assert map_threads(_own_threads, range(5), _CPU) == [1] * 5
    assert map_threads(_own_threads, range(1), _CPU) == [1]
    assert map_threads(_own_threads, range(1), _CPU, large=True) == [2]
    assert torch.get_num_threads() == 2


def test_a_thread_that_begins_meanwhile_has_all_threads() -> None:
    seen, done = [], Event()

    def work(_: int) -> None:
        done.wait(5)

    def beside() -> None:
        seen.append(torch.get_num_threads())
        done.set()

    map_threads(_own_threads, range(2), _CPU)
    with ThreadPoolExecutor(2) as pool:
        working = pool.submit(map_threads, work, range(2), _CPU)
        while not seen:
            pool.submit(beside).result()
        working.result()
    assert seen == [2]


def test_callers_at_once_leave_the_number_of_threads() -> None:
    together = Barrier(4)

    def caller(_: int) -> list[int]:
        together.wait()
        found = []
        for _ in range(20):
            assert map_threads(_own_threads, range(3), _CPU) == [1] * 3
            found.append(torch.get_num_threads())
        return found

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(caller, range(4))) == [[2] * 20] * 4
    assert torch.get_num_threads() == 2


def test_all_work_has_ended_when_an_error_is_raised() -> None:
    ended = []

    def work(k: int) -> None:
        if k == 0:
            raise ValueError("the first")
        time.sleep(0.05)
        ended.append(k)

    with pytest.raises(ValueError, match="the first"):
        map_threads(work, range(2), _CPU)
    count = len(ended)
    time.sleep(0.1)
    assert len(ended) == count


def test_the_mode_of_gradients_holds() -> None:
    with torch.no_grad():
        assert map_threads(lambda _: torch.is_grad_enabled(), range(2), _CPU) == [False, False]
    assert map_threads(lambda _: torch.is_grad_enabled(), range(2), _CPU) == [True, True]
