"""Records into JSON files: an array that grows record by record, or an object that ends in one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nddo_ml.errors import InputError
from nddo_ml.results.journal import plain_json
from nddo_ml.results.targets import whole


def write_records(records: Iterable[Mapping[str, Any]], path: Path | None) -> None:
    """A JSON array with a record a line; to standard output without a path.

    Raises:
        InputError: the file cannot be written.
    """
    _write(_array(records), path)


def write_object(head: Mapping[str, Any], path: Path | None, **arrays: Iterable[Mapping[str, Any]]) -> None:
    """A JSON object: first ``head``, then arrays with a record a line.

    Raises:
        InputError: the file cannot be written.
    """
    _write(_object(head, arrays), path)


def _write(parts: Iterator[str], path: Path | None) -> None:
    if path is None:
        _print(parts)
        return
    with whole(path) as made, made.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for part in parts:
            file.write(part)
        file.write("\n")


def _print(parts: Iterator[str]) -> None:
    try:
        for part in parts:
            sys.stdout.write(part)
        sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        raise
    except OSError as error:
        raise InputError(f"standard output: expected room for results; {error.strerror}") from error


def _array(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "["
    for k, record in enumerate(records):
        yield f"{',' if k else ''}\n{plain_json(record)}"
    yield "\n]"


def _object(head: Mapping[str, Any], arrays: Mapping[str, Iterable[Mapping[str, Any]]]) -> Iterator[str]:
    yield "{"
    for k, (name, value) in enumerate(head.items()):
        yield f"{',' if k else ''}\n{plain_json(name)}: {plain_json(value)}"
    for k, (name, records) in enumerate(arrays.items()):
        yield f"{',' if k or head else ''}\n{plain_json(name)}: "
        yield from _array(records)
    yield "\n}"
