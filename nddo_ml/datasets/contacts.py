"""Nearest neighbours of a data set's atoms."""

from __future__ import annotations

import torch
from torch import Tensor

from bp_descriptors import neighbor_list, pair_vectors
from nddo_ml.datasets.dataset import Dataset

LARGEST = 6.0  # Å; atoms farther apart are no neighbours here
SAMPLE = 200  # structures looked at


def nearest_contacts(dataset: Dataset) -> tuple[Tensor, Tensor, Tensor]:
    """Distance in Å of each atom that has a neighbour to its nearest one, and both atomic numbers."""
    some, _ = dataset.systems.select_with_atoms(torch.arange(len(dataset))[:: max(1, len(dataset) // SAMPLE)])
    pairs = neighbor_list(some.positions, LARGEST, some.system_idx, some.cell, some.pbc)
    distance = pair_vectors(some.positions, pairs, some.system_idx, some.cell).norm(dim=1)
    start = torch.full((some.n_atoms,), torch.inf, dtype=distance.dtype)
    nearest = start.scatter_reduce(0, pairs.i, distance, "amin")
    here = torch.nonzero(distance == nearest[pairs.i]).squeeze(1)
    return distance[here], some.numbers[pairs.i[here]], some.numbers[pairs.j[here]]
