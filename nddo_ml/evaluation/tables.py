"""Errors of a model on labelled structures: MAE and RMSE by label, in all and by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nddo_ml.datasets.dataset import LABELS, Dataset
from nddo_ml.datasets.stress_order import find_orders, message, reordered
from nddo_ml.datasets.zeros import fit_zeros, per_element, to_common_zero
from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.evaluation.residuals import errors, label_weights
from nddo_ml.models.base import AbstractModel, Prediction
from nddo_ml.predictors.direct import DirectPredictor, Predictor

UNITS: Mapping[str, str] = {
    "energy": "eV",
    "energy_per_atom": "eV/atom",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "dipole": "e·Å",
    "charges": "e",
}


@dataclass(frozen=True)
class Table:
    """Predicted and reference values of one label, flat, with each value's structure."""

    predicted: Tensor  # [values]
    reference: Tensor  # [values]
    structure: Tensor  # [values] int64

    def errors(self, chosen: Tensor | None = None) -> dict[str, float]:
        """MAE, RMSE, largest error and number of values; ``chosen`` [structures] bool restricts them."""
        error = self.predicted - self.reference
        if chosen is not None:
            error = error[chosen[self.structure]]
        return {
            "mae": float(error.abs().mean()),
            "rmse": float(error.square().mean().sqrt()),
            "max": float(error.abs().max()),
            "n": error.numel(),
        }


def tabulate(
    model: AbstractModel, dataset: Dataset, batch: int = 16, predictor: Predictor | None = None
) -> dict[str, Table]:
    """Predictions beside the labels that are there; the energy in total and per atom.

    Labels that the model does not predict are left out.

    Raises:
        InputError: no labels at all, an element the model does not know (with file and frame).
    """
    if not dataset.present:
        raise InputError("expected at least one label (energy, forces, stress, dipole, charges); the data have none")
    predictor = predictor or DirectPredictor(model, dataset.systems)
    parts: dict[str, list[Table]] = {}
    for index in torch.arange(len(dataset)).split(batch):
        some = dataset.select(index)
        wants = {name: bool((some.labels.has(name)).any()) for name in LABELS}
        try:
            prediction = predictor(index, forces=wants["forces"], stress=wants["stress"])
        except InputError as error:
            raise InputError(f"{_frame_of(some, model)}: {error}") from None
        for name in some.present:
            if getattr(prediction, name) is not None:
                for key, table in _tables(name, prediction, some, index).items():
                    parts.setdefault(key, []).append(table)
    return {key: _joined(tables) for key, tables in parts.items()}


def summarize(tables: Mapping[str, Table], dataset: Dataset) -> dict[str, Any]:
    """Errors by label, and by label and group when there are several groups; plain data."""
    groups = sorted(set(dataset.groups))
    result: dict[str, Any] = {"structures": len(dataset), "labels": {}}
    for key, table in tables.items():
        entry: dict[str, Any] = {"unit": UNITS[key], **table.errors()}
        if len(groups) > 1:
            entry["groups"] = {}
            for group in groups:
                chosen = torch.tensor([g == group for g in dataset.groups])
                if bool(chosen[table.structure].any()):
                    entry["groups"][group] = table.errors(chosen)
        if key == "stress":
            entry |= _stress_note(table, dataset)
        result["labels"][key] = entry
    return result


def zero_fitted_errors(tables: Mapping[str, Table], dataset: Dataset) -> dict[str, dict[str, float]]:
    """Errors of the energies, in total and per atom, after per-element energies are fitted to them."""
    if "energy" not in tables:
        return {}
    energy = tables["energy"]
    counts = dataset.composition[energy.structure]
    sizes = counts.sum(1)
    difference = (energy.reference - energy.predicted).to(counts)
    moved = energy.predicted + counts @ per_element(counts, difference, 1.0 / sizes)
    return {
        "energy": Table(moved, energy.reference, energy.structure).errors(),
        "energy_per_atom": Table(moved / sizes, energy.reference / sizes, energy.structure).errors(),
    }


