"""Residuals of predictions against labels."""

from __future__ import annotations

from torch import Tensor

from nddo_ml.datasets.dataset import LABELS, Labels
from nddo_ml.errors import InputError
from nddo_ml.models.base import Prediction
from nddo_ml.systems import Systems


def errors(name: str, prediction: Prediction, labels: Labels, systems: Systems, *, per_atom_energy: bool) -> Tensor:
    """Prediction minus label; the energy's divided by the number of atoms where asked.

    Raises:
        InputError: the model does not predict this label.
    """
    predicted = getattr(prediction, name)
    if predicted is None:
        raise InputError(f"the loss asks for {name}, which this model does not predict")
    error = predicted - labels.values[name].to(predicted)
    return error / systems.atoms_per_system.to(error) if name == "energy" and per_atom_energy else error


def label_weights(name: str, labels: Labels, systems: Systems, prediction: Prediction | None = None) -> Tensor:
    """Weight of each system or atom, zero where the label is missing or the SCF did not converge."""
    weight = labels.weights[name]
    if prediction is not None and prediction.scf is not None:
        weight = weight * prediction.scf.converged.to(weight)
    return weight[systems.system_idx] if LABELS[name][0] else weight
