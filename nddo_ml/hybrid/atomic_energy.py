"""AtomicEnergyCorrection: an energy of every atom beside the field (delta learning)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, final

from torch import Tensor

from nddo_ml.hybrid.correction import Correction, copied
from nddo_ml.hybrid.features import AtomFeatures, Features
from nddo_ml.hybrid.networks import silent_networks


@final
class AtomicEnergyCorrection(Correction):
    """``E → E + Σ_i s_i c N_Z(G_i)``, with s the presence of an atom and N an element network that starts at zero.

    Source: delta learning, Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087 (2015).

    Args:
        features: symmetry functions and their scaling.
        scale: c, eV; what one unit of the networks' output is worth.
        hidden: widths of the networks' hidden layers.
        seed: of the networks' weights.
    """

    def __init__(
        self,
        features: AtomFeatures,
        scale: float = 1.0,
        hidden: Sequence[int] = (32, 32),
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.scale = scale
        self.hidden = tuple(hidden)
        self.networks = silent_networks(features, self.hidden, 1, seed)

    def atomic_energies(self, features: Features) -> Tensor:
        """See the class, [atoms] eV."""
        outputs = self.networks(features.values.double(), features.numbers).squeeze(1)
        return self.scale * features.presence * outputs.to(features.presence.dtype)

    def scaled(self, factor: float) -> AtomicEnergyCorrection:
        """See the base class."""
        return copied(self, {**self.to_config(), "scale": factor * self.scale})

    def to_config(self) -> dict[str, Any]:
        """See the base class."""
        return {"scale": self.scale, "hidden": list(self.hidden)}

    @classmethod
    def from_config(cls, config: dict[str, Any], features: AtomFeatures) -> Self:
        """See the base class."""
        return cls(features, config["scale"], config["hidden"])
