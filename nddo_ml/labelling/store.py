"""The file of labels: extended XYZ that grows frame by frame and can be interrupted at any moment."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from nddo_ml.errors import InputError
from nddo_ml.results.targets import copied_aside
from nddo_ml.results.targets import whole as whole_file

if TYPE_CHECKING:
    from ase import Atoms

KEY, LEVEL = "label_key", "level"
BEGIN = b"Properties=species:S:1:pos:R:3"  # of every frame's comment
BEGUN = re.compile(rb"[\s\w.+-]*")  # of an atom's line
ATOM = re.compile(rb"\s*[A-Z][a-z]?(\s+[-+.\w]+)+\s*\n")


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
    ``append`` returns. When the file is opened again, a last frame that is not whole is moved aside, and a file that
    is damaged otherwise copied aside, so that whole frames are left; ``remark`` says so.
    """

    def __init__(self, path: Path, level: str) -> None:
        """Open for appending.

        Raises:
            InputError: the file cannot be written, another run writes it, or it holds something else.
        """
        self.path, self.level = path, level
        self.failures = path.with_name(path.name + ".failures.jsonl")
        self.done: set[str] = set()
        self.remark = ""
        self._file = self._open()
        try:
            self._read()
            self.failed = self._read_failures()
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
        end = self._file.seek(0, os.SEEK_END)
        try:
            self._file.write(text.getvalue().encode())
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)
            raise InputError(f"{self.path}: expected room for a label; {error.strerror}") from error
        self.done.add(key)

    def append_failure(self, key: str, source: str, frame: int, reason: str) -> None:
        """Note a structure that could not be labelled: one JSON object a line."""
        entry = {KEY: key, "source": source, "frame": frame, LEVEL: self.level, "reason": reason}
        try:
            with self.failures.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        except OSError as error:
            raise InputError(f"{self.failures}: expected a file that can be written; {error.strerror}") from error
        self.failed.add(key)

    def forget_failures(self) -> None:
        """Let what failed be tried again."""
        self.failures.unlink(missing_ok=True)
        self.failed.clear()

    def _open(self) -> IO[bytes]:
        try:
            file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise InputError(f"{self.path}: expected a file that can be written; {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise InputError(f"{self.path}: another run is writing this file") from None
        return file

    def _read(self) -> None:
        """Collect the keys of the whole frames, and cut off or put aside what is none."""
        with self.path.open("rb") as file:
            parts = list(parts_of(file))
        whole = [p for p in parts if p.kind == "whole"]
        broken = [p for p in parts if p.kind == "broken"]
        if broken and not whole:
            raise InputError(f"{self.path}: expected a new file or one written by this command; got another")
        for part in whole:
            if part.level != self.level:
                damage = f"damaged at line {broken[0].line}, and " if broken else ""
                wanted = f"expected {self.level}, or another file for them"
                raise InputError(f"{self.path}: {damage}holds labels at {part.level}; {wanted}")
            self.done.add(part.key)
        if broken:
            self._keep(whole, broken[0].line)
        elif parts and parts[-1].kind == "torn":
            self._cut_off(parts[-1])

    def _cut_off(self, torn: Part) -> None:
        """Move the beginning of a frame at the end of the file aside: it may be a frame whose count is damaged."""
        aside = copied_aside(self.path, torn.start)
        self._file.truncate(torn.start)
        self.remark = f"{self.path}: its last label, line {torn.line}, is not whole; moved to {aside}"

    def _keep(self, whole: list[Part], line: int) -> None:
        """Copy a damaged file aside and go on with its whole frames."""
        aside = copied_aside(self.path)
        with self.path.open("rb") as source, whole_file(self.path) as made, made.open("wb") as target:
            for part in whole:
                source.seek(part.start)
                target.write(source.read(part.end - part.start))
        self._file.close()
        self._file = self._open()
        self.remark = (
            f"{self.path}: damaged at line {line}; copied to {aside}, and its {len(whole)} whole labels are kept"
        )

    def _read_failures(self) -> set[str]:
        if not self.failures.is_file():
            return set()
        failed = set()
        for line in self.failures.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                failed.add(json.loads(line)[KEY])
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # cut short by an interruption: the structure is tried again
        return failed


@dataclass(frozen=True)
class Part:
    """A piece of a file of labels."""

    kind: str  # "whole": a frame; "torn": the beginning of one, at the end of the file; "broken": anything else
    start: int  # bytes
    end: int
    line: int  # its first, from 1
    key: str = ""
    level: str = ""


def parts_of(file: IO[bytes]) -> Iterator[Part]:
    """The pieces of a file of labels in order; after something broken, it goes on at the next whole frame.

    A frame that a further atom follows is broken as well: it has lost one, or its count is wrong.
    """
    start, line = 0, 1
    whole: Part | None = None  # not yet known what follows
    broken: tuple[int, int] | None = None
    while True:
        found = _frame_at(file, start, line)
        if found is not None and found.kind == "broken":
            file.seek(start)
            text = file.readline()
            if whole is not None and broken is None and ATOM.fullmatch(text):
                broken, whole = (whole.start, whole.line), None
            broken = broken or (start, line)
            start, line = start + len(text), line + 1
            continue
        if whole is not None:
            yield whole
        if broken is not None:
            yield Part("broken", broken[0], start, broken[1])
        whole = broken = None
        if found is None:
            return
        if found.kind == "torn":
            yield found
            return
        whole = found
        start, line = found.end, line + _lines(file, found)


def _frame_at(file: IO[bytes], start: int, line: int) -> Part | None:
    """The frame that begins here, whole, torn or broken; None at the end."""
    file.seek(start)
    head = file.readline()
    if not head:
        return None
    broken = Part("broken", start, start + len(head), line)
    if not re.fullmatch(rb"\s*[1-9]\d{0,8}\s*", head):
        return broken
    comment = file.readline()
    key, level = (_value(comment.decode(errors="replace"), name) for name in (KEY, LEVEL))
    if not comment.endswith(b"\n"):
        begun = comment[: len(BEGIN)] == BEGIN[: len(comment)]
        return Part("torn", start, file.tell(), line) if begun else broken
    if key is None or level is None:
        return broken
    for _ in range(int(head)):
        atom = file.readline()
        if not atom.endswith(b"\n"):
            return Part("torn", start, file.tell(), line) if BEGUN.fullmatch(atom) else broken
        if not ATOM.fullmatch(atom):
            return broken
    return Part("whole", start, file.tell(), line, key, level)


def _lines(file: IO[bytes], part: Part) -> int:
    file.seek(part.start)
    return file.read(part.end - part.start).count(b"\n")


def _value(comment: str, name: str) -> str | None:
    found = re.search(rf'\b{name}=("[^"]*"|\S+)', comment)
    return None if found is None else found[1].strip('"')
