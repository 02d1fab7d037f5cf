"""What n2p2's input.nn says beside the symmetry functions; entries that are infinite or contradict are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nddo_ml.elements import number_of
from nddo_ml.errors import InputError
from nddo_ml.networks import MOST_NODES

ONCE = (
    "elements",
    "number_of_elements",
    "atom_energy",
    "mean_energy",
    "conv_energy",
    "nnp_type",
    "nnp_generation",
    "screen_electrostatics",
    "fixed_gausswidth",
    "cutoff_type",
    "cutoff_alpha",
    "scale_min_short",
    "scale_max_short",
    "global_hidden_layers_short",
    "global_nodes_short",
    "global_activation_short",
    "element_hidden_layers_short",
)


@dataclass(frozen=True)
class N2P2Settings:
    """What input.nn says beside the symmetry functions; energies in the file's unit."""

    path: Path
    elements: tuple[int, ...]
    atom_energy: dict[int, float]  # per element, 0 where not given
    mean_energy: float  # per atom
    conv_energy: float
    charges: bool  # whether it is of the fourth generation
    keywords: Mapping[str, list[list[str]]]

    def has(self, keyword: str) -> bool:
        """Whether a keyword is in the file."""
        return keyword in self.keywords


def read_settings(path: str | Path) -> N2P2Settings:
    """Read an input.nn.

    Raises:
        InputError: the file is missing, has no elements, or describes a potential of the third generation, or of the
            fourth in normalised units.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: expected n2p2's input.nn; there is no such file")
    keywords: dict[str, list[list[str]]] = {}
    for line in text_of(path).splitlines():
        tokens = line.split("#", 1)[0].split()
        if tokens:
            keywords.setdefault(tokens[0], []).append(tokens[1:])
    _check_contradictions(path, keywords)
    charges = _fourth_generation(path, keywords)
    if not keywords.get("elements"):
        raise InputError(f"{path}: expected a line 'elements'; there is none")
    elements = tuple(sorted(element_of(path, s) for s in keywords["elements"][0]))
    if len(set(elements)) != len(elements) or not elements:
        raise InputError(f"{path}: elements must name each element once; got {' '.join(keywords['elements'][0])!r}")
    told = keywords.get("number_of_elements")
    if told and whole_after(path, "number_of_elements", told[0]) != len(elements):
        raise InputError(f"{path}: number_of_elements is {told[0][0]}, but elements names {len(elements)}")
    atom_energy = dict.fromkeys(elements, 0.0)
    for tokens in keywords.get("atom_energy", []):
        element = element_of(path, tokens[0] if tokens else "")
        if element not in atom_energy:
            raise InputError(f"{path}: atom_energy names {tokens[0]}, which is not one of the elements")
        atom_energy[element] = number_after(path, "atom_energy", tokens[1:])
    conversion = number_after(path, "conv_energy", keywords.get("conv_energy", [["1"]])[0])
    if conversion == 0:
        raise InputError(f"{path}: conv_energy must not be zero")
    return N2P2Settings(
        path,
        elements,
        atom_energy,
        number_after(path, "mean_energy", keywords.get("mean_energy", [["0"]])[0]),
        conversion,
        charges,
        keywords,
    )


def element_of(path: Path, symbol: str) -> int:
    try:
        return number_of(symbol)
    except KeyError:
        raise InputError(f"{path}: expected an element symbol; got {symbol!r}") from None


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a text file; it cannot be read ({error})") from None


def number_after(path: Path, keyword: str, tokens: Sequence[str]) -> float:
    try:
        value = float(tokens[0])
    except (IndexError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: expected a finite number after {keyword}; got {' '.join(tokens)!r:.80}")
    return value


def whole_after(path: Path, keyword: str, tokens: Sequence[str]) -> int:
    value = number_after(path, keyword, tokens)
    if value != int(value) or abs(value) > MOST_NODES:
        raise InputError(f"{path}: expected a whole number up to {MOST_NODES} after {keyword}; got {tokens[0]!r:.80}")
    return int(value)


def _fourth_generation(path: Path, keywords: Mapping[str, list[list[str]]]) -> bool:
    """Whether a potential has equilibrated charges."""
    told = next((keywords[key][0] for key in ("nnp_type", "nnp_generation") if keywords.get(key, [[]])[0]), ["2G"])
    if told[0][:1] not in ("2", "4") or told[0] == "4G-HDNNP-Q":
        raise InputError(f"{path}: potentials of the second and fourth generation can be read; got {told[0]!r:.80}")
    if told[0][:1] == "4" and any(key.startswith(("conv_", "mean_")) for key in keywords):
        raise InputError(f"{path}: potentials with charges in normalised units (conv_energy, …) cannot be read")
    return told[0][:1] == "4"


def _check_contradictions(path: Path, keywords: Mapping[str, list[list[str]]]) -> None:
    """Keywords that stand once, or once an element, must not stand twice with different values."""
    for keyword in ONCE:
        seen: dict[str, list[str]] = {}
        for tokens in keywords.get(keyword, []):
            of = tokens[0] if tokens and keyword.startswith(("atom_", "element_", "fixed_")) else ""
            if seen.setdefault(of, tokens) != tokens:
                name = f"{keyword} {of}".strip()
                raise InputError(
                    f"{path}: {name} stands twice: {' '.join(seen[of])!r:.60} and {' '.join(tokens)!r:.60}"
                )