def _stress_note(table: Table, dataset: Dataset) -> dict[str, Any]:
    """Says when the labels' off-diagonal components look exchanged, and the errors with them exchanged back."""
    predicted, reference = table.predicted.reshape(-1, 3, 3), table.reference.reshape(-1, 3, 3)
    names = [dataset.groups[k] for k in table.structure[::9].tolist()]
    orders = find_orders(predicted, reference, names)
    if not orders:
        return {}
    fixed = Table(table.predicted, reordered(reference, names, orders).reshape(-1), table.structure)
    return {"note": message(orders), "with_components_in_order": fixed.errors()}


def _tables(name: str, prediction: Prediction, some: Dataset, index: Tensor) -> dict[str, Table]:
    systems = some.systems
    error = errors(name, prediction, some.labels, systems, per_atom_energy=False).detach().cpu()
    reference = some.labels.values[name]
    here = label_weights(name, some.labels, systems, prediction) > 0
    structure = index[systems.system_idx] if LABELS[name][0] else index
    structure = structure.reshape(-1, *[1] * (reference.ndim - 1)).expand(reference.shape)
    table = Table((reference + error)[here].reshape(-1), reference[here].reshape(-1), structure[here].reshape(-1))
    if name != "energy":
        return {name: table}
    size = systems.atoms_per_system[here].to(reference.dtype)
    return {
        "energy": table,
        "energy_per_atom": Table(table.predicted / size, table.reference / size, table.structure),
    }


def _joined(tables: list[Table]) -> Table:
    return Table(
        torch.cat([t.predicted for t in tables]),
        torch.cat([t.reference for t in tables]),
        torch.cat([t.structure for t in tables]),
    )


def _frame_of(some: Dataset, model: AbstractModel) -> str:
    """File and frame of the first structure with an element the model lacks, else the batch's range."""
    for atom, number in enumerate(some.systems.numbers.tolist()):
        if number not in model.elements:
            return some.origins[int(some.systems.system_idx[atom])]
    return f"{some.origins[0]} to {some.origins[-1]}"


def fitted_zeros(model: AbstractModel, dataset: Dataset, batch: int = 128) -> dict[str, dict[int, float]]:
    """Per-element energies, eV, of each zero of the data relative to the model's zero, by least squares.

    Structures whose SCF does not converge take no part.
    """
    difference = torch.zeros(len(dataset), dtype=torch.float64)
    weights = dataset.labels.weights["energy"].clone()
    predictor = DirectPredictor(model, dataset.systems)
    for index in torch.arange(len(dataset)).split(batch):
        prediction = predictor(index, forces=False, stress=False)
        difference[index] = dataset.labels.values["energy"][index] - prediction.energy.detach().cpu().double()
        if prediction.scf is not None:
            weights[index] *= prediction.scf.converged.cpu().to(weights)
    labels = replace(dataset.labels, weights={**dataset.labels.weights, "energy": weights})
    return fit_zeros(replace(dataset, labels=labels), difference)


def with_fitted_zero(model: AbstractModel, dataset: Dataset, batch: int = 128) -> Dataset:
    """The data with energies moved to the model's zero by :func:`fitted_zeros`."""
    zeros = fitted_zeros(model, dataset, batch)
    return to_common_zero(dataset, zeros, dict.fromkeys(dataset.elements, 0.0))


def check_elements(model: AbstractModel, data: Dataset) -> None:
    """Raise InputError, by file and frame, when data have an element that the model does not know."""
    for atom, number in enumerate(data.systems.numbers.tolist()):
        if number not in model.elements:
            known = " ".join(symbol_of(z) for z in sorted(model.elements))
            origin = data.origins[int(data.systems.system_idx[atom])]
            raise InputError(f"{origin}: the model has no element {symbol_of(number)}; it has {known}")
