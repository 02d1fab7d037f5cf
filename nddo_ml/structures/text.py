"""From a source to bytes and lines: files, standard input, compression, encodings, frame selection."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nddo_ml.errors import InputError
from nddo_ml.structures.record import Lines

HEAD = 16_384  # bytes looked at to tell encoding and format
_COMPRESSION: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
}
_SELECTION = re.compile(r"(?P<path>.+)@(?P<frames>-?\d*(:-?\d*){0,2})", re.ASCII | re.DOTALL)
_COMPRESSED = (".gz", ".xz", ".bz2")


@dataclass(frozen=True)
class Source:
    """A source as the user named it, and which of its frames are wanted."""

    name: str  # "-" for standard input
    frames: slice | int | None = None  # None: all

    @property
    def suffix(self) -> str:
        """The suffix in lower case, without that of the compression."""
        path = Path(self.name)
        return (Path(path.stem) if path.suffix.lower() in _COMPRESSED else path).suffix.lower()

    @property
    def stem(self) -> str:
        """The file's name in upper case as far as the first dot: POSCAR, CONTCAR."""
        return Path(self.name).name.split(".")[0].upper()


def parse_source(text: str) -> Source:
    """A file, or ``file@frames`` with a number or a Python slice; a file of that very name goes first.

    Raises:
        InputError: a selection that selects nothing sensible.
    """
    match = _SELECTION.fullmatch(text)
    if match is None or not match["frames"] or Path(text).exists():
        return Source(text)
    parts = match["frames"].split(":")
    try:
        numbers = [int(p) if p else None for p in parts]
    except ValueError:
        raise InputError(f"{text}: expected frames as 3, 0:10 or ::2 after @") from None
    if len(parts) == 1:
        return Source(match["path"], int(parts[0]))
    if len(parts) == 3 and numbers[2] == 0:
        raise InputError(f"{text}: the step between frames must not be 0")
    return Source(match["path"], slice(*numbers))


@contextmanager
def opened(source: Source) -> Iterator[io.BufferedReader]:
    """The source's bytes, decompressed.

    Raises:
        InputError: no such file, a folder, an empty file, one that may not be read.
    """
    if source.name == "-":
        yield _decompressed(cast(io.BufferedReader, sys.stdin.buffer), source)
        return
    path = Path(source.name)
    try:
        if not path.exists():
            raise InputError(f"{path}: expected a structure file; there is none")
        if path.is_dir():
            raise InputError(f"{path}: expected a structure file; there is a folder")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise error if isinstance(error, InputError) else InputError(f"{path}: cannot be read: {reason}") from None
    with file:
        if path.is_block_device() or (path.is_char_device() and not file.isatty() and not path.samefile(os.devnull)):
            raise InputError(f"{path}: expected a structure file; there is a device")
        yield _decompressed(file, source)


def _decompressed(stream: io.BufferedReader, source: Source) -> io.BufferedReader:
    head = _peek(stream)
    if not head:
        raise InputError(f"{source.name}: expected at least one structure; the file is empty")
    for magic, opener in _COMPRESSION.items():
        if head.startswith(magic):
            named = {"fileobj": stream} if magic == b"\x1f\x8b" else {"filename": stream}
            return io.BufferedReader(cast(io.RawIOBase, opener(mode="rb", **named)), HEAD)
    return stream


def _peek(stream: io.BufferedReader) -> bytes:
    return stream.peek(HEAD)[:HEAD]


def head_of(stream: io.BufferedReader) -> tuple[str | None, list[str]]:
    """The encoding (None: binary) and the first lines of a stream, which stays where it was."""
    head = _peek(stream)
    encoding = _encoding(head)
    if encoding is None:
        return None, []
    text = head.decode(encoding, "replace").lstrip("\ufeff")
    return encoding, re.split(r"\r\n|\r|\n", text)


def lines_of(stream: io.BufferedReader, encoding: str, folder: Path = Path()) -> Lines:
    """Lines of a stream; what is not UTF-8 is Latin-1, line by line; any end of line."""
    return Lines(_decoded(stream, encoding), folder)


def _decoded(stream: io.BufferedReader, encoding: str) -> Generator[str, None, None]:
    text = io.TextIOWrapper(stream, encoding, "surrogateescape" if encoding == "utf-8-sig" else "replace", newline=None)
    try:
        for line in text:
            yield _clean(line)
    finally:
        text.detach()  # the stream is its owner's to close


def text_of(data: bytes, encoding: str) -> str:
    """The whole text of a file."""
    return "\n".join(lines_of(io.BufferedReader(cast(io.RawIOBase, io.BytesIO(data))), encoding))


def _encoding(head: bytes) -> str | None:
    """UTF-16 and UTF-32 by their marks or zeros, else UTF-8; None for what holds zeros otherwise."""
    if head.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "utf-32"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = head.count(0)
    if zeros == 0:
        return "utf-8-sig"
    if head[1::2].count(0) > 0.4 * (len(head) // 2) and head[::2].count(0) == 0:
        return "utf-16-le"
    if head[::2].count(0) > 0.4 * (len(head) // 2) and head[1::2].count(0) == 0:
        return "utf-16-be"
    return None


def _clean(line: str) -> str:
    """A line with bytes that are not UTF-8 read as Latin-1, and blanks of every kind as blanks."""
    if line.isascii():
        return line
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = line.encode("utf-8", "surrogateescape").decode("latin-1")
    return line.replace("\u00a0", " ").replace("\ufeff", "")
