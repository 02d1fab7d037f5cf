"""Electrostatics of n2p2's fourth generation: electronegativities, hardness, widths and screening, read and written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from bp_descriptors import SymmetryFunctions
from nddo_ml.electrostatics.charges import EquilibratedCharges
from nddo_ml.electrostatics.model import Electrostatics
from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.models import n2p2
from nddo_ml.models.n2p2_settings import N2P2Settings, element_of, number_after, text_of
from nddo_ml.networks import ElementNetworks


def read_electrostatics(
    settings: N2P2Settings, functions: SymmetryFunctions, length: float, energy: float
) -> Electrostatics:
    """The electrostatics beside an input.nn; ``length`` and ``energy`` are the files' units in Å and eV.

    Raises:
        InputError: a keyword or file is missing, unreadable, or asks for what is not known here.
    """
    path = settings.path
    shapes = {z: n2p2.network_shape(settings, z, functions.features_of(z), "electrostatic") for z in settings.elements}
    networks = ElementNetworks(shapes, seed=0)
    hardness = {}
    for z in settings.elements:
        n2p2.read_weights(path.parent / f"weightse.{z:03d}.data", networks.of(z))
        file = path.parent / f"hardness.{z:03d}.data"
        if not file.is_file():
            raise InputError(f"{file}: expected the hardness of {symbol_of(z)}; there is no such file")
        hardness[z] = number_after(file, "the hardness", text_of(file).split("#", 1)[0].split()) * energy
    widths = {}
    for tokens in settings.keywords.get("fixed_gausswidth", []):
        widths[element_of(path, tokens[0] if tokens else "")] = (
            number_after(path, "fixed_gausswidth", tokens[1:]) * length
        )
    lacking = [symbol_of(z) for z in settings.elements if z not in widths]
    if lacking:
        raise InputError(f"{path}: expected a line 'fixed_gausswidth {lacking[0]}'; there is none")
    charges = EquilibratedCharges(networks, hardness, scale=energy)
    screening = _screening(path, settings.keywords.get("screen_electrostatics"), length)
    return Electrostatics("qeq", [charges], widths, screening=screening, as_inputs=True)


def settings_lines(far: Electrostatics, member: int, length: float, energy: float) -> list[str]:
    """Lines of input.nn; units as in :func:`read_electrostatics`.

    Raises:
        InputError: charges that are not equilibrated, or that the networks do not see.
    """
    model = _equilibrated(far, member)
    shapes = model.networks.shapes
    lines = ["nnp_generation 4", "use_short_forces", *n2p2.network_lines(shapes, "electrostatic")]
    for z in sorted(shapes):
        lines.append(f"fixed_gausswidth {symbol_of(z)} {float(far.widths[z]) / length:.17g}")
        lines.append(f"initial_hardness {symbol_of(z)} {float(model.hardness[z].detach()) / energy:.17g}")
    if far.screening is not None:
        inner, outer = (distance / length for distance in far.screening)
        lines.append(f"screen_electrostatics {inner:.17g} {outer:.17g}")
    return lines


def write_files(folder: Path, far: Electrostatics, member: int, energy: float) -> None:
    """weightse.*.data and hardness.*.data; the scale of the electronegativities goes into the last layer."""
    model = _equilibrated(far, member)
    for z in model.networks.shapes:
        n2p2.write_weights(folder / f"weightse.{z:03d}.data", model.networks.of(z), float(model.scale) / energy)
        hardness = float(model.hardness[z].detach()) / energy
        (folder / f"hardness.{z:03d}.data").write_text(f"{hardness:24.16E}\n")


def _equilibrated(far: Electrostatics, member: int) -> EquilibratedCharges:
    if far.kind != "qeq" or not far.as_inputs:
        raise InputError(
            f"n2p2's fourth generation has equilibrated charges that the networks see; got {far.kind!r} with inputs "
            f"{'on' if far.as_inputs else 'off'}"
        )
    return cast(EquilibratedCharges, far.models[member])


def _screening(path: Path, lines: Sequence[Sequence[str]] | None, length: float) -> tuple[float, float] | None:
    if not lines:
        return None
    inner, outer = (number_after(path, "screen_electrostatics", lines[0][k : k + 1]) * length for k in (0, 1))
    if len(lines[0]) > 2 and lines[0][2] != "c":
        raise InputError(f"{path}: screen_electrostatics is known with the cosine, 'c'; got {lines[0][2]!r:.80}")
    return inner, outer
