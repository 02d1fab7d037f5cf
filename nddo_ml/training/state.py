"""What survives a kill: the checkpoint of a training and its log, one JSON object a line."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.storage import VERSION, read_payload, save_atomically

FORMAT = "nddo-ml training"
LOCK, HOLDER = "training.lock", "training.pid"


@dataclass
class Progress:
    """Where a training stands; everything that a step changes beside weights and optimiser."""

    phase: int = 0
    epoch: int = 0  # within the phase
    step: int = 0  # within the epoch
    total_epochs: int = 0
    loss_sum: float = 0.0  # over the epoch's steps so far
    averaged_steps: int = 0
    stale: int = 0  # validations since the last better one
    best_loss: float = float("inf")
    best_epoch: int = -1
    seconds: float = 0.0
    log_bytes: int = 0
    failures: int = 0  # systems masked since their SCF did not converge
    extra: dict[str, float] = field(default_factory=dict)


def write_checkpoint(
    path: Path,
    fingerprint: str,
    progress: Progress,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    average: list[Tensor],
    best: Mapping[str, Tensor],
) -> None:
    """Write a training's state; a kill at any moment leaves the old file or the new one."""
    payload = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": fingerprint,
        "progress": asdict(progress),
        "model": dict(model),
        "optimizer": dict(optimizer),
        "average": average,
        "best": dict(best),
    }
    save_atomically(payload, path)


def read_checkpoint(path: Path, fingerprint: str) -> dict[str, Any]:
    """Read a training's state.

    Raises:
        InputError: a corrupt file, or one of another configuration or other data.
    """
    payload = read_payload(path, FORMAT)
    if payload["fingerprint"] != fingerprint:
        raise InputError(
            f"{path}: belongs to a training with another configuration or other data; "
            "restart it, or choose another output folder"
        )
    payload["progress"] = Progress(**payload["progress"])
    return payload


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder for this training: a lock of the system, which ends with the process.

    Raises:
        InputError: another training holds the folder, or it cannot be written.
    """
    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        holder.write_text(f"process {os.getpid()} on {platform.node()}\n")
    except Timeout:
        who = holder.read_text().strip() if holder.exists() else "another process"
        raise InputError(f"{folder}: another training is at work there ({who}); choose another output folder") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(folder)!r}: expected a folder that can be written ({reason})") from None
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


class JsonLog:
    """Lines of JSON in a file; on resuming, lines after the checkpoint are cut off."""

    def __init__(self, path: Path, keep_bytes: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        with open(path, "ab") as file:
            file.truncate(min(keep_bytes, os.path.getsize(path)))

    def write(self, entry: Mapping[str, Any]) -> int:
        """Append an entry; the file's size after it."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            return file.tell()


def read_log(path: Path) -> list[dict[str, Any]]:
    """All complete entries of a log."""
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines if line.strip()]
