"""Electrostatics to be trained: charges, widths and screening from a configuration and the data."""

from __future__ import annotations

from typing import Literal

import torch

from bp_descriptors import SymmetryFunctions
from nddo_ml.datasets.dataset import Dataset
from nddo_ml.electrostatics.charges import (
    ChargeModel,
    EquilibratedCharges,
    FixedCharges,
    NetworkCharges,
    PublishedCharges,
)
from nddo_ml.electrostatics.model import Electrostatics
from nddo_ml.elements import covalent_radii
from nddo_ml.networks import ElementNetworks, NetworkShape

Kind = Literal["none", "fixed", "eeq", "charges", "qeq"]
HARDNESS = 5.0  # eV/e², at the start of a training
ELECTRONEGATIVITY = 2.0  # eV/e, what one unit of a network's output is worth
INNER = 0.6  # of the screening, over the outer distance, which is the cut-off
_WIDTH = 1.3  # Å, of elements without a covalent radius


def build_electrostatics(
    kind: Kind,
    dataset: Dataset,
    functions: SymmetryFunctions,
    seed: int,
    *,
    hidden: tuple[int, ...],
    activation: str,
    screening: tuple[float, float] | None,
    as_inputs: bool,
) -> Electrostatics | None:
    """Charges of a kind for the data, Gaussian with covalent radii for widths; None for "none".

    Fixed charges start from the mean of the labels of each element. ``screening`` left out is from 0.6 cut-offs to the
    cut-off.
    """
    if kind == "none":
        return None
    radii = covalent_radii(torch.arange(120), torch.float64)
    widths = {z: float(radii[z]) or _WIDTH for z in dataset.elements}
    shapes = {z: NetworkShape.uniform(functions.features_of(z), hidden, activation) for z in dataset.elements}
    charges: ChargeModel
    if kind == "fixed":
        charges = FixedCharges(_mean_charges(dataset))
    elif kind == "eeq":
        charges = PublishedCharges()
    elif kind == "charges":
        charges = NetworkCharges(ElementNetworks(shapes, seed))
    else:
        networks = ElementNetworks(shapes, seed)
        charges = EquilibratedCharges(networks, dict.fromkeys(dataset.elements, HARDNESS), ELECTRONEGATIVITY)
    distances = screening or (INNER * functions.cutoff, functions.cutoff)
    return Electrostatics(kind, [charges], widths, screening=distances, as_inputs=as_inputs)


def _mean_charges(dataset: Dataset) -> dict[int, float]:
    """Means of the labels by atomic number, 0 without labels."""
    labelled = dataset.labels.has("charges")[dataset.systems.system_idx]
    means = {}
    for z in dataset.elements:
        values = dataset.labels.values["charges"][labelled & (dataset.systems.numbers == z)]
        means[z] = float(values.mean()) if values.numel() else 0.0
    return means
