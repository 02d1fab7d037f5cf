"""The loss: weighted mean squares of label errors, exact over batches that are split among processes.

L = Σ_label w_label · (Σ_s ω_s Σ_c δ_sc²) / (Σ_s ω_s n_s), with δ the error (the energy's per atom), ω_s a
structure's weight, zero where the label is missing, and n_s the number of its components. A hybrid's shifts may be
held small by a penalty on the mean of their squares. Relative energies add w Σ_s ω_s (δ_s − δ̄)² / Σ_s ω_s, with δ
the error of the whole energy and δ̄ its mean over those structures of a part that are of the same family (molecule).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.datasets.dataset import LABELS, Labels
from nddo_ml.errors import InputError
from nddo_ml.evaluation.residuals import errors, label_weights
from nddo_ml.models.base import Prediction
from nddo_ml.systems import Systems

RELATIVE = "relative"


@dataclass(frozen=True)
class Loss:
    """Weights of the labels (1/unit²) and, optionally, the error beyond which the loss grows linearly."""

    weights: Mapping[str, float]
    huber: Mapping[str, float]  # label -> δ; Huber's function instead of the square where given
    shifts: float = 0.0  # of the penalty on a hybrid's shifts
    relative: float = 0.0  # 1/eV², of energies relative to the mean of a family

    def __post_init__(self) -> None:
        for name in (*self.weights, *(n for n in self.huber if n != RELATIVE)):
            if name not in LABELS:
                raise InputError(f"a loss's labels are {', '.join(LABELS)}; got {name!r}")
        if not any(w > 0 for w in self.weights.values()) or any(w < 0 for w in self.weights.values()):
            raise InputError(
                f"loss weights must be positive for one label and never negative; got {dict(self.weights)}"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels with a positive weight."""
        return tuple(name for name in LABELS if self.weights.get(name, 0.0) > 0)

    def normalizers(self, labels: Labels, sizes: Tensor) -> dict[str, float]:
        """Σ_s ω_s n_s of each label over a whole batch; ``sizes`` [systems] are its numbers of atoms."""
        found = {}
        for name in self.labels:
            per_atom, shape, *_ = LABELS[name]
            n = sizes * 0 + int(torch.Size(shape).numel()) if not per_atom else sizes * int(torch.Size(shape).numel())
            found[name] = float((labels.weights[name] * n).sum())
        found["shifts"] = float(sizes.shape[0])
        found[RELATIVE] = float(labels.weights["energy"].sum())
        return found

    def __call__(
        self,
        prediction: Prediction,
        labels: Labels,
        systems: Systems,
        normalizers: Mapping[str, float],
        families: Tensor | None = None,
    ) -> Tensor:
        """This part's share of the loss, a scalar; shares of all parts of a batch add up to its loss.

        Labels that ``normalizers`` lacks are left out; ``families`` [systems] are for relative energies.

        Raises:
            InputError: the model does not predict a label that the loss has and the data carry.
        """
        total = prediction.energy.new_zeros(())
        for name in self.labels:
            if normalizers.get(name, 0.0) > 0:
                error = errors(name, prediction, labels, systems, per_atom_energy=True)
                value = self._penalty(name, error)
                weight = label_weights(name, labels, systems, prediction)
                value = torch.where(weight > 0, value, 0.0)  # the value of a masked system is not a number
                total = total + self.weights[name] / normalizers[name] * (value * weight.to(value)).sum()
        if self.relative > 0 and families is not None and normalizers.get(RELATIVE, 0.0) > 0:
            total = total + self.relative / normalizers[RELATIVE] * self._of_families(
                prediction, labels, systems, families
            )
        if self.shifts > 0 and prediction.shift_size is not None:
            total = total + self.shifts / normalizers["shifts"] * prediction.shift_size.nansum()
        return total

    def _of_families(self, prediction: Prediction, labels: Labels, systems: Systems, families: Tensor) -> Tensor:
        """Σ_s ω_s (δ_s − δ̄)², or Huber's function."""
        error = errors("energy", prediction, labels, systems, per_atom_energy=False)
        weight = label_weights("energy", labels, systems, prediction).to(error)
        error = torch.where(weight > 0, error, 0.0)
        _, family = families.unique(return_inverse=True)
        sums = error.new_zeros(2, int(family.max()) + 1).index_add(1, family, torch.stack((weight * error, weight)))
        mean = sums[0] / sums[1].clamp(min=torch.finfo(error.dtype).tiny)
        return (self._penalty(RELATIVE, error - mean[family]) * weight).sum()

    def _penalty(self, name: str, error: Tensor) -> Tensor:
        """Squared errors (or Huber's function) summed over components, one a system or atom."""
        if name in self.huber:
            delta = self.huber[name]
            value = 2 * torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
        else:
            value = error * error
        return value.reshape(value.shape[0], -1).sum(1)
