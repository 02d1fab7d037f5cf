"""Which predictor serves a model on a data set."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.datasets.dataset import Dataset
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.nddo import NDDO
from nddo_ml.models.nnp import NNP
from nddo_ml.predictors.cached import CachedNNP, cache_bytes
from nddo_ml.predictors.direct import DirectPredictor, Predictor
from nddo_ml.predictors.frozen_field import FrozenField
from nddo_ml.predictors.warm_starts import WarmStarts
from nddo_ml.systems import Systems

CACHE_LIMIT = 6 * 2**30  # bytes of cached derivatives; beyond it forces are computed directly


def predictor_for(model: AbstractModel, dataset: Dataset) -> Predictor:
    """How a training asks the model for structures of the data set.

    A field starts from each structure's last density or, where only atomic energies are trained, stays as it is;
    a potential's descriptors are kept, as long as they fit into memory.
    """
    systems, weights = dataset.systems, dataset.labels.weights
    if isinstance(model, NDDO):
        serves = FrozenField.serves(model)
        return FrozenField(model, systems, weights["forces"] > 0) if serves else WarmStarts(model, systems)
    if isinstance(model, NNP):
        needs_derivatives = (weights["forces"] > 0) | (weights["stress"] > 0)
        if _can_be_cached(model, systems, needs_derivatives):
            return CachedNNP(model, systems, needs_derivatives, torch.float32)
    return DirectPredictor(model, systems)


def _can_be_cached(model: NNP, systems: Systems, needs_derivatives: Tensor) -> bool:
    on_cpu = systems.positions.device.type == "cpu"
    return on_cpu and cache_bytes(model, systems, needs_derivatives) < CACHE_LIMIT
