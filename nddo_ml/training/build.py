"""Models to be trained: from a configuration and the data they will see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from nddo_ml.datasets.dataset import Dataset
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.saved import load_model

BUILDERS: Mapping[str, str] = {  # kind -> module:function of (options, dataset, seed) -> model
    "nnp": "nddo_ml.training.build_nnp:build_nnp",
    "nddo": "nddo_ml.training.build_hybrid:build_nddo",
    "delta": "nddo_ml.training.build_hybrid:build_delta",
    "start": "nddo_ml.training.build:start_from",
}


def build_model(kind: str, options: Mapping[str, Any], dataset: Dataset, seed: int) -> AbstractModel:
    """A new model of a kind for the data.

    Raises:
        InputError: an unknown kind or option.
    """
    if kind not in BUILDERS:
        raise InputError(f"model.kind must be one of {', '.join(BUILDERS)}; got {kind!r}")
    module, function = BUILDERS[kind].split(":")
    make: Callable[..., AbstractModel] = getattr(import_module(module), function)
    try:
        return make(dataset, seed, **options)
    except TypeError as error:
        raise InputError(f"model: {str(error).split(') ', 1)[-1]}") from None
    except ValueError as error:
        raise InputError(f"model: {error}") from None


def start_from(dataset: Dataset, seed: int, *, path: str) -> AbstractModel:
    """A saved model, trained further.

    Raises:
        InputError: no such model, or data with an element it does not know.
    """
    model = load_model(path)
    model.check_elements(dataset.systems)
    return model
