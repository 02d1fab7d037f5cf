"""Hybrid QM/ML semi-empirical quantum chemistry: NDDO, networks inside it, and Behler–Parrinello potentials."""

from nddo_ml.checkpoint import load_model, save_model
from nddo_ml.errors import InputError, NDDOMLError, SCFConvergenceError
from nddo_ml.models import AbstractModel, Prediction
from nddo_ml.nddo import NDDO
from nddo_ml.nnp import NNP
from nddo_ml.systems import Systems

__all__ = [
    "NDDO",
    "NNP",
    "AbstractModel",
    "InputError",
    "NDDOMLError",
    "Prediction",
    "SCFConvergenceError",
    "Systems",
    "load_model",
    "save_model",
]
__version__ = "0.1.0"
