"""Centring and scaling per element, fitted on data; ranges for the extrapolation report; scaling.data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bp_descriptors.symmetry_functions import SymmetryFunctions

# mode -> what is subtracted and what is divided by; the names of n2p2's keywords in brackets
MODES = {
    "none": (None, None),
    "center": ("mean", None),  # center_symmetry_functions
    "minmax": ("low", "range"),  # scale_symmetry_functions
    "center_minmax": ("mean", "range"),  # both
    "sigma": ("mean", "sigma"),  # scale_symmetry_functions_sigma
}


_CONSTANT = 1e-12  # widths below this part of the widest are rounding errors
_LEAST = 1e-3  # the least width that fitting gives, as part of the widest


@dataclass(frozen=True)
class Extrapolation:
    """One symmetry function of one atom outside the range of the data that the scaler was fitted on."""

    atom: int
    element: str
    function: str  # its label
    value: float
    low: float
    high: float


class Scaler(nn.Module):
    """Scaled G = s_min + (s_max − s_min) (G − shift) / width, for each element and function.

    Modes: "none", "center" (G − mean), "minmax" (shift low, width high − low), "center_minmax" (mean,
    high − low), "sigma" (mean, sigma); the last four are n2p2's. A function that is constant in the data is
    only shifted, as its width is zero; unused columns stay 0.

    Args:
        functions: whose features are scaled.
        statistics: [4, elements, features]: low, high, mean and sigma; zeros where there is no function.
        mode, s_min, s_max: as above.

    Raises:
        ValueError: an unknown mode, statistics of another shape, s_max not above s_min.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    sigma: Tensor
    _number_to_element: Tensor

    def __init__(
        self,
        functions: SymmetryFunctions,
        statistics: Tensor,
        mode: str = "sigma",
        s_min: float = 0.0,
        s_max: float = 1.0,
    ) -> None:
        super().__init__()
        _check_mode(mode)
        if not s_max > s_min:
            raise ValueError(f"the upper limit of scaled functions must be above the lower; got {s_min}, {s_max}")
        shape = (4, len(functions.elements), functions.n_features)
        if statistics.shape != shape:
            raise ValueError(f"statistics must have shape {list(shape)}; got {list(statistics.shape)}")
        self.mode, self.s_min, self.s_max = mode, s_min, s_max
        self.labels = functions.labels
        self.elements = functions.elements
        for name, value in zip(("low", "high", "mean", "sigma"), statistics.double(), strict=True):
            self.register_buffer(name, value.clone())
        self.register_buffer("_number_to_element", functions._number_to_element.clone(), persistent=False)

    @classmethod
    def fit(
        cls,
        functions: SymmetryFunctions,
        batches: Iterable[tuple[Tensor, Tensor]],
        mode: str = "sigma",
        s_min: float = 0.0,
        s_max: float = 1.0,
    ) -> Scaler:
        """A scaler with the statistics of ``batches`` of (G [atoms, features], numbers [atoms]).

        A function that hardly varies would be blown up into noise inside the data and into huge values
        outside: the width is at least 1/1000 of the widest function's of the element. What is kept (and
        written to scaling.data) is the sigma, or the upper limit, that gives this width.

        Raises:
            ValueError: as the class; G that is not finite.
        """
        _check_mode(mode)
        n, f = len(functions.elements), functions.n_features
        count = torch.zeros(n, 1, dtype=torch.float64)
        low, high = torch.full((n, f), torch.inf).double(), torch.full((n, f), -torch.inf).double()
        mean, m2 = torch.zeros(n, f).double(), torch.zeros(n, f).double()
        for g, numbers in batches:
            g = g.detach().double().cpu()
            if not bool(torch.isfinite(g).all()):
                atom = int(torch.nonzero(~torch.isfinite(g).all(1))[0])
                raise ValueError(f"symmetry functions must be finite to be scaled; atom {atom} of a batch has others")
            element = functions.element_index(numbers.to(functions._number_to_element.device)).cpu()
            for e in torch.unique(element).tolist():
                rows = g[element == e]
                k = rows.shape[0]
                shift = rows.mean(0) - mean[e]
                total = count[e] + k
                m2[e] += (rows - rows.mean(0)).square().sum(0) + shift.square() * count[e] * k / total
                mean[e] += shift * k / total
                count[e] = total
                low[e] = torch.minimum(low[e], rows.amin(0))
                high[e] = torch.maximum(high[e], rows.amax(0))
        sigma = (m2 / (count - 1).clamp(min=1)).sqrt()
        seen = count > 0
        low, high = torch.where(seen, low, 0.0), torch.where(seen, high, 0.0)
        if MODES[mode][1] == "range":
            high = low + _at_least(high - low)
        elif MODES[mode][1] == "sigma":
            sigma = _at_least(sigma)
        return cls(functions, torch.stack([low, high, mean, sigma]), mode, s_min, s_max)

    def forward(self, g: Tensor, numbers: Tensor) -> Tensor:
        """Scaled G [atoms, features], differentiable in ``g``; ``numbers`` [atoms]."""
        shift_name, width_name = MODES[self.mode]
        if shift_name is None:
            return g
        shift = getattr(self, shift_name)
        offset, factor = 0.0, torch.ones_like(shift)
        if width_name is not None:
            width = self.high - self.low if width_name == "range" else self.sigma
            constant = width <= _CONSTANT * width.amax(1, keepdim=True)
            factor = torch.where(constant, 1.0, (self.s_max - self.s_min) / torch.where(constant, 1.0, width))
            offset = self.s_min
        element = self._number_to_element[numbers]
        used = self._used()
        scaled = offset * used[element] + (g - shift[element].to(g.dtype)) * factor[element].to(g.dtype)
        return scaled.to(g.dtype)

    def linear(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Gain and offset [atoms, features], float64: scaled G are ``gain · G + offset``."""
        zero = self.low.new_zeros(len(numbers), self.low.shape[1])
        offset = self(zero, numbers)
        return self(zero + 1, numbers) - offset, offset

    @property
    def versions(self) -> tuple[tuple[int, int], ...]:
        """Which statistics these are: they change in place or are replaced."""
        return tuple((b.data_ptr(), b._version) for b in self._buffers.values() if b is not None)

    def extrapolations(self, g: Tensor, numbers: Tensor, margin: float = 0.0) -> list[Extrapolation]:
        """Every value of ``g`` [atoms, features] outside the fitted range, widened by ``margin`` × range."""
        element = self._number_to_element[numbers]
        slack = margin * (self.high - self.low)
        low, high = (self.low - slack)[element], (self.high + slack)[element]
        outside = torch.nonzero((g.detach() < low) | (g.detach() > high)).tolist()
        found = []
        for atom, f in outside:
            symbol = self.elements[int(element[atom])]
            if f < len(self.labels[symbol]):
                e = int(element[atom])
                found.append(
                    Extrapolation(
                        atom,
                        symbol,
                        self.labels[symbol][f],
                        float(g[atom, f]),
                        float(self.low[e, f]),
                        float(self.high[e, f]),
                    )
                )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Mode and limits as plain values; the statistics are in the module's state."""
        return {"mode": self.mode, "s_min": self.s_min, "s_max": self.s_max}

    @classmethod
    def from_n2p2(
        cls,
        functions: SymmetryFunctions,
        path: str | Path,
        mode: str = "minmax",
        s_min: float = 0.0,
        s_max: float = 1.0,
    ) -> Scaler:
        """The statistics of an n2p2 ``scaling.data``: element, function, low, high, mean and sigma a line.

        Raises:
            ValueError: a line that cannot be read, an element or function too many or missing.
        """
        statistics = torch.zeros(4, len(functions.elements), functions.n_features, dtype=torch.float64)
        missing = {(e, f) for e, s in enumerate(functions.elements) for f in range(len(functions.functions[s]))}
        for number, raw in enumerate(Path(path).read_text().splitlines(), 1):
            words = raw.split("#")[0].split()
            if not words or len(words) == 2:  # two numbers: the range of the energies
                continue
            try:
                e, f = int(words[0]) - 1, int(words[1]) - 1
                values = [float(w) for w in words[2:6]]
                values += [0.0] * (4 - len(values))  # older files have no sigma
                if (e, f) not in missing:
                    raise ValueError(f"element {e + 1}, function {f + 1} is unknown or given twice")
                if not all(map(isfinite, values)) or values[0] > values[1] or values[3] < 0:
                    raise ValueError("expected finite numbers, the lower limit first, and a sigma that is not negative")
            except (IndexError, ValueError) as error:
                raise ValueError(f"{path}, line {number}: cannot read {raw.strip()!r}: {error}") from error
            statistics[:, e, f] = torch.as_tensor(values, dtype=torch.float64)
            missing.remove((e, f))
        if missing:
            e, f = min(missing)
            raise ValueError(f"{path}: function {f + 1} of element {e + 1} ({functions.elements[e]}) is missing")
        return cls(functions, statistics, mode, s_min, s_max)

    def to_n2p2(self) -> str:
        """The statistics as the text of an n2p2 ``scaling.data``."""
        lines = ["# element, function, low, high, mean, sigma; functions in the order of n2p2"]
        for e, symbol in enumerate(self.elements):
            for f in range(len(self.labels[symbol])):
                values = (float(x[e, f]) for x in (self.low, self.high, self.mean, self.sigma))
                lines.append(f"{e + 1:4d} {f + 1:4d} " + " ".join(f"{v:.16E}" for v in values))
        return "\n".join(lines) + "\n"

    def _used(self) -> Tensor:
        used = torch.zeros_like(self.low)
        for e, symbol in enumerate(self.elements):
            used[e, : len(self.labels[symbol])] = 1.0
        return used


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"the scaling mode must be one of {', '.join(MODES)}; got {mode!r}")


def _at_least(width: Tensor) -> Tensor:
    """``width`` [elements, features], raised to ``_LEAST`` of the widest of each element where not constant."""
    widest = width.amax(1, keepdim=True)
    return torch.where(width > _CONSTANT * widest, torch.maximum(width, _LEAST * widest), width)
