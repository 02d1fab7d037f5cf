"""Trust in atoms in closed form: what :class:`nddo_ml.hybrid.domain.Domain` defines, and the way back to its features.

Most atoms lie inside, where trust is one and has no slope; they cost two products of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nddo_ml.core.pairs import poly2
from nddo_ml.hybrid.domain import LEAST, SHARPNESS, Domain


@dataclass(frozen=True)
class _Outside:
    """Atoms of an element that leave the border of distance or rest."""

    element: int
    atoms: np.ndarray
    x: np.ndarray  # [outside, F] features less their mean
    along: np.ndarray  # [outside, directions]
    toward: np.ndarray  # [outside, directions] slope of the distance by z
    slopes: tuple[np.ndarray, np.ndarray]  # of trust by distance, and by the square of what the components lack


class Trust:
    """Trust in the atoms of a batch, ``value`` [atoms]."""

    def __init__(self, domain: Domain, atoms: Sequence[np.ndarray], values: np.ndarray) -> None:
        """Of features ``values`` [atoms, F]; ``atoms`` are those of each of the domain's elements."""
        self.domain = domain
        self.value = np.zeros(len(values))
        found = (self._of_element(k, some, values) for k, some in enumerate(atoms) if len(some))
        self._outside = [outside for outside in found if outside is not None]

    def _of_element(self, k: int, atoms: np.ndarray, values: np.ndarray) -> _Outside | None:
        d = self.domain
        inner, outer = d.borders[k].tolist()
        x = torch.from_numpy(values[atoms]) - d.mean[k]
        along = x @ d.components[k]
        z, centers = along / d.deviations[k], d.centers[k]
        less = torch.addmm(_squares(centers), z, centers.T, alpha=-2)  # squares of distances less those of z
        least = (less.amin(1) + _squares(z)).numpy()
        lacking = (_squares(x) - _squares(along)).numpy()
        rest = np.sqrt(np.maximum(lacking, LEAST) / values.shape[1])
        self.value[atoms] = 1.0
        out = np.flatnonzero((least > inner**2) | (rest > outer))
        if not len(out):
            return None
        sharpness, least, rest = SHARPNESS / inner**2, least[out], rest[out]
        part = np.exp(-sharpness * (less - less.amin(1, keepdim=True)).numpy()[out])
        total = part.sum(axis=1)
        distance = np.sqrt(np.maximum(least - np.log(total) / sharpness, LEAST))
        of_distance, by_distance = self._fall(distance, inner)
        of_rest, by_rest = self._fall(rest, outer)
        self.value[atoms[out]] = of_distance * of_rest
        mean = (torch.from_numpy(part / total[:, None]) @ centers).numpy()
        toward = (z.numpy()[out] - mean) / distance[:, None]
        slopes = by_distance * of_rest, of_distance * by_rest / (2 * rest * values.shape[1])
        return _Outside(k, atoms[out], x.numpy()[out], along.numpy()[out], toward, slopes)

    def _fall(self, size: np.ndarray, border: float) -> tuple[np.ndarray, np.ndarray]:
        value, slope = poly2(np.clip((size / border - 1) / (self.domain.width - 1), 0.0, 1.0))
        return value, slope / (border * (self.domain.width - 1))

    def backward(self, by_trust: np.ndarray, by_values: np.ndarray) -> None:
        """Add the derivatives of ``Σ value · by_trust`` to ``by_values`` [atoms, F]."""
        for o in self._outside:
            by_distance, by_lacking = (by_trust[o.atoms, None] * slope[:, None] for slope in o.slopes)
            by_along = by_distance * o.toward / self.domain.deviations[o.element].numpy() - 2 * by_lacking * o.along
            by_values[o.atoms] += 2 * by_lacking * o.x
            by_values[o.atoms] += (torch.from_numpy(by_along) @ self.domain.components[o.element].T).numpy()


def _squares(rows: Tensor) -> Tensor:
    """Of the rows' lengths."""
    return torch.linalg.vecdot(rows, rows)
