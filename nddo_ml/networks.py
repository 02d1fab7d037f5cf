"""Element networks: one small feed-forward network an element, atoms in any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from nddo_ml.elements import number_of, symbol_of
from nddo_ml.errors import InputError

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "softplus": nn.functional.softplus,
    "relu": torch.relu,
    "gaussian": lambda x: torch.exp(-0.5 * x * x),
    "cosine": torch.cos,
    "reverse_logistic": lambda x: 1.0 - torch.sigmoid(x),
    "exponential": lambda x: torch.exp(-x),
    "harmonic": lambda x: x * x,
    "silu": nn.functional.silu,
}
MOST_NODES = 10_000  # of a hidden layer; a file that asks for more is damaged


@dataclass(frozen=True)
class NetworkShape:
    """Hidden widths and one activation a layer, the output's last; plain data for a checkpoint."""

    n_inputs: int
    hidden: tuple[int, ...]
    activations: tuple[str, ...]  # len(hidden) + 1
    n_outputs: int = 1
    normalize_nodes: bool = False  # divide each node's sum, bias included, by the number of incoming nodes

    def __post_init__(self) -> None:
        if len(self.activations) != len(self.hidden) + 1:
            raise InputError(
                f"a network with {len(self.hidden)} hidden layers needs {len(self.hidden) + 1} activation "
                f"functions, the output's last; got {len(self.activations)}"
            )
        for name in self.activations:
            if name not in ACTIVATIONS:
                raise InputError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
        if self.n_inputs < 1 or min((1, *self.hidden, self.n_outputs)) < 1 or max((1, *self.hidden)) > MOST_NODES:
            raise InputError(f"a network's layers have 1 to {MOST_NODES} nodes each; got {self}")

    @classmethod
    def uniform(
        cls, n_inputs: int, hidden: Sequence[int], activation: str = "tanh", n_outputs: int = 1
    ) -> NetworkShape:
        """The same activation in every hidden layer and a linear output."""
        return cls(n_inputs, tuple(hidden), (activation,) * len(hidden) + ("linear",), n_outputs)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; :meth:`from_dict` reads it."""
        return {
            "n_inputs": self.n_inputs,
            "hidden": list(self.hidden),
            "activations": list(self.activations),
            "n_outputs": self.n_outputs,
            "normalize_nodes": self.normalize_nodes,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkShape:
        """Read what :meth:`to_dict` wrote."""
        return cls(**{**data, "hidden": tuple(data["hidden"]), "activations": tuple(data["activations"])})


class FeedForward(nn.Module):
    """y = f(b + W x), layer after layer; [n, n_inputs] -> [n, n_outputs]."""

    shape: NetworkShape

    def __init__(self, shape: NetworkShape, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.n_inputs, *shape.hidden, shape.n_outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b, dtype=torch.float64) for a, b in pairwise(widths))
        self.reset(generator)

    @property
    def linears(self) -> list[nn.Linear]:
        """The layers, first to last."""
        return [cast(nn.Linear, layer) for layer in self.layers]

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Glorot-normal weights and zero biases."""
        with torch.no_grad():
            for layer in self.linears:
                fan_out, fan_in = layer.weight.shape
                std = (2.0 / (fan_in + fan_out)) ** 0.5
                layer.weight.copy_(torch.randn(fan_out, fan_in, dtype=layer.weight.dtype, generator=generator) * std)
                layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [n, n_outputs] of inputs [n, n_inputs]."""
        for layer, name in zip(self.linears, self.shape.activations, strict=True):
            x = layer(x)
            if self.shape.normalize_nodes:
                x = x / layer.in_features
            x = ACTIVATIONS[name](x)
        return x


class ElementNetworks(nn.Module):
    """One network an element on features [atoms, F]; one of n inputs reads an atom's first n features."""

    def __init__(self, shapes: Mapping[int, NetworkShape], seed: int | None = None) -> None:
        super().__init__()
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        self.networks = nn.ModuleDict(
            {symbol_of(z): FeedForward(shape, generator) for z, shape in sorted(shapes.items())}
        )

    def of(self, number: int) -> FeedForward:
        """The network of an element, by atomic number."""
        return cast(FeedForward, self.networks[symbol_of(number)])

    @property
    def by_number(self) -> dict[int, FeedForward]:
        """Networks by atomic number."""
        return {number_of(symbol): cast(FeedForward, network) for symbol, network in self.networks.items()}

    @property
    def shapes(self) -> dict[int, NetworkShape]:
        """Shapes by atomic number."""
        return {number: network.shape for number, network in self.by_number.items()}

    def forward(self, features: Tensor, numbers: Tensor) -> Tensor:
        """Outputs [atoms, n_outputs]; atoms of elements without a network get zero."""
        networks = self.by_number
        n_outputs = max(network.shape.n_outputs for network in networks.values())
        out = features.new_zeros(features.shape[0], n_outputs)
        for number, network in networks.items():
            atoms = torch.nonzero(numbers == number).squeeze(1)
            if atoms.numel():
                out = out.index_add(0, atoms, network(features[atoms, : network.shape.n_inputs]))
        return out
