"""Files of tensors and plain data: written atomically, read without pickles."""

from __future__ import annotations

import os
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nddo_ml.errors import InputError

VERSION = 1


def save_atomically(payload: Mapping[str, Any], path: str | Path) -> None:
    """torch.save to a temporary file beside ``path``, flushed to disk and renamed over it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(dict(payload), file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_payload(path: Path, expected_format: str) -> dict[str, Any]:
    """The dictionary that :func:`save_atomically` wrote, checked to be of the expected format.

    Raises:
        InputError: no such file, a corrupt one, or one of another format or of a later version.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a file of the format {expected_format!r}; there is no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of foreign pickles, which are refused anyway
            payload = torch.load(path, map_location="cpu", weights_only=True)
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise InputError(f"{path}: corrupt, or not a file of the format {expected_format!r} ({reason})") from None
    if not isinstance(payload, dict) or payload.get("format") != expected_format:
        found = payload.get("format") if isinstance(payload, dict) else type(payload).__name__
        raise InputError(f"{path}: expected a file of the format {expected_format!r}; got {found!r}")
    if payload.get("version", 0) > VERSION:
        raise InputError(f"{path}: written by a later version of the package (format version {payload['version']})")
    return payload
