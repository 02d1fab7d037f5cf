"""n2p2's files: networks of input.nn and weights.*.data, read and written.

Format as documented by n2p2 (Singraber, Behler & Dellago, JCTC 15, 1827 (2019)); the symmetry functions and
scaling.data belong to bp_descriptors. An atom's energy is E = E_ref + (network output) / conv_energy.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bp_descriptors import Scaler, SymmetryFunctions
from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.models.n2p2_settings import N2P2Settings, number_after, text_of, whole_after
from nddo_ml.networks import FeedForward, NetworkShape

ACTIVATION_OF_CODE: Mapping[str, str] = {
    "l": "linear",
    "t": "tanh",
    "s": "logistic",
    "p": "softplus",
    "r": "relu",
    "g": "gaussian",
    "c": "cosine",
    "S": "reverse_logistic",
    "e": "exponential",
    "h": "harmonic",
}
_MOST_LAYERS = 20
CODE_OF_ACTIVATION: Mapping[str, str] = {name: code for code, name in ACTIVATION_OF_CODE.items()}


def network_shape(settings: N2P2Settings, element: int, n_inputs: int, part: str = "short") -> NetworkShape:
    """Shape of an element's network: the element's own keywords where given, else the global ones.

    ``part`` is "short" or, of the electronegativities of the fourth generation, "electrostatic".

    Raises:
        InputError: a keyword is missing, or names an unknown activation function.
    """
    path = settings.path
    n_hidden = _hidden_layers(settings, element, part)
    widths = _per_layer(settings, f"nodes_{part}", element, n_hidden) if n_hidden else []
    nodes = [whole_after(path, f"nodes_{part}", [n]) for n in widths]
    codes = _per_layer(settings, f"activation_{part}", element, n_hidden + 1)
    for code in codes:
        if code not in ACTIVATION_OF_CODE:
            raise InputError(
                f"{path}: activation must be one of {' '.join(ACTIVATION_OF_CODE)}; got {code!r} "
                f"for {symbol_of(element)}"
            )
    activations = tuple(ACTIVATION_OF_CODE[code] for code in codes)
    return NetworkShape(n_inputs, tuple(nodes), activations, 1, settings.has("normalize_nodes"))


def read_weights(path: Path, network: FeedForward, *, may_lack: bool = False) -> None:
    """Put the numbers of a weights file into a network.

    With ``may_lack`` missing numbers at the end are zeros, which a warning tells: n2p2 takes them so, and one of the
    fourth-generation examples that come with it has such files.

    The order is that of the file: layer by layer, for each node of the previous layer the weights to all
    nodes of the next, then the biases of the next; only the first column is used.

    Raises:
        InputError: the file is missing, has something else than numbers, or too few or too many.
    """
    if not path.is_file():
        raise InputError(f"{path}: expected a weights file; there is no such file")
    values = []
    for n, line in enumerate(text_of(path).splitlines(), 1):
        tokens = line.split("#", 1)[0].split()
        if tokens:
            try:
                if "_" in tokens[0]:  # a number for Python alone
                    raise ValueError
                values.append(float(tokens[0]))
            except ValueError:
                raise InputError(f"{path}, line {n}: expected a number first; got {tokens[0]!r}") from None
    expected = sum(p.numel() for p in network.parameters())
    if may_lack and len(values) < expected:
        layers = _widths(network.shape)
        told = f"{path}: expected {expected} weights for layers {layers}; got {len(values)}, the others are taken as 0"
        warnings.warn(told, stacklevel=2)
        values += [0.0] * (expected - len(values))
    if len(values) != expected:
        raise InputError(f"{path}: expected {expected} weights for layers {_widths(network.shape)}; got {len(values)}")
    flat = torch.tensor(values, dtype=torch.float64)
    if not bool(torch.isfinite(flat).all()):
        raise InputError(
            f"{path}: weights must be finite numbers; number {int((~flat.isfinite()).nonzero()[0])} is not"
        )
    start = 0
    with torch.no_grad():
        for layer in network.linears:
            n_out, n_in = layer.weight.shape
            layer.weight.copy_(flat[start : start + n_in * n_out].reshape(n_in, n_out).T)
            start += n_in * n_out
            layer.bias.copy_(flat[start : start + n_out])
            start += n_out


def write_weights(path: Path, network: FeedForward, scale: float = 1.0) -> None:
    """Write a network in n2p2's order; ``scale`` multiplies the (linear) output layer."""
    lines = []
    weight_index = bias_index = 0
    last = len(network.layers) - 1
    for k, layer in enumerate(network.linears):
        factor = scale if k == last else 1.0
        weight: Tensor = layer.weight.detach() * factor
        for j in range(weight.shape[1]):
            for i in range(weight.shape[0]):
                weight_index += 1
                ends = f"{k:5d} {j + 1:5d} {k + 1:5d} {i + 1:5d}"
                lines.append(f"{float(weight[i, j]):24.16E} a {weight_index:9d} {ends}")
        for i, value in enumerate((layer.bias.detach() * factor).tolist()):
            bias_index += 1
            lines.append(f"{value:24.16E} b {bias_index:9d} {k + 1:5d} {i + 1:5d}")
    path.write_text("\n".join(lines) + "\n")


