"""Models on disk: one safe file with kind, configuration, weights and a card; no arbitrary pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from nddo_ml.environments.solvents import of_record
from nddo_ml.errors import InputError
from nddo_ml.methods.tables import METHODS
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.nddo import NDDO
from nddo_ml.models.nnp import NNP
from nddo_ml.storage import VERSION, check_tensors, entry, read_payload, save_atomically

FORMAT = "nddo-ml model"
KINDS: Mapping[str, type[NDDO] | type[NNP]] = {"NNP": NNP, "NDDO": NDDO}
_LARGEST_OPTION = 100_000  # of settings that are no widths, such as numbers of iterations
MODELS_DIR = Path(__file__).parents[1] / "data" / "models"


def save_model(model: AbstractModel, path: str | Path, card: Mapping[str, Any] | None = None) -> None:
    """Write a model, atomically: class name, ``to_config()``, ``state_dict()`` and a card of plain data.

    Raises:
        InputError: a model class that :func:`load_model` could not read back; surroundings other than a solvent.
    """
    kind = type(model).__name__
    if kind not in KINDS:
        raise InputError(f"only {' and '.join(KINDS)} can be saved; got {kind}")
    around = None if model.environment is None else model.environment.record()
    if around is not None and set(around) != {"solvent"}:
        raise InputError("a model is saved without its surroundings, but for a solvent; expected environment=None")
    payload = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "config": json.dumps({**model.to_config(), **(around or {})}),
        "card": json.dumps(dict(card or {})),
        "state": {key: _compact(value.detach().cpu()) for key, value in model.state_dict().items()},
    }
    save_atomically(payload, path)


def _compact(value: torch.Tensor) -> torch.Tensor:
    """In half or single precision where that holds every number exactly."""
    for dtype in (torch.float16, torch.float32) if value.dtype == torch.float64 else ():
        if torch.equal(value.to(dtype).double(), value):
            return value.to(dtype)
    return value


def load_model(path: str | Path, device: torch.device | str = "cpu") -> AbstractModel:
    """A model by name, ready to predict: a method, a shipped model, or the file that :func:`save_model` wrote.

    Only tensors and plain data are read (``torch.load(weights_only=True)``), and the file must fit its checksum.

    Raises:
        InputError: no such file or name, a changed, corrupt or foreign file, weights that do not fit or are not finite.
    """
    if str(path).upper() in {name.upper() for name in METHODS}:
        return NDDO(str(path)).to(device)
    payload = read_payload(_locate(path), FORMAT)
    kind = entry(payload, "kind", str, path)
    if kind not in KINDS:
        raise InputError(f"{path}: expected a model of kind {' or '.join(KINDS)}; got {kind!r:.80}")
    config, card = _plain(payload, "config", path), _plain(payload, "card", path)
    state = entry(payload, "state", dict, path)
    check_tensors(state, path)
    _check_widths(config, sum(value.numel() for value in state.values()), path)
    try:
        model: AbstractModel = KINDS[kind].from_config(config)
        if "solvent" in config:
            model.surround(of_record({"solvent": config["solvent"]}))
    except (InputError, KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise InputError(f"{path}: {_reason(error)}") from None
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"{path}: the weights do not fit the configuration: {str(error).splitlines()[-1]}") from None
    model.card = card
    return model.to(device).eval()


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a saved model: data, level of theory, errors, limits, licence.

    Raises:
        InputError: as :func:`load_model`.
    """
    return _plain(read_payload(_locate(path), FORMAT), "card", path)


def _plain(payload: Mapping[str, Any], key: str, path: str | Path) -> dict[str, Any]:
    """A table of plain data that stands in a payload as JSON."""
    text = entry(payload, key, str, path)
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: {key} must be JSON; it cannot be read") from None
    if not isinstance(table, dict):
        raise InputError(f"{path}: {key} must be a table; got {table!r:.80}")
    return table


def _check_widths(config: Any, n_weights: int, path: str | Path) -> None:
    """Refuse layers that the file has no weights for before memory is set aside for them."""
    for key, value in config.items() if isinstance(config, Mapping) else enumerate(config):
        if key == "hidden" and isinstance(value, list) and all(isinstance(n, int) for n in value):
            if any(a * b > n_weights for a, b in pairwise([1, *value, 1])):
                raise InputError(f"{path}: hidden layers {value} do not fit a file of {n_weights} numbers")
        elif isinstance(value, Mapping | list):
            _check_widths(value, n_weights, path)
        elif isinstance(value, int) and value > max(n_weights, _LARGEST_OPTION):
            raise InputError(f"{path}: {key} does not fit a file of {n_weights} numbers; got {value}")


def _reason(error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    return (
        f"not the configuration of a model ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
    )


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
