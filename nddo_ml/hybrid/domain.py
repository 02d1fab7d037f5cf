"""Domain: where an atom's environment is like those of the data, and how far outside of them it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bp_descriptors.cutoffs import Cutoff
from nddo_ml.errors import InputError

DIRECTIONS = 60  # principal components that are kept
CENTERS = 300  # environments of an element that stand for all of its
_FALL = Cutoff(1.0, "poly2")
SHARPNESS = 20.0  # of the smooth minimum over the centres, in 1/radius²
_MOST = 20_000  # environments of an element that are looked at
_APART = 8  # environments a centre at least: few data would lie on their centres, and others outside
_QUANTILE = 0.999  # of the data's environments that count as inside
_NARROW = 1e-4  # variances below this part of the largest are rounding errors
LEAST = 1e-9


class Domain(nn.Module):
    """Trust ``t = f(d/d_in) f(e/e_in)`` in an atom: 1 inside the data, 0 from ``width`` times their border on.

    With x the scaled symmetry functions of an atom of one element, their mean m and principal components V of
    variances c in the data: ``z = Vᵀ(x − m)/√c``, d the (smoothly) smallest distance of z to the centres, e² the mean
    square of what the components lack, ``|x − m|² − |Vᵀ(x − m)|²``. Centres are environments of the data, each the
    one farthest from those before it; the borders d_in and e_in are quantiles of the data. f falls from 1 at the
    border to 0 at ``width`` times the border with two continuous derivatives.

    Source: farthest-point sampling, Gonzalez, Theor. Comput. Sci. 38, 293 (1985).

    Args:
        numbers: elements, atomic numbers.
        n_features: length of x.
        width: where trust ends, over where it begins to fall.
        directions, centers: numbers of principal components and centres.
        breaking: whether the data have bonds that break; without, trust falls where one is half broken.

    Raises:
        InputError: a width that is not above one.
    """

    mean: Tensor
    components: Tensor
    deviations: Tensor
    centers: Tensor
    borders: Tensor

    def __init__(
        self,
        numbers: Sequence[int],
        n_features: int,
        width: float = 1.5,
        directions: int = DIRECTIONS,
        centers: int = CENTERS,
        breaking: bool = False,
    ) -> None:
        super().__init__()
        if not width > 1:
            raise InputError(f"the domain's width must be above 1; got {width}")
        self.numbers = tuple(numbers)
        self.width = width
        self.breaking = breaking
        n = len(self.numbers)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(n, *shape, dtype=torch.float64)

        self.register_buffer("mean", zeros(n_features))
        self.register_buffer("components", zeros(n_features, directions))
        self.register_buffer("deviations", zeros(directions) + 1)
        self.register_buffer("centers", zeros(centers, directions))
        self.register_buffer("borders", zeros(2))  # d_in, e_in

    @classmethod
    def fit(
        cls,
        values: Tensor,
        numbers: Tensor,
        width: float = 1.5,
        held_out: Sequence[tuple[Tensor, Tensor]] = (),
        **options: Any,
    ) -> Domain:
        """The domain of environments ``values`` [atoms, F] of elements ``numbers`` [atoms].

        Borders are quantiles of these, or where one is larger of any set ``held_out``, environments and elements of
        other molecules that the model was seen to know.
        """
        elements = numbers.unique().tolist()
        domain = cls(elements, values.shape[1], width, **options)
        for k, z in enumerate(elements):
            x = values[numbers == z].double()
            x = x[torch.linspace(0, x.shape[0] - 1, min(x.shape[0], _MOST)).long()]
            others = [known[of == z].double() for known, of in held_out]
            domain._fit_element(k, x, others)
        return domain

    def _fit_element(self, k: int, x: Tensor, others: Sequence[Tensor]) -> None:
        directions = self.deviations.shape[1]
        self.mean[k] = x.mean(0)
        variances, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
        self.components[k] = vectors[:, -directions:]
        self.deviations[k] = variances[-directions:].clamp(min=_NARROW * float(variances[-1]) + LEAST).sqrt()
        z, _ = self._reduced(k, x)
        chosen = _farthest(z, min(self.centers.shape[1], -(-z.shape[0] // _APART)))
        self.centers[k] = chosen[torch.arange(self.centers.shape[1]) % chosen.shape[0]]
        for some in (x, *(o for o in others if o.shape[0])):
            z, rest = self._reduced(k, some)
            sizes = torch.stack((self._distance(k, z, 1.0), rest))
            self.borders[k] = torch.maximum(self.borders[k], torch.quantile(sizes, _QUANTILE, dim=1)).clamp(min=LEAST)

    def forward(self, values: Tensor, numbers: Tensor) -> Tensor:
        """Trust in atoms, [atoms]; zero for elements that the data lack."""
        trust = values.new_zeros(values.shape[0])
        for k, element in enumerate(self.numbers):
            atoms = torch.nonzero(numbers == element).squeeze(1)
            if atoms.numel():
                z, rest = self._reduced(k, values[atoms].double())
                distance = self._distance(k, z, float(self.borders[k, 0]))
                inside = self._fall(distance, self.borders[k, 0]) * self._fall(rest, self.borders[k, 1])
                trust = trust.index_add(0, atoms, inside.to(trust.dtype))
        return trust

    def _reduced(self, k: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """z [atoms, directions] and e [atoms]."""
        x = x - self.mean[k]
        along = x @ self.components[k]
        rest = (x * x).sum(1) - (along * along).sum(1)
        return along / self.deviations[k], (rest.clamp(min=LEAST) / x.shape[1]).sqrt()

    def _distance(self, k: int, z: Tensor, radius: float) -> Tensor:
        centers = self.centers[k]
        square = (z * z).sum(1, keepdim=True) - 2 * z @ centers.T + (centers * centers).sum(1)
        sharpness = SHARPNESS / radius**2
        nearest = -torch.logsumexp(-sharpness * square, dim=1) / sharpness
        return nearest.clamp(min=LEAST).sqrt()

    def _fall(self, size: Tensor, border: Tensor) -> Tensor:
        return _FALL((size / border - 1).clamp(min=0) / (self.width - 1))

    def to_config(self) -> dict[str, Any]:
        """Plain data; :meth:`from_config` reads it."""
        return {
            "numbers": list(self.numbers),
            "n_features": self.mean.shape[1],
            "width": self.width,
            "directions": self.deviations.shape[1],
            "centers": self.centers.shape[1],
            "breaking": self.breaking,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Domain:
        """A domain of the configuration, its tensors yet to be loaded."""
        return cls(**config)


def _farthest(z: Tensor, count: int) -> Tensor:
    """``count`` rows of z, the first nearest to the mean, each other the farthest from those before it."""
    chosen = [int((z - z.mean(0)).square().sum(1).argmin())]
    nearest = torch.full((z.shape[0],), torch.inf, dtype=z.dtype)
    while len(chosen) < count:
        nearest = torch.minimum(nearest, (z - z[chosen[-1]]).square().sum(1))
        chosen.append(int(nearest.argmax()))
    return z[chosen]
