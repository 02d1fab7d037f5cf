"""Networks of corrections: they start by changing nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from nddo_ml.elements import number_of
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.networks import ElementNetworks, FeedForward, NetworkShape

ACTIVATION = "silu"
GAIN = 0.1  # of outputs within tanh: one unit of output is then worth some tenths of an eV, and training is stable


def element_networks(
    features: AtomFeatures, hidden: Sequence[int], n_outputs: int, seed: int | None
) -> ElementNetworks:
    """One smooth network an element of the features."""
    functions = features.functions
    shapes = {
        number_of(s): NetworkShape.uniform(functions.features_of(number_of(s)), hidden, ACTIVATION, n_outputs)
        for s in functions.elements
    }
    return ElementNetworks(shapes, seed)


def silent_networks(features: AtomFeatures, hidden: Sequence[int], n_outputs: int, seed: int | None) -> ElementNetworks:
    """The same with outputs of zero."""
    networks = element_networks(features, hidden, n_outputs, seed)
    silence(networks.by_number.values())
    return networks


def silence(networks: Iterable[FeedForward]) -> None:
    """Set the last layers to zero."""
    with torch.no_grad():
        for network in networks:
            network.linears[-1].weight.zero_()
            network.linears[-1].bias.zero_()
