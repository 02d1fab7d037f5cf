"""The journal of a run: what is finished, one line a chunk, beside the outputs until these are whole.

A line is ``checksum key complaints JSON``; it is written in one piece, so that a kill at any moment costs the chunks
in work and what it leaves of a last line is cut off. The first line says what the results depend on beside the
structures; the key of a chunk names its structures. A journal is thus never continued with other settings, and a
structure that has changed is computed anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from nddo_ml.errors import InputError
from nddo_ml.structures.record import shown

HEADER = "nddo-ml-journal-1"
SYNC = 5.0  # s between two flushes to the disk itself; a kill of the process alone loses nothing in between
SUFFIX = ".part"


class Journal:
    """Finished chunks by key; in a nameless temporary file where there is no output to stand beside.

    Args:
        path: the file; None for a temporary one.
        settings: plain data that the results depend on.

    Raises:
        InputError: the file cannot be written, another run writes it, it is no journal, or one of other settings.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.damaged = 0  # lines with a wrong checksum, which are computed anew
        self._place: dict[str, tuple[int, int, int]] = {}  # key -> offset, length, complaints
        self._end = 0
        self._synced = time.monotonic()
        self._open = ExitStack()
        try:
            place = path or Path(self._open.enter_context(tempfile.TemporaryDirectory())) / "journal"
            self._file = self._open.enter_context(place.open("a+b", buffering=0))
        except OSError as error:
            raise InputError(f"{path}: expected a file that can be written; {error.strerror}") from error
        try:
            self._lock()
            self._read(settings)
        except OSError as error:
            self._open.close()
            raise self._no_room(error) from error
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        if reason[0] is not None and not self._place and not self.damaged:
            self.remove()  # a run that ended before anything was finished leaves nothing
        self._open.close()

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def unused(self, keys: Iterable[str]) -> int:
        """How many chunks are none of ``keys``."""
        return len(self._place.keys() - set(keys))

    def complaints(self, key: str) -> int:
        """How many complaints the outcomes of a chunk carry."""
        return self._place[key][2]

    def append(self, key: str, outcomes: list[dict[str, Any]]) -> None:
        """Add a finished chunk.

        Raises:
            InputError: it cannot be written, for example on a full disk; what was there is left whole.
        """
        complaints = sum(len(o.get("complaints", ())) for o in outcomes)
        line = _line(f"{key} {complaints} {plain_json(outcomes)}")
        try:
            self._write(line)
        except OSError as error:
            self._file.truncate(self._end)
            raise self._no_room(error) from error
        self._place[key] = (self._end, len(line), complaints)
        self._end += len(line)
        if time.monotonic() - self._synced > SYNC:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def read(self, key: str) -> list[dict[str, Any]]:
        """The outcomes of a finished chunk."""
        offset, length, _ = self._place[key]
        self._file.seek(offset)
        outcomes: list[dict[str, Any]] = json.loads(self._file.read(length).split(b" ", 3)[3])
        return outcomes

    def remove(self) -> None:
        """Delete the file: its outputs are whole."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _no_room(self, error: OSError) -> InputError:
        where = self.path or f"{tempfile.gettempdir()} (temporary files)"
        return InputError(f"{where}: expected room for results; {error.strerror}")

    def _lock(self) -> None:
        if self.path is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{self.path}: another run is writing this file") from None

    def _read(self, settings: Mapping[str, Any]) -> None:
        """Check the first line, find the finished chunks, and cut off an incomplete last one."""
        self._file.seek(0)
        first = self._file.readline()
        head = _line(f"{HEADER} 0 {plain_json(dict(settings))}")
        empty = _is_head(first) and not self._file.read(1)  # nothing was finished, whatever the settings
        if (head.startswith(first) and first != head) or empty:  # or a new file, or one cut short in its first line
            self._file.truncate(0)
            self._write(head)
            self._end = len(head)
            return
        self._compare(first, settings)
        self._end = len(first)
        self._file.seek(self._end)
        while (line := self._file.readline()).endswith(b"\n"):
            if _sound(line):
                _, key, complaints, _ = line.split(b" ", 3)
                self._place[key.decode()] = (self._end, len(line), int(complaints))
            else:
                self.damaged += 1
            self._end += len(line)
        self._file.truncate(self._end)

    def _compare(self, first: bytes, settings: Mapping[str, Any]) -> None:
        if not _is_head(first):
            raise InputError(f"{self.path}: expected the journal of an interrupted run; got another file, which stays")
        found = json.loads(first.split(b" ", 3)[3])
        for name, value in json.loads(plain_json(dict(settings))).items():
            if found.get(name) != value:
                raise InputError(
                    f"{self.path}: holds results of an interrupted run with {name} {shown(found.get(name), 80)}; "
                    f"this run has {shown(value, 80)}. Give another output, or remove the file to start anew"
                )

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


def plain_json(value: Any) -> str:
    """JSON on one line; numbers that are not finite become null."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))) else value


def _line(text: str) -> bytes:
    body = text.encode("utf-8", "surrogateescape")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _is_head(line: bytes) -> bool:
    return _sound(line) and line.split(b" ", 3)[1] == HEADER.encode()


def _sound(line: bytes) -> bool:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    return body.count(b" ") >= 2 and checksum == b"%08x" % zlib.crc32(body)
