"""Hybrid QM/ML semi-empirical quantum chemistry: NDDO, networks inside it, and Behler–Parrinello potentials.

The public names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from nddo_ml.calculator import NDDOCalculator
    from nddo_ml.checkpoint import load_model, save_model
    from nddo_ml.errors import InputError, NDDOMLError, ResponseError, SCFConvergenceError
    from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
    from nddo_ml.hybrid.features import AtomFeatures
    from nddo_ml.hybrid.pair_functions import PairCorrection
    from nddo_ml.hybrid.parameter_shifts import ParameterCorrection
    from nddo_ml.models import AbstractModel, Prediction
    from nddo_ml.nddo import NDDO
    from nddo_ml.nnp import NNP
    from nddo_ml.systems import Systems

__all__ = [
    "NDDO",
    "NNP",
    "AbstractModel",
    "AtomFeatures",
    "AtomicEnergyCorrection",
    "InputError",
    "NDDOCalculator",
    "NDDOMLError",
    "PairCorrection",
    "ParameterCorrection",
    "Prediction",
    "ResponseError",
    "SCFConvergenceError",
    "Systems",
    "load_model",
    "save_model",
]

_MODULES = {
    "NDDO": "nddo",
    "NNP": "nnp",
    "AbstractModel": "models",
    "InputError": "errors",
    "NDDOCalculator": "calculator",
    "NDDOMLError": "errors",
    "Prediction": "models",
    "ResponseError": "errors",
    "SCFConvergenceError": "errors",
    "AtomFeatures": "hybrid.features",
    "AtomicEnergyCorrection": "hybrid.atomic_energy",
    "PairCorrection": "hybrid.pair_functions",
    "ParameterCorrection": "hybrid.parameter_shifts",
    "Systems": "systems",
    "load_model": "checkpoint",
    "save_model": "checkpoint",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("nddo-ml")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
