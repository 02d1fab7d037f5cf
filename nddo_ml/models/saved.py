"""Models on disk: one safe file with kind, configuration, weights and a card; no arbitrary pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nddo_ml.errors import InputError
from nddo_ml.methods.tables import METHODS
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.nddo import NDDO
from nddo_ml.models.nnp import NNP
from nddo_ml.storage import VERSION, read_payload, save_atomically

FORMAT = "nddo-ml model"
KINDS: Mapping[str, type[NDDO] | type[NNP]] = {"NNP": NNP, "NDDO": NDDO}
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
    """A model by name, ready to predict: a method, a shipped model, or the file that :func:`save_model` wrote.

    Only tensors and plain data are read (``torch.load(weights_only=True)``).

    Raises:
        InputError: no such file or name, a corrupt or foreign file, or weights that do not fit.
    """
    if str(path).upper() in {name.upper() for name in METHODS}:
        return NDDO(str(path)).to(device)
    payload = read_payload(_locate(path), FORMAT)
    kind, config = str(payload.get("kind")), json.loads(payload["config"])
    if kind not in KINDS:
        raise InputError(f"{path}: expected a model of kind {' or '.join(KINDS)}; got {kind!r}")
    model: AbstractModel = KINDS[kind].from_config(config)
    try:
        model.load_state_dict(payload["state"])
    except RuntimeError as error:
        raise InputError(f"{path}: the weights do not fit the configuration: {str(error).splitlines()[-1]}") from None
    model.card = json.loads(payload["card"])
    return model.to(device).eval()


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


def _locate(path: str | Path) -> Path:
    file = Path(path)
    if file.exists():
        return file
    shipped = MODELS_DIR / f"{path}.pt"
    if shipped.exists():
        return shipped
    known = ", ".join([*METHODS, *shipped_models()])
    raise InputError(f"{path}: no such file, method or shipped model; methods and shipped models are {known}")
