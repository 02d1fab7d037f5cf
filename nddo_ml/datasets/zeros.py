"""Energy zeros: per-element energies fitted to data, and data moved from one zero to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from nddo_ml.datasets.dataset import Dataset


def fit_zeros(dataset: Dataset, energy: Tensor) -> dict[str, dict[int, float]]:
    """Per-element energies, eV, by least squares on ``energy`` [structures], for each zero of the data.

    Minimises Σ_s ω_s (E_s − Σ_Z n_sZ e_Z)²/N_s; of several solutions (one composition only) the smallest.
    """
    counts, sizes = dataset.composition, dataset.systems.atoms_per_system.to(torch.float64)
    found = {}
    for name in dict.fromkeys(dataset.zeros):
        chosen = torch.tensor([zero == name for zero in dataset.zeros]) & (dataset.labels.has("energy"))
        if bool(chosen.any()):
            weights = dataset.labels.weights["energy"][chosen] / sizes[chosen]
            solution = per_element(counts[chosen], energy[chosen], weights)
        else:
            solution = torch.zeros(len(dataset.elements), dtype=torch.float64)
        found[name] = dict(zip(dataset.elements, solution.tolist(), strict=True))
    return found


def per_element(counts: Tensor, energy: Tensor, weights: Tensor) -> Tensor:
    """The smallest e [elements] that minimises Σ_s w_s (E_s − Σ_Z n_sZ e_Z)²; counts [structures, elements]."""
    root = weights.sqrt()
    left, right = counts * root[:, None], (energy * root)[:, None]
    return torch.linalg.lstsq(left, right, driver="gelsd").solution[:, 0]


def to_common_zero(dataset: Dataset, zeros: Mapping[str, Mapping[int, float]], zero: Mapping[int, float]) -> Dataset:
    """The data with the energies of every zero moved to the per-element energies ``zero``."""
    elements, names = dataset.elements, list(dict.fromkeys(dataset.zeros))
    rows = torch.tensor([[zero[z] - zeros[name][z] for z in elements] for name in names], dtype=torch.float64)
    shift = rows[[names.index(name) for name in dataset.zeros]]
    energy = dataset.labels.values["energy"] + (dataset.composition * shift).sum(1)
    values = {**dataset.labels.values, "energy": energy}
    return replace(dataset, labels=replace(dataset.labels, values=values))
