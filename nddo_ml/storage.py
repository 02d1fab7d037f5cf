"""Files of tensors and plain data: written atomically, sealed by a checksum, read without pickles.

A file is what ``torch.save`` writes, a zip archive, whose comment is the SHA-256 of all bytes before the sum: a bit
that flips anywhere is found, and any program that reads zip archives still reads it.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nddo_ml.errors import InputError

VERSION = 1
_LABEL = b"nddo-ml sha256 "
_SUM = 64  # hexadecimal digits
_SEALED = "sealed"  # key of a payload: its file has a checksum, and one without has lost it


class UnsealedWarning(UserWarning):
    """A file without a checksum, as versions before 0.2 wrote them."""


def save_atomically(payload: Mapping[str, Any], path: str | Path) -> None:
    """torch.save with a checksum to a temporary file beside ``path``, flushed to disk and renamed over it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_sealed(payload))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_payload(path: Path, expected_format: str) -> dict[str, Any]:
    """The dictionary that :func:`save_atomically` wrote, checked to be whole and of the expected format.

    Raises:
        InputError: no such file, a changed or corrupt one, or one of another format or of a later version.
    """
    if not path.is_file():
        there = "there is a folder" if path.is_dir() else "there is no such file"
        raise InputError(f"{path}: expected a file of the format {expected_format!r}; {there}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    sealed = _check_seal(data, path)
    if not data.startswith(b"PK"):
        raise InputError(f"{path}: corrupt, or not a file of the format {expected_format!r} (no zip archive)")
    try:
        damaged = None if sealed else zipfile.ZipFile(io.BytesIO(data)).testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} does not fit its checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of foreign pickles, which are refused anyway
            payload = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a foreign or damaged file raises whatever it runs into
        reason = (str(error).strip().split("\n")[0] or type(error).__name__)[:120]
        raise InputError(f"{path}: corrupt, or not a file of the format {expected_format!r} ({reason})") from None
    if not isinstance(payload, dict) or payload.get("format") != expected_format:
        found = payload.get("format") if isinstance(payload, dict) else type(payload).__name__
        raise InputError(f"{path}: expected a file of the format {expected_format!r}; got {found!r:.80}")
    version = payload.get("version", 0)
    if not isinstance(version, int) or version > VERSION:
        raise InputError(f"{path}: written by a later version of the package (format version {version!r:.40})")
    if not sealed:
        if payload.get(_SEALED):
            raise InputError(f"{path}: its checksum is missing; the file was changed after it had been written")
        warnings.warn(f"{path}: has no checksum; saving it anew gives it one", UnsealedWarning, stacklevel=2)
    return payload


def entry(payload: Mapping[str, Any], key: str, kind: type[Any], path: str | Path) -> Any:
    """An entry of a payload, checked to be there and of its type.

    Raises:
        InputError: it is missing or of another type.
    """
    if key not in payload:
        raise InputError(f"{path}: expected an entry {key!r}; there is none")
    if not isinstance(payload[key], kind):
        raise InputError(f"{path}: {key} must be of type {kind.__name__}; got {type(payload[key]).__name__}")
    return payload[key]


def check_tensors(state: Mapping[str, Any], path: str | Path) -> None:
    """Raise InputError, naming the entry, where a state holds anything but finite tensors."""
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(f"{path}: weights must be tensors by name; {name!r:.80} is a {type(value).__name__}")
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{path}: weights must be finite numbers; {name} has one that is not")


def _sealed(payload: Mapping[str, Any]) -> bytes:
    """The file's bytes: the archive with its checksum as the comment."""
    buffer = io.BytesIO()
    torch.save({**payload, _SEALED: True}, buffer)
    archive = buffer.getvalue()
    length = (len(_LABEL) + _SUM).to_bytes(2, "little")
    body = archive[:-2] + length + _LABEL  # an archive without a comment ends with the comment's length, 0
    return body + hashlib.sha256(body).hexdigest().encode()


def _check_seal(data: bytes, path: Path) -> bool:
    """Whether a file has a checksum, which it must then fit."""
    body, found = data[:-_SUM], data[-_SUM:]
    if not body.endswith(_LABEL):
        return False
    if hashlib.sha256(body).hexdigest().encode() != found:
        raise InputError(
            f"{path}: does not fit its checksum; the file was changed or damaged after it had been written"
        )
    return True