def read_scaler(settings: N2P2Settings, functions: SymmetryFunctions) -> Scaler:
    """The scaling of scaling.data beside input.nn, in the mode and between the limits that input.nn asks for.

    Raises:
        ValueError: a missing file or a line that cannot be read.
    """
    center, scale = settings.has("center_symmetry_functions"), settings.has("scale_symmetry_functions")
    mode = {
        (False, False): "none",
        (True, False): "center",
        (False, True): "minmax",
        (True, True): "center_minmax",
    }
    chosen = "sigma" if settings.has("scale_symmetry_functions_sigma") else mode[center, scale]
    limits = [
        number_after(settings.path, key, settings.keywords.get(key, [[default]])[0])
        for key, default in (("scale_min_short", "0"), ("scale_max_short", "1"))
    ]
    file = settings.path.parent / "scaling.data"
    if chosen == "none" and not file.is_file():
        shape = (4, len(functions.elements), functions.n_features)
        return Scaler(functions, torch.zeros(shape, dtype=torch.float64), chosen, *limits)
    if not file.is_file():
        raise InputError(f"{file}: input.nn asks for scaled symmetry functions; there is no such file")
    return Scaler.from_n2p2(functions, file, chosen, *limits)


SCALING_KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "center": ("center_symmetry_functions",),
    "minmax": ("scale_symmetry_functions",),
    "center_minmax": ("center_symmetry_functions", "scale_symmetry_functions"),
    "sigma": ("scale_symmetry_functions_sigma",),
}


def settings_lines(shapes: Mapping[int, NetworkShape], atom_energy: Mapping[int, float]) -> list[str]:
    """The lines of input.nn that describe elements, reference energies and networks.

    Raises:
        InputError: an activation function that n2p2 does not have.
    """
    symbols = [symbol_of(z) for z in sorted(shapes)]
    lines = [f"number_of_elements {len(symbols)}", f"elements {' '.join(symbols)}"]
    lines += [f"atom_energy {symbol_of(z)} {atom_energy[z]:.17g}" for z in sorted(shapes)]
    if any(shape.normalize_nodes for shape in shapes.values()):
        lines.append("normalize_nodes")
    return [*lines, *network_lines(shapes, "short")]


def network_lines(shapes: Mapping[int, NetworkShape], part: str) -> list[str]:
    """The lines of input.nn that describe the networks of a part (:func:`network_shape`).

    Raises:
        InputError: an activation function that n2p2 does not have.
    """
    lines = []
    shared = len({(s.hidden, s.activations) for s in shapes.values()}) == 1
    for z, shape in sorted(shapes.items())[: 1 if shared else None]:
        unknown = [a for a in shape.activations if a not in CODE_OF_ACTIVATION]
        if unknown:
            raise InputError(f"n2p2 has no activation function {unknown[0]!r}; it has {', '.join(CODE_OF_ACTIVATION)}")
        scope, name = ("global", "") if shared else ("element", f" {symbol_of(z)}")
        codes = [CODE_OF_ACTIVATION[a] for a in shape.activations]
        lines.append(f"{scope}_hidden_layers_{part}{name} {len(shape.hidden)}")
        lines.append(f"{scope}_nodes_{part}{name} {' '.join(map(str, shape.hidden))}")
        lines.append(f"{scope}_activation_{part}{name} {' '.join(codes)}")
    return lines


def _widths(shape: NetworkShape) -> str:
    return "-".join(str(n) for n in (shape.n_inputs, *shape.hidden, shape.n_outputs))


def _tokens(settings: N2P2Settings, keyword: str, element: int) -> tuple[list[list[str]], bool]:
    """Values of ``element_<keyword>`` for an element (True) or else of ``global_<keyword>`` (False)."""
    symbol = symbol_of(element)
    own = [t[1:] for t in settings.keywords.get(f"element_{keyword}", []) if t and t[0] == symbol]
    if own:
        return own, True
    shared = settings.keywords.get(f"global_{keyword}")
    if not shared:
        raise InputError(f"{settings.path}: expected global_{keyword}, or element_{keyword} {symbol}; found neither")
    return shared, False


def _hidden_layers(settings: N2P2Settings, element: int, part: str) -> int:
    keyword = f"hidden_layers_{part}"
    n = whole_after(settings.path, keyword, _tokens(settings, keyword, element)[0][0])
    if not 0 <= n <= _MOST_LAYERS:
        raise InputError(f"{settings.path}: expected 0 to {_MOST_LAYERS} hidden layers; got {n}")
    return n


def _per_layer(settings: N2P2Settings, keyword: str, element: int, n: int) -> list[str]:
    """One token a layer; an element's line may also be 'layer value' and then changes the global one."""
    lines, own = _tokens(settings, keyword, element)
    if not own or (len(lines[0]) == n and not _is_layer_form(lines[0], keyword)):
        values = lines[0]
    else:
        shared = settings.keywords.get(f"global_{keyword}", [[]])[0]
        values = (shared + [""] * n)[:n]
        for tokens in lines:
            layer = whole_after(settings.path, f"element_{keyword}", tokens)
            if not 1 <= layer <= n or len(tokens) < 2:
                raise InputError(
                    f"{settings.path}: element_{keyword} must have a layer from 1 to {n} and a value; "
                    f"got {' '.join(tokens)!r:.80}"
                )
            values[layer - 1] = tokens[1]
    extra = keyword.startswith("nodes") and len(values) > n
    if len(values) < n or "" in values[:n] or extra:
        raise InputError(
            f"{settings.path}: expected {n} values of {keyword} for {symbol_of(element)}; got {' '.join(values)!r}"
        )
    return values[:n]


def _is_layer_form(tokens: Sequence[str], keyword: str) -> bool:
    """Whether an element's line reads 'layer value', RuNNer's way, instead of one value a layer."""
    if len(tokens) != 2 or not tokens[0].isdigit():
        return False
    return keyword.startswith("activation") or int(tokens[0]) <= 2
