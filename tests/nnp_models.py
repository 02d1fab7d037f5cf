"""Small untrained potentials."""

from __future__ import annotations

import torch
from places import DATA

from bp_descriptors import Scaler, SymmetryFunctions, neighbor_list, pair_vectors
from nddo_ml import Systems
from nddo_ml.electrostatics.charges import EquilibratedCharges, FixedCharges, NetworkCharges, PublishedCharges
from nddo_ml.electrostatics.model import Electrostatics
from nddo_ml.models.nnp import NNP
from nddo_ml.networks import ElementNetworks, NetworkShape

__all__ = ["DATA", "make_nnp"]


def make_nnp(
    elements=("H", "C", "O"), frames=None, members=1, seed=0, cutoff=4.0, hidden=(8, 8), charges="none", anchored=False
):
    """An untrained potential with random weights, scaled on ``frames`` where given; ``charges`` as in a training."""
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
    widths, as_inputs = {z: 0.3 + 0.05 * z for z in numbers}, charges == "qeq"
    shapes = {z: NetworkShape.uniform(functions.features_of(z) + as_inputs, hidden) for z in numbers}
    own = {z: NetworkShape.uniform(functions.features_of(z), (5,)) for z in numbers}
    networks = [ElementNetworks(shapes, seed + k) for k in range(members)]
    far = None
    if charges != "none":
        made = {
            "qeq": lambda net: EquilibratedCharges(net, {z: 2.0 + 0.1 * z for z in numbers}, 2.0),
            "charges": NetworkCharges,
            "fixed": lambda net: FixedCharges({z: 0.3 - 0.1 * z for z in numbers}),
            "eeq": lambda net: PublishedCharges(),
        }[charges]
        models = [made(ElementNetworks(own, seed + 100 + k)) for k in range(members)]
        far = Electrostatics(charges, models, widths, screening=(1.5, 4.0), as_inputs=as_inputs)
    zeros = {z: -1.0 * z for z in numbers}
    return NNP(
        functions, scaler, networks, zeros, energy_scale=0.5, electrostatics=far, anchored=anchored or far is not None
    )
