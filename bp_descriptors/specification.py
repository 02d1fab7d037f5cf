"""What one symmetry function is: kind, elements and parameters; labels and the canonical order."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from ase.data import atomic_numbers

from bp_descriptors.cutoffs import CUTOFF_KINDS, Cutoff

# kind -> (neighbours named, position in the order; n2p2's type number where it has the function)
KINDS: dict[str, tuple[int, float]] = {
    "G1": (1, 2.0),
    "G2": (1, 2.0),
    "G3": (1, 2.5),
    "G4": (2, 3.0),
    "G5": (2, 9.0),
    "W2": (0, 12.0),
    "W4": (0, 13.0),
    "W5": (0, 13.5),
    "S2": (0, 14.0),
    "S4": (0, 15.0),
    "S5": (0, 15.5),
}
RADIAL = ("G1", "G2", "G3", "W2", "S2")


@dataclass(frozen=True)
class Function:
    """One symmetry function of the atoms of element ``center``; lengths in Å, eta in Å⁻², kappa in Å⁻¹.

    Kinds: G1 to G5 as in :mod:`bp_descriptors.functions`; W2, W4 and W5 are G2, G4 and G5 summed over
    neighbours of all elements, weighted by Z_j or Z_j Z_k; S2, S4 and S5 the same sums without weights, which
    see where neighbours are and not what they are.
    """

    center: str
    kind: str
    cutoff: Cutoff
    neighbors: tuple[str, ...] = ()
    eta: float = 0.0
    r_s: float = 0.0
    kappa: float = 0.0
    zeta: float = 1.0
    lambda_: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a symmetry function's kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        for symbol in (self.center, *self.neighbors):
            if atomic_numbers.get(symbol, 0) < 1:
                raise ValueError(f"{self.kind}: expected an element's symbol; got {symbol!r}")
        if len(self.neighbors) != KINDS[self.kind][0]:
            raise ValueError(
                f"{self.kind} of {self.center} needs {KINDS[self.kind][0]} neighbours; got {self.neighbors}"
            )
        for name in ("eta", "r_s", "kappa", "zeta", "lambda_"):
            if not isfinite(getattr(self, name)):
                raise ValueError(f"{self.kind} of {self.center}: {name} must be finite; got {getattr(self, name)}")
        if self.eta < 0:
            raise ValueError(f"{self.kind} of {self.center}: eta must not be negative; got {self.eta}")
        if not self.is_radial and (abs(self.zeta) < 1 or abs(self.lambda_) != 1):
            raise ValueError(
                f"{self.kind} of {self.center} needs zeta >= 1 (or <= -1), lambda = ±1; got {self.zeta}, {self.lambda_}"
            )
        object.__setattr__(self, "neighbors", tuple(sorted(self.neighbors, key=atomic_numbers.__getitem__)))

    @property
    def is_radial(self) -> bool:
        return self.kind in RADIAL

    @property
    def is_summed(self) -> bool:
        """Over neighbours of all elements."""
        return not self.neighbors

    @property
    def is_weighted(self) -> bool:
        return self.kind.startswith("W")

    @property
    def is_narrow(self) -> bool:
        return self.kind in ("G4", "W4", "S4")

    @property
    def order(self) -> tuple[float, ...]:
        """Sort key, n2p2's order: central element, type, cut-off, eta, r_s, zeta, lambda, neighbours."""
        c = self.cutoff
        return (
            atomic_numbers[self.center],
            KINDS[self.kind][1],
            CUTOFF_KINDS.index(c.kind),
            c.inner,
            c.radius,
            self.eta,
            self.r_s,
            self.kappa,
            *((self.zeta, self.lambda_) if not self.is_radial else ()),
            *(atomic_numbers[s] for s in self.neighbors),
        )

    @property
    def label(self) -> str:
        """For example ``G4 Si-(H,O) eta=0.05 r_s=0 zeta=4 lambda=-1 cutoff=5 cos``; lengths in Å."""
        names = {"G1": (), "G3": ("kappa",)}.get(
            self.kind, ("eta", "r_s") if self.is_radial else ("eta", "r_s", "zeta", "lambda_")
        )
        values = " ".join(f"{n.rstrip('_')}={getattr(self, n):.6g}" for n in names)
        neighbors = "*" if self.is_summed else ",".join(self.neighbors)
        inner = f" inner={self.cutoff.inner:.6g}" if self.cutoff.inner else ""
        head = f"{self.kind} {self.center}-({neighbors})"
        return " ".join(s for s in (head, values, f"cutoff={self.cutoff.radius:.6g} {self.cutoff.kind}{inner}") if s)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; :meth:`from_dict` reads them back."""
        return {**asdict(self), "neighbors": list(self.neighbors)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Function:
        """Inverse of :meth:`to_dict`.

        Raises:
            ValueError: a key is missing or unknown, or a value is out of range.
        """
        try:
            cutoff = Cutoff(**data["cutoff"])
            return cls(**{**data, "cutoff": cutoff, "neighbors": tuple(data["neighbors"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the dictionary of a symmetry function ({error}): {data}") from error
