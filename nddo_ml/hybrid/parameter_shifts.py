"""ParameterCorrection: bounded shifts of the atomic parameters by element networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, final

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.hybrid.correction import Correction, copied
from nddo_ml.hybrid.features import AtomFeatures, Features
from nddo_ml.hybrid.networks import GAIN, silent_networks
from nddo_ml.methods.derived import shifted
from nddo_ml.methods.parameters import GAUSSIANS, Parameters

# name -> largest shift as a fraction of the parent's value; h_pp is g_pp − g_p2, so that this keeps its sign
BOUNDS: Mapping[str, float] = {
    "U_ss": 0.03,
    "U_pp": 0.03,
    "zeta_s": 0.1,
    "zeta_p": 0.1,
    "beta_s": 0.2,
    "beta_p": 0.2,
    "g_ss": 0.08,
    "g_sp": 0.08,
    "g_p2": 0.08,
    "h_pp": 0.2,
    "h_sp": 0.2,
    "alpha": 0.1,
    "K": 0.3,
    "L": 0.1,
    "M": 0.05,
}
_DIFFERENCE = "h_pp"


@final
class ParameterCorrection(Correction):
    """``p_i → p_i + b |p_i| s_i tanh[c N_Z(G_i)]`` for the parameters p of every atom.

    b is the bound, |p| the parent's value, s the atom's presence (zero for an isolated atom), N an element network
    whose last layer starts at zero, c = 0.1. No parameter changes its sign. Charge separations and additive radii
    follow the changed exponents and one-centre integrals.

    Args:
        features: symmetry functions and their scaling.
        bounds: name -> b; the parameters that may change. Left out, BOUNDS.
        hidden: widths of the networks' hidden layers.
        seed: of the networks' weights.

    Raises:
        InputError: an unknown parameter, or a bound outside (0, 1).
    """

    def __init__(
        self,
        features: AtomFeatures,
        bounds: Mapping[str, float] = BOUNDS,
        hidden: Sequence[int] = (32, 32),
        seed: int | None = None,
    ) -> None:
        super().__init__()
        for name, bound in bounds.items():
            if name not in BOUNDS or not 0 < bound < 1:
                raise InputError(f"bounds are fractions between 0 and 1 of {', '.join(BOUNDS)}; got {name} = {bound}")
        self.features = features
        self.bounds = dict(bounds)
        self.hidden = tuple(hidden)
        n_outputs = sum(_columns(name) for name in bounds)
        self.networks = silent_networks(features, self.hidden, n_outputs, seed)

    def shifted(self, parameters: Parameters, features: Features) -> Parameters:
        """See the class."""
        deltas = self.deltas(parameters, features)
        if _DIFFERENCE in deltas:
            difference = deltas.pop(_DIFFERENCE)
            deltas["g_pp"] = difference + deltas.get("g_p2", 0.0)
        elif "g_p2" in deltas:
            deltas["g_pp"] = deltas["g_p2"]
        return shifted(parameters, deltas)

    def deltas(self, parameters: Parameters, features: Features) -> dict[str, Tensor]:
        """The shifts, name -> [atoms] or [atoms, 4]; that of h_pp is of g_pp − g_p2."""
        outputs = self._outputs(features).to(parameters.U_ss.dtype)
        deltas, first = {}, 0
        for name, bound in self.bounds.items():
            columns = outputs[:, first : first + _columns(name)]
            first += _columns(name)
            parent = parameters.g_pp - parameters.g_p2 if name == _DIFFERENCE else getattr(parameters, name)
            deltas[name] = bound * parent.abs() * (columns if parent.ndim == 2 else columns.squeeze(1))
        return deltas

    def shift_size(self, features: Features) -> Tensor:
        """See the base class."""
        return self._outputs(features).square().mean(dim=1).to(features.presence.dtype)

    def _outputs(self, features: Features) -> Tensor:
        """``s tanh(c N)``, [atoms, columns]."""
        outputs = torch.tanh(GAIN * self.networks(features.values.double(), features.numbers))
        return outputs * features.presence[:, None]

    def scaled(self, factor: float) -> ParameterCorrection:
        """See the base class."""
        return copied(self, {**self.to_config(), "bounds": {k: factor * b for k, b in self.bounds.items()}})

    def to_config(self) -> dict[str, Any]:
        """See the base class."""
        return {"bounds": self.bounds, "hidden": list(self.hidden)}

    @classmethod
    def from_config(cls, config: dict[str, Any], features: AtomFeatures) -> Self:
        """See the base class."""
        return cls(features, config["bounds"], config["hidden"])


def _columns(name: str) -> int:
    return GAUSSIANS if name in ("K", "L", "M") else 1
