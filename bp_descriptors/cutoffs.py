"""Cut-off functions f_c(r): 1 inside the inner radius, falling smoothly to 0 at the cut-off."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, pi, tanh

import torch
from torch import Tensor

N2P2_TYPES = {1: "cos", 2: "tanh3", 3: "tanh3n", 4: "exp", 5: "poly1", 6: "poly2", 7: "poly3", 8: "poly4"}
CUTOFF_KINDS = tuple(N2P2_TYPES.values())
# 1 − x^(m+1) Σ_k c_k x^k, lowest power first: the first m derivatives vanish at both ends
_POLYNOMIALS = {
    "poly1": (3.0, -2.0),
    "poly2": (10.0, -15.0, 6.0),
    "poly3": (35.0, -84.0, 70.0, -20.0),
    "poly4": (126.0, -420.0, 540.0, -315.0, 70.0),
}


@dataclass(frozen=True)
class Cutoff:
    """A cut-off function: its kind, its radius (Å) and the inner radius as a fraction of it.

    With x = (r − inner·radius) / (radius − inner·radius), clipped to [0, 1]:
    cos (1 + cos πx)/2; tanh3 tanh³(1 − x); tanh3n the same over tanh³(1), so that f(0) = 1;
    exp exp(1 − 1/(1 − x²)); poly1 … poly4 the polynomials whose first 1 … 4 derivatives vanish at both ends.
    n2p2 numbers them 1 to 8 in this order; the two tanh kinds have no inner radius.

    Sources: Behler, J. Chem. Phys. 134, 074106 (2011); Singraber, Behler & Dellago, JCTC 15, 1827 (2019).
    """

    radius: float
    kind: str = "cos"
    inner: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in CUTOFF_KINDS:
            raise ValueError(f"the cut-off function must be one of {', '.join(CUTOFF_KINDS)}; got {self.kind!r}")
        if not (isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"the cut-off radius must be a positive number of Å; got {self.radius}")
        if not 0 <= self.inner < 1:
            raise ValueError(f"the inner cut-off must be a fraction from 0 to 1; got {self.inner}")
        if self.inner > 0 and self.kind.startswith("tanh3"):
            raise ValueError(f"a {self.kind} cut-off has no inner radius; got inner={self.inner}")

    def __call__(self, r: Tensor) -> Tensor:
        """f_c of distances ``r`` (Å), any shape; exactly 0 at and beyond the radius."""
        start = self.inner * self.radius
        x = ((r - start) / (self.radius - start)).clamp(0.0, 1.0)
        return torch.where(r < self.radius, _inside(self.kind, x), 0.0)


def _inside(kind: str, x: Tensor) -> Tensor:
    if kind == "cos":
        return 0.5 * (1.0 + torch.cos(pi * x))
    if kind == "tanh3":
        return torch.tanh(1.0 - x) ** 3
    if kind == "tanh3n":
        return (torch.tanh(1.0 - x) / tanh(1.0)) ** 3
    if kind == "exp":
        gap = 1.0 - x * x
        # exp(−1/gap) has left the range of floats long before gap reaches the floor, value and slopes are 0
        return torch.where(gap > 1e-3, torch.exp(1.0 - 1.0 / gap.clamp(1e-3, inf)), 0.0)
    coefficients = _POLYNOMIALS[kind]
    total = torch.zeros_like(x)
    for c in reversed(coefficients):
        total = total * x + c
    return 1.0 - total * x ** len(coefficients)
