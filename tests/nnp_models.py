"""Small untrained potentials."""

from __future__ import annotations

import torch
from places import DATA

from bp_descriptors import Scaler, SymmetryFunctions, neighbor_list, pair_vectors
from nddo_ml import Systems
from nddo_ml.models.nnp import NNP
from nddo_ml.networks import ElementNetworks, NetworkShape

__all__ = ["DATA", "make_nnp"]


def make_nnp(elements=("H", "C", "O"), frames=None, members=1, seed=0, cutoff=4.0, hidden=(8, 8)):
    """An untrained potential with random weights, scaled on ``frames`` where given."""
    functions = SymmetryFunctions.default(list(elements), cutoff, size="small")
    if frames is None:
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        statistics[1] = statistics[3] = 1.0
        scaler = Scaler(functions, statistics)
    else:
        s = Systems.from_ase(frames)
        pairs = neighbor_list(s.positions, cutoff, s.system_idx, s.cell, s.pbc)
        g = functions(s.numbers, pair_vectors(s.positions, pairs, s.system_idx, s.cell), pairs)
        scaler = Scaler.fit(functions, [(g, s.numbers)])
    numbers = [{"H": 1, "C": 6, "N": 7, "O": 8, "Si": 14}[e] for e in functions.elements]
    shapes = {z: NetworkShape.uniform(functions.features_of(z), hidden) for z in numbers}
    networks = [ElementNetworks(shapes, seed + k) for k in range(members)]
    return NNP(functions, scaler, networks, {z: -1.0 * z for z in numbers}, energy_scale=0.5)
