"""Models to be trained: from a configuration and the data they will see."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from nddo_ml.datasets.dataset import Dataset
from nddo_ml.errors import InputError
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.pair_functions import PairCorrection
from nddo_ml.hybrid.parameter_shifts import ParameterCorrection
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.saved import load_model
from nddo_ml.terms.dispersion import DispersionD3
from nddo_ml.terms.hydrogen_bonds import HydrogenBondsH4
from nddo_ml.training.options import Keys, check_arguments

BUILDERS: Mapping[str, str] = {  # kind -> module:function of (options, dataset, seed) -> model
    "nnp": "nddo_ml.training.build_nnp:build_nnp",
    "nddo": "nddo_ml.training.build_hybrid:build_nddo",
    "delta": "nddo_ml.training.build_hybrid:build_delta",
    "start": "nddo_ml.training.build:start_from",
}
PARTS: Mapping[str, type] = {  # tables of a hybrid
    "parameters": ParameterCorrection,
    "pairs": PairCorrection,
    "energy": AtomicEnergyCorrection,
    "dispersion": DispersionD3,
    "hydrogen_bonds": HydrogenBondsH4,
}


def check_options(kind: str, options: Mapping[str, Any], keys: Keys) -> None:
    """Check a model's options, and those of its parts, by the annotations of what they are given to.

    Raises:
        OptionError: an option that is unknown, missing, of another type or out of its range.
    """
    check_arguments(_builder(kind), options, keys, ("dataset", "seed"))
    if kind == "delta":
        known = inspect.signature(_builder(kind)).parameters
        energy = {name: value for name, value in options.items() if name not in known}
        check_arguments(AtomicEnergyCorrection, energy, keys, ("features", "seed"))
    for name, part in PARTS.items():
        if kind == "nddo" and options.get(name) is not None:
            check_arguments(part, options[name], (*keys, name), ("features",))


def build_model(kind: str, options: Mapping[str, Any], dataset: Dataset, seed: int) -> AbstractModel:
    """A new model of a kind for the data.

    Raises:
        InputError: an unknown kind or option.
    """
    make = _builder(kind)
    check_options(kind, options, ("model",))
    try:
        return make(dataset, seed, **options)
    except (ValueError, OSError) as error:
        raise InputError(f"model: {error}") from None


def _builder(kind: str) -> Callable[..., AbstractModel]:
    if kind not in BUILDERS:
        raise InputError(f"model.kind must be one of {', '.join(BUILDERS)}; got {kind!r}")
    module, function = BUILDERS[kind].split(":")
    make: Callable[..., AbstractModel] = getattr(import_module(module), function)
    return make


def start_from(dataset: Dataset, seed: int, *, path: str) -> AbstractModel:
    """A saved model, trained further.

    Raises:
        InputError: no such model, or data with an element it does not know.
    """
    model = load_model(path)
    model.check_elements(dataset.systems)
    return model
