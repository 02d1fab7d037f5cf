"""The file of labels: extended XYZ that grows frame by frame and can be interrupted at any moment."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nddo_ml.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

KEY, LEVEL = "label_key", "level"


def structure_key(atoms: Atoms) -> str:
    """Sixteen hexadecimal digits that name elements, positions (to 1e-6 Å), charge and multiplicity."""
    text = json.dumps(
        [
            atoms.numbers.tolist(),
            [[f"{x:.6f}" for x in row] for row in (atoms.positions + 0.0).tolist()],
            int(atoms.info.get("charge", 0)),
            int(atoms.info.get("multiplicity", 1)),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class LabelFile:
    """An extxyz file of labels at one level, and a file of failures beside it.

    ``done`` and ``failed`` are keys of structures. A frame is written in one piece and is on the disk before
    ``append`` returns; what an interruption left of a last frame is cut off when the file is opened again.
    """

    def __init__(self, path: Path, level: str) -> None:
        """Open for appending.

        Raises:
            InputError: the file cannot be written, another run writes it, or it holds other labels.
        """
        self.path, self.level = path, level
        self.failures = path.with_name(path.name + ".failures.jsonl")
        self.done: set[str] = set()
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise InputError(f"{path}: expected a file that can be written; {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
            self.failed = self._read_failures()
        except BlockingIOError:
            self._file.close()
            raise InputError(f"{path}: another run is writing this file") from None
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, key: str, atoms: Atoms) -> None:
        """Add a labelled frame."""
        from ase.io import write

        frame = atoms.copy()
        frame.calc = atoms.calc
        frame.info |= {KEY: key, LEVEL: self.level}
        text = io.StringIO()
        write(text, frame, format="extxyz")
        self._file.write(text.getvalue().encode())
        self._flush()
        self.done.add(key)

    def append_failure(self, key: str, source: str, frame: int, reason: str) -> None:
        """Note a structure that could not be labelled: one JSON object a line."""
        entry = {KEY: key, "source": source, "frame": frame, LEVEL: self.level, "reason": reason}
        with self.failures.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        self.failed.add(key)

    def forget_failures(self) -> None:
        """Let what failed be tried again."""
        self.failures.unlink(missing_ok=True)
        self.failed.clear()

    def _read(self) -> None:
        """Collect the keys of the complete frames, and cut off an incomplete last one."""
        self._file.seek(0)
        end = 0
        while head := self._file.readline():
            lines = [self._file.readline() for _ in range(_atom_count(head, self.path) + 1)]
            if not lines[-1].endswith(b"\n"):
                break
            self.done.add(self._key(lines[0].decode(errors="replace")))
            end = self._file.tell()
        self._file.truncate(end)
        self._file.seek(0, os.SEEK_END)

    def _key(self, comment: str) -> str:
        key, level = (re.search(rf'\b{name}=("[^"]*"|\S+)', comment) for name in (KEY, LEVEL))
        if key is None or level is None:
            raise InputError(f"{self.path}: expected a new file or one written by this command; got another")
        found = level[1].strip('"')
        if found != self.level:
            raise InputError(f"{self.path}: holds labels at {found}; expected {self.level}, or another file for them")
        return key[1]

    def _read_failures(self) -> set[str]:
        if not self.failures.is_file():
            return set()
        failed = set()
        for line in self.failures.read_text(encoding="utf-8").splitlines():
            try:
                failed.add(json.loads(line)[KEY])
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # cut short by an interruption: the structure is tried again
        return failed

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _atom_count(line: bytes, path: Path) -> int:
    """Number of atoms in a frame's first line, which may have been cut short by an interruption."""
    if re.fullmatch(rb"\s*\d+\s*", line):
        return int(line)
    raise InputError(f"{path}: expected a new file or one written by this command; got another")
