"""Hybrid QM/ML semi-empirical quantum chemistry: NDDO, networks inside it, and Behler–Parrinello potentials.

The public names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nddo_ml import moved

if TYPE_CHECKING:
    from nddo_ml.errors import InputError, NDDOMLError, ResponseError, SCFConvergenceError
    from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
    from nddo_ml.hybrid.features import AtomFeatures
    from nddo_ml.hybrid.pair_functions import PairCorrection
    from nddo_ml.hybrid.parameter_shifts import ParameterCorrection
    from nddo_ml.models.base import AbstractModel, Prediction
    from nddo_ml.models.nddo import NDDO
    from nddo_ml.models.nnp import NNP
    from nddo_ml.models.saved import load_model, save_model
    from nddo_ml.scf.loop import SCFOptions
    from nddo_ml.systems import Systems
    from nddo_ml.workflows.calculator import NDDOCalculator

    __version__: str

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
    "SCFOptions",
    "Systems",
    "load_model",
    "save_model",
]

_MODULES = {
    "NDDO": "models.nddo",
    "NNP": "models.nnp",
    "AbstractModel": "models.base",
    "InputError": "errors",
    "NDDOCalculator": "workflows.calculator",
    "NDDOMLError": "errors",
    "Prediction": "models.base",
    "ResponseError": "errors",
    "SCFConvergenceError": "errors",
    "AtomFeatures": "hybrid.features",
    "AtomicEnergyCorrection": "hybrid.atomic_energy",
    "PairCorrection": "hybrid.pair_functions",
    "ParameterCorrection": "hybrid.parameter_shifts",
    "SCFOptions": "scf.loop",
    "Systems": "systems",
    "load_model": "models.saved",
    "save_model": "models.saved",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("nddo-ml")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


moved.install()
