"""Shared by the fuzzers: mutations of bytes and of plain data, and what an outcome may be."""

from __future__ import annotations

import contextlib
import io
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from nddo_ml.cli import main

SECONDS = 10  # what takes longer hangs
COUNTS: Counter[str] = Counter()  # inputs by kind and outcome
FAST, MANY = 25, 250  # inputs a kind in every run, and in the slow one


def examples(n: int) -> settings:
    """Settings of hypothesis for ``n`` inputs, the same in every run."""
    return settings(
        max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    """Fail what works for longer than SECONDS of the processor, or waits for ever; a busy machine is no hang."""

    def stop(*_: object) -> None:
        raise AssertionError(f"took longer than {SECONDS} s")

    timers = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, 30 * SECONDS))
    before = [signal.signal(number, stop) for number, *_ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds, 1)  # again and again: a callback may swallow the error
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def command(kind: str, arguments: list[str]) -> None:
    """Run a command: exit code 0, 1 or 2, no other exception, one sentence where it is not 0."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with no_hang(), warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.simplefilter("default")
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code or 0
    COUNTS[f"{kind}: exit {code}"] += 1
    assert code in (0, 1, 2), err.getvalue()
    assert "Traceback" not in err.getvalue()
    if code:
        assert err.getvalue().count("error: ") == 1, err.getvalue()


def outcome(kind: str, call: Callable[[], Any], allowed: type[Exception]) -> None:
    """Call a function: it returns, or raises the allowed error with a sentence on one line."""
    with no_hang(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        message = None
        try:
            call()
        except allowed as error:
            message = str(error).strip()
    COUNTS[f"{kind}: {'read' if message is None else 'refused'}"] += 1
    assert message != ""


def mutated_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """A file with bits flipped, bytes replaced, cut off, doubled or random altogether."""
    how = draw(st.sampled_from(["flip", "flips", "cut", "insert", "double", "random", "zero"]))
    place = draw(st.integers(0, max(0, len(data) - 1)))
    if how == "flip":
        return data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
    if how == "flips":
        changed = bytearray(data)
        for k in draw(st.lists(st.integers(0, len(data) - 1), min_size=2, max_size=20)):
            changed[k] ^= draw(st.integers(1, 255))
        return bytes(changed)
    if how == "cut":
        return data[:place]
    if how == "insert":
        return data[:place] + draw(st.binary(min_size=1, max_size=12)) + data[place:]
    if how == "double":
        return data[:place] + data
    if how == "zero":
        return data[:place] + bytes(len(data) - place)
    return draw(st.binary(max_size=400))


WORDS = [
    "",
    "0",
    "-1",
    "1e999",
    "nan",
    "inf",
    "1e308",
    "abc",
    "4000000000",
    "99999999999999999999",
    "1.5",
    "#",
    "é",
    "T",
]


def mutated_words(draw: st.DrawFn, text: str) -> str:
    """A text in which words or lines are replaced, dropped or doubled."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        n = draw(st.integers(0, len(lines) - 1))
        words = lines[n].split(" ")
        how = draw(st.sampled_from(["word", "word", "word", "drop", "double", "line"]))
        if how == "word":
            words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(WORDS))
            lines[n] = " ".join(words)
        elif how == "drop":
            lines[n : n + 1] = []
        elif how == "double":
            lines.insert(n, lines[n])
        else:
            lines[n] = draw(st.text(max_size=20))
        if not lines:
            return ""
    return "\n".join(lines)


PLAIN = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2**70, 1e300, -0.5, float("nan"), float("inf"), "", "auto", "x", "é"]
    ),
    st.sampled_from([[], {}, [1], [[]], {"a": 1}, ["a"], [0.5, "b"], {"path": 3}, [{}], "../x", "10", [2.5], [-3]]),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)


def mutated_plain(draw: st.DrawFn, data: Any) -> Any:
    """Plain data in which one entry is replaced, dropped or added."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    if not keys or draw(st.integers(0, 4)) == 0:
        return draw(PLAIN)
    key = draw(st.sampled_from(keys))
    copy = data.copy()
    how = draw(st.sampled_from(["deeper", "deeper", "deeper", "drop", "add"]))
    if how == "deeper":
        copy[key] = mutated_plain(draw, data[key])
    elif how == "drop":
        del copy[key]
    elif isinstance(copy, dict):
        copy[draw(st.text(max_size=6)) or "new"] = draw(PLAIN)
    else:
        copy.append(draw(PLAIN))
    return copy
