"""Models on disk: one safe file with kind, configuration, weights and a card; no arbitrary pickles."""

from __future__ import annotations

import importlib
import json
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
from nddo_ml.models.base import AbstractModel

FORMAT = "nddo-ml model"
VERSION = 1
KINDS: Mapping[str, str] = {"NNP": "nddo_ml.models.nnp", "NDDO": "nddo_ml.models.nddo"}  # class -> its module
MODELS_DIR = Path(__file__).parents[1] / "data" / "models"


def save_model(model: AbstractModel, path: str | Path, card: Mapping[str, Any] | None = None) -> None:
    """Write a model, atomically: class name, ``to_config()``, ``state_dict()`` and a card of plain data.

    Raises:
        InputError: a model class that :func:`load_model` could not read back.
    """
    kind = type(model).__name__
    if kind not in KINDS:
        raise InputError(f"only {' and '.join(KINDS)} can be saved; got {kind}")
    payload = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "config": json.dumps(model.to_config()),
        "card": json.dumps(dict(card or {})),
        "state": {key: value.detach().cpu() for key, value in model.state_dict().items()},
    }
    save_atomically(payload, path)


def load_model(path: str | Path, device: torch.device | str = "cpu") -> AbstractModel:
    """Read a model that :func:`save_model` wrote, by path or by the name of a shipped one, ready to predict.

    Only tensors and plain data are read (``torch.load(weights_only=True)``).

    Raises:
        InputError: no such file or name, a corrupt or foreign file, or weights that do not fit.
    """
    payload = read_payload(_locate(path), FORMAT)
    kind, config = str(payload.get("kind")), json.loads(payload["config"])
    if kind not in KINDS:
        raise InputError(f"{path}: expected a model of kind {' or '.join(KINDS)}; got {kind!r}")
    model = getattr(importlib.import_module(KINDS[kind]), kind).from_config(config)
    try:
        model.load_state_dict(payload["state"])
    except RuntimeError as error:
        raise InputError(f"{path}: the weights do not fit the configuration: {str(error).splitlines()[-1]}") from None
    model.card = json.loads(payload["card"])
    return model.to(device).eval()


def open_model(name: str | Path, uhf: bool | None = None) -> AbstractModel:
    """The published method of this name, the model of a file, or a shipped model.

    ``uhf`` is that of :class:`nddo_ml.NDDO`, for methods and hybrids; None leaves it as it is.

    Raises:
        InputError: none of the three; as :func:`load_model`.
    """
    from nddo_ml.methods.tables import METHODS
    from nddo_ml.models.nddo import NDDO

    if str(name).upper() in {key.upper() for key in METHODS}:
        return NDDO(str(name), uhf=uhf)
    if not Path(name).exists() and str(name) not in shipped_models():
        known = ", ".join([*METHODS, *shipped_models()])
        raise InputError(f"{name}: no such file, method or shipped model; methods and shipped models are {known}")
    model = load_model(name)
    if uhf is not None and isinstance(model, NDDO):
        model.uhf = uhf
    return model


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a saved model: data, level of theory, errors, limits, licence.

    Raises:
        InputError: as :func:`load_model`.
    """
    card: dict[str, Any] = json.loads(read_payload(_locate(path), FORMAT)["card"])
    return card


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(p.stem for p in MODELS_DIR.glob("*.pt"))


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


def _locate(path: str | Path) -> Path:
    file = Path(path)
    if file.exists():
        return file
    shipped = MODELS_DIR / f"{path}.pt"
    if shipped.exists():
        return shipped
    names = ", ".join(shipped_models()) or "none"
    raise InputError(f"{path}: no such file, and no shipped model of that name (shipped: {names})")
