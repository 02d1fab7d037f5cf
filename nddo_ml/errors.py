"""The package's exceptions: every user's mistake ends in one of these, one sentence each. Warnings are told as such."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class NDDOMLError(Exception):
    """Base class of all errors that the package raises on purpose."""


class InputError(NDDOMLError, ValueError):
    """The input is wrong: the message says what was expected, what came, and in which system and atom."""


class SCFConvergenceError(NDDOMLError, RuntimeError):
    """The self-consistent field did not converge; ``systems`` holds the indices of the systems concerned."""

    def __init__(self, message: str, systems: list[int]) -> None:
        super().__init__(message)
        self.systems = systems


class ResponseError(NDDOMLError, RuntimeError):
    """The response of the density was not solved; ``systems`` holds the indices of the systems concerned."""

    def __init__(self, message: str, systems: list[int]) -> None:
        super().__init__(message)
        self.systems = systems


@contextmanager
def warnings_as_sentences() -> Iterator[None]:
    """Within it, warnings go to standard error as one sentence, without the place in the code."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        (file or sys.stderr).write(f"warning: {message}\n")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
