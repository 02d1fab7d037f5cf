"""Predictions of a hybrid that start from the last density of each structure."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.models.base import Prediction
from nddo_ml.models.nddo import NDDO
from nddo_ml.systems import Systems


class WarmStarts:
    """An NDDO on the structures of a data set, each started from its density of the last time.

    Structures whose field does not converge are masked: their results are NaN and ``scf.converged`` is False.
    """

    def __init__(self, model: NDDO, systems: Systems) -> None:
        self.model = model
        self.systems = systems
        self.densities: list[Tensor | None] = [None] * systems.n_systems  # [spin, M, M], float32

    def __call__(self, index: Tensor, *, forces: bool, stress: bool) -> Prediction:
        new = torch.tensor([k for k in index.tolist() if self.densities[k] is None], dtype=torch.int64)
        if new.numel():
            with torch.no_grad():
                self._keep(new, self.model(self._take(new), on_failure="mask"))
        systems = self._take(index)
        start = self._start(index, systems)
        prediction = self.model(systems, forces=forces, stress=stress, start=start, on_failure="mask")
        self._keep(index, prediction)
        return prediction

    def _take(self, index: Tensor) -> Systems:
        return self.systems.select_with_atoms(index)[0].to(next(self.model.parameters()).device)

    def _keep(self, index: Tensor, prediction: Prediction) -> None:
        scf = prediction.scf
        if scf is None:
            return
        sizes = scf.real_rows.sum(dim=1).tolist()
        good = scf.converged.tolist()
        for k, structure in enumerate(index.tolist()):
            block = scf.density[k, :, : sizes[k], : sizes[k]]
            # one that failed starts afresh the next time
            self.densities[structure] = block.detach().float().clone() if good[k] else None

    def _start(self, index: Tensor, systems: Systems) -> Tensor | None:
        stored = [self.densities[k] for k in index.tolist()]
        if any(p is None for p in stored):
            return None
        found = [p for p in stored if p is not None]
        spins, size = max(p.shape[0] for p in found), max(p.shape[1] for p in found)
        start = systems.positions.new_zeros(len(found), spins, size, size)
        for k, p in enumerate(found):
            start[k, :, : p.shape[1], : p.shape[2]] = p
        return start
