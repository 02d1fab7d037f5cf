"""A linear potential fitted to the forces of a data set: what the forces say about its energies and stresses."""

from __future__ import annotations

import torch

from nddo_ml.datasets.checks import LinearPrediction
from nddo_ml.datasets.dataset import Dataset
from nddo_ml.predictors.cached import CachedNNP

SAMPLE = 100  # structures that the potential is fitted to


def predict_from_forces(cached: CachedNNP, dataset: Dataset) -> LinearPrediction | None:
    """E = Σ_i w(Z_i)·G_i with w by least squares on the forces; None when no structure has forces that
    could tell, of lone atoms or of cells without forces by symmetry.

    Needs no trained model: the equations come from the cached derivatives in a moment.
    """
    chosen = torch.nonzero(dataset.labels.has("forces")).squeeze(1)
    structures = chosen[:: max(1, len(chosen) // SAMPLE)].tolist()
    if not structures:
        return None
    normal = right = torch.zeros(())
    energies, stresses = [], []
    for k in structures:
        energy, forces, stress = cached.linear_design(k, dataset.elements)
        target = dataset.select([k]).labels.values["forces"].reshape(-1)
        normal = normal + forces.T @ forces
        right = right + forces.T @ target
        energies.append(energy)
        stresses.append(torch.full((9, len(energy)), torch.nan) if stress is None else stress)
    mean = float(normal.diagonal().mean())
    if not mean > 0:
        return None  # lone atoms, or cells whose symmetry leaves no force: they say nothing
    solution = torch.linalg.solve(normal + 1e-7 * mean * torch.eye(len(normal), dtype=normal.dtype), right)
    stress_all = torch.stack([stress.to(solution) @ solution for stress in stresses]).reshape(-1, 3, 3)
    return LinearPrediction(structures, torch.stack(energies) @ solution, stress_all)
