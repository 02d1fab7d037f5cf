"""Element networks in the compiled core: outputs, and derivatives by the inputs."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np

from nddo_ml.core.library import address, library
from nddo_ml.networks import FeedForward

_PANEL = 12  # columns, as in csrc/networks.h
_ACTIVATIONS = {"linear": 0, "silu": 1, "tanh": 2}


class _Network(Structure):
    _fields_ = [
        ("n_layers", c_int64),
        *(
            (n, c_void_p)
            for n in ("width", "activation", "weight", "transposed", "bias", "weight_rows", "transposed_rows")
        ),
    ]


class _Rows(Structure):
    _fields_ = [
        *((n, c_int64) for n in ("n_networks", "n_rows", "n_inputs", "n_outputs", "n_kept")),
        ("networks", POINTER(_Network)),
        ("kind", c_void_p),
    ]


def _whole(n: int) -> int:
    """In whole panels."""
    return (n + _PANEL - 1) // _PANEL * _PANEL


def _panels(matrix: np.ndarray) -> np.ndarray:
    """A matrix [rows, columns] as panels of columns, [panels, rows, _PANEL]."""
    rows, columns = matrix.shape
    padded = np.pad(matrix, ((0, 0), (0, _whole(columns) - columns)))
    return padded.reshape(rows, -1, _PANEL).swapaxes(0, 1)


def _rows_of(panels: np.ndarray) -> np.ndarray:
    """First row of each panel that is not zero, and the one after the last, [panels, 2]; of a panel of zeros 0, 0."""
    filled = (panels != 0).any(axis=2)
    last = filled.shape[1] - filled[:, ::-1].argmax(axis=1)
    return np.where(filled.any(axis=1)[:, None], np.stack([filled.argmax(axis=1), last], axis=1), 0)


@dataclass(frozen=True)
class Passed:
    """Outputs of networks, and what the way back needs."""

    outputs: np.ndarray  # [rows, outputs]
    kept: np.ndarray
    kind: np.ndarray


class Networks:
    """Copies of networks as the core reads them; a row goes through the network of its kind, −1 has outputs of zero."""

    def __init__(self, networks: list[FeedForward]) -> None:
        self._arrays: list[Any] = []  # what the structures point to
        self.n_outputs = max(n.shape.n_outputs for n in networks)
        self.n_kept = max(sum(_whole(layer.out_features) for layer in n.linears) for n in networks)
        self._structures = (_Network * len(networks))(*map(self._structure, networks))

    @staticmethod
    def serve(networks: list[FeedForward]) -> bool:
        """Whether the core has networks of this kind."""
        return all(set(n.shape.activations) <= set(_ACTIVATIONS) and not n.shape.normalize_nodes for n in networks)

    def forward(self, inputs: np.ndarray, kind: np.ndarray) -> Passed:
        """Outputs of inputs [rows, n] of networks ``kind`` [rows]."""
        rows, inputs = len(inputs), np.ascontiguousarray(inputs)
        passed = Passed(np.zeros((rows, self.n_outputs)), np.zeros((rows, self.n_kept)), kind)
        self._run("nddo_core_networks", passed, inputs.shape[1], address(inputs), address(passed.outputs), None)
        return passed

    def backward(self, passed: Passed, by_outputs: np.ndarray, by_inputs: np.ndarray) -> None:
        """Add the derivatives of ``Σ outputs · by_outputs`` to ``by_inputs`` [rows, n]."""
        by_outputs = np.ascontiguousarray(by_outputs)  # of columns, large ones stand column after column
        given = address(by_outputs), None, address(by_inputs)
        self._run("nddo_core_networks_back", passed, by_inputs.shape[1], *given)

    def _run(self, name: str, passed: Passed, n_inputs: int, *arrays: int | None) -> None:
        compiled = library()
        assert compiled is not None
        rows, kept = len(passed.kind), address(passed.kept)
        data = _Rows(
            len(self._structures), rows, n_inputs, self.n_outputs, self.n_kept, self._structures, address(passed.kind)
        )
        one, two, three = arrays
        order = (one, two, kept) if three is None else (one, kept, three)
        if getattr(compiled, name)(ctypes.byref(data), *map(c_void_p, order)):
            raise MemoryError("not enough memory for networks")

    def _structure(self, network: FeedForward) -> _Network:
        widths = [network.shape.n_inputs, *(layer.out_features for layer in network.linears)]
        weights: list[int] = []
        transposed: list[int] = []
        biases: list[int] = []
        rows: tuple[list[int], list[int]] = [], []
        for layer in network.linears:
            w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
            for panels, kept, filled in zip(map(_panels, (w, w.T)), (weights, transposed), rows, strict=True):
                kept.append(self._keep(panels))
                filled.append(self._keep(_rows_of(panels)))
            biases.append(self._keep(np.pad(b, (0, _whole(len(b)) - len(b)))))
        activations = [_ACTIVATIONS[a] for a in network.shape.activations]
        pointers = (self._keep(np.array(p, dtype=np.uint64)) for p in (weights, transposed, biases, *rows))
        integers = (self._keep(np.array(v, dtype=np.int64)) for v in (widths, activations))
        return _Network(len(weights), *integers, *pointers)

    def _keep(self, array: np.ndarray) -> int:
        array = np.ascontiguousarray(array)
        self._arrays.append(array)
        found: int | None = address(array)
        assert found is not None
        return found


def versions(networks: list[FeedForward]) -> tuple[tuple[int, int], ...]:
    """Which weights these are: they change in place or are replaced."""
    layers = (layer for n in networks for layer in n.layers._modules.values() if layer is not None)
    return tuple((p.data_ptr(), p._version) for layer in layers for p in layer._parameters.values() if p is not None)


def solved_radii(separation: np.ndarray, integral: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Additive radii [atoms, 2] of products of s and p, and slopes [atoms, 2, 2] by integral and separation.

    The equations are those of :func:`nddo_ml.methods.multipoles.solve_multipoles`; hartree and bohr.
    """
    compiled = library()
    assert compiled is not None
    radius, slope = np.ascontiguousarray(start).copy(), np.empty((len(start), 2, 2))
    arrays = (np.ascontiguousarray(separation), np.ascontiguousarray(integral), radius, slope)
    compiled.nddo_core_radii(c_int64(len(start)), *(c_void_p(address(a)) for a in arrays))
    return radius, slope
