"""A linear potential fitted to the forces of a data set: what the forces say about its energies and stresses."""

from __future__ import annotations

import torch

from nddo_ml.datasets.checks import LinearPrediction
from nddo_ml.datasets.dataset import Dataset
from nddo_ml.predictors.cached import CachedNNP

SAMPLE = 100  # structures that the potential is fitted to
SILENT, SAME = 1e-8, 1e-6  # derivatives below this, or this part of the largest, are zero but for rounding
FREE = 0.5  # of the forces that a structure without symmetry would have


def predict_from_forces(cached: CachedNNP, dataset: Dataset) -> LinearPrediction | None:
    """E = Σ_i w(Z_i)·G_i with w by least squares on the forces; None when no structure's forces tell anything.

    Lone atoms, and cells whose symmetry leaves few forces (strained perfect crystals), are left out: forces tell little
    of how their energies differ. Needs no trained model: the equations come from the cached derivatives in a moment.
    """
    chosen = torch.nonzero(dataset.labels.has("forces")).squeeze(1)
    chosen = chosen[dataset.labels.values["energy"][chosen].argsort(stable=True)]  # whatever the order of the frames
    structures, normal, right = [], torch.zeros(()), torch.zeros(())
    energies, stresses = [], []
    for k in chosen[:: max(1, len(chosen) // SAMPLE)].tolist():
        energy, forces, stress = cached.linear_design(k, dataset.elements)
        free = min(forces.shape[1], max(1, forces.shape[0] - 6))
        if int(torch.linalg.matrix_rank(forces, atol=SILENT, rtol=SAME)) < FREE * free:
            continue
        structures.append(k)
        normal = normal + forces.T @ forces
        right = right + forces.T @ dataset.select([k]).labels.values["forces"].reshape(-1)
        energies.append(energy)
        stresses.append(torch.full((9, len(energy)), torch.nan) if stress is None else stress)
    if not structures:
        return None
    ridge = 1e-7 * float(normal.diagonal().mean())
    solution = torch.linalg.solve(normal + ridge * torch.eye(len(normal), dtype=normal.dtype), right)
    stress_all = torch.stack([stress.to(solution) @ solution for stress in stresses]).reshape(-1, 3, 3)
    return LinearPrediction(structures, torch.stack(energies) @ solution, stress_all)
