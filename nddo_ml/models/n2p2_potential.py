"""Whole potentials in n2p2's format, of the second and the fourth generation: a folder read or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bp_descriptors import Scaler, SymmetryFunctions
from nddo_ml.electrostatics.model import Electrostatics
from nddo_ml.errors import InputError
from nddo_ml.models import n2p2, n2p2_charges
from nddo_ml.models.n2p2_settings import read_settings
from nddo_ml.networks import ElementNetworks
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

ENERGY_UNITS: Mapping[str, float] = {"hartree": HARTREE_EV, "ev": 1.0}
LENGTH_UNITS: Mapping[str, float] = {"bohr": BOHR_ANGSTROM, "angstrom": 1.0}


@dataclass(frozen=True)
class Potential:
    """What a folder holds."""

    functions: SymmetryFunctions
    scaler: Scaler
    networks: ElementNetworks
    reference_energies: Mapping[int, float]  # eV by atomic number
    energy_scale: float  # eV
    electrostatics: Electrostatics | None


def read_potential(folder: Path, length_unit: str = "bohr", energy_unit: str = "hartree") -> Potential:
    """Read input.nn, scaling.data and weights.*.data, of the fourth generation weightse.*.data and hardness.*.data too.

    ``length_unit`` ("bohr" or "angstrom") and ``energy_unit`` ("hartree" or "eV") are those of the files.

    Raises:
        InputError: a missing or unreadable file, or something that the format does not allow.
    """
    energy = _unit(ENERGY_UNITS, "energy_unit", energy_unit)
    settings = read_settings(folder / "input.nn")
    try:
        functions = SymmetryFunctions.from_n2p2(folder / "input.nn", length_unit)
        scaler = n2p2.read_scaler(settings, functions)
        inputs = {z: functions.features_of(z) + settings.charges for z in settings.elements}
        shapes = {z: n2p2.network_shape(settings, z, n) for z, n in inputs.items()}
    except (ValueError, OSError) as error:
        raise InputError(str(error) if str(folder) in str(error) else f"{folder}: {error}") from None
    far = None
    if settings.charges:
        length = _unit(LENGTH_UNITS, "length_unit", length_unit)
        far = n2p2_charges.read_electrostatics(settings, functions, length, energy)
    networks = ElementNetworks(shapes, seed=0)
    for z in settings.elements:
        n2p2.read_weights(folder / f"weights.{z:03d}.data", networks.of(z), may_lack=settings.charges)
    reference = {z: (settings.atom_energy[z] + settings.mean_energy) * energy for z in settings.elements}
    return Potential(functions, scaler, networks, reference, energy / settings.conv_energy, far)


def write_potential(
    folder: Path, potential: Potential, member: int = 0, length_unit: str = "bohr", energy_unit: str = "hartree"
) -> None:
    """Write what :func:`read_potential` reads; the energy scale goes into the last layer, which must be linear.

    ``member`` is the place of the potential's charge model in its electrostatics.

    Raises:
        InputError: symmetry functions, activation functions or electrostatics that n2p2 does not have.
    """
    energy = _unit(ENERGY_UNITS, "energy_unit", energy_unit)
    scale, scaler, shapes = potential.energy_scale / energy, potential.scaler, potential.networks.shapes
    if scale != 1.0 and any(s.activations[-1] != "linear" or s.normalize_nodes for s in shapes.values()):
        raise InputError("a potential with an energy scale needs linear, not normalised, output nodes for n2p2")
    try:
        functions_text = potential.functions.to_n2p2(length_unit)
    except ValueError as error:
        raise InputError(str(error)) from None
    lines = n2p2.settings_lines(shapes, {z: e / energy for z, e in potential.reference_energies.items()})
    lines += list(n2p2.SCALING_KEYWORDS[scaler.mode])
    lines += [f"scale_min_short {scaler.s_min!r}", f"scale_max_short {scaler.s_max!r}"]
    if potential.electrostatics is not None:
        length = _unit(LENGTH_UNITS, "length_unit", length_unit)
        lines += n2p2_charges.settings_lines(potential.electrostatics, member, length, energy)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.nn").write_text("\n".join([*lines, functions_text]))
    (folder / "scaling.data").write_text(scaler.to_n2p2())
    for z in shapes:
        n2p2.write_weights(folder / f"weights.{z:03d}.data", potential.networks.of(z), scale)
    if potential.electrostatics is not None:
        n2p2_charges.write_files(folder, potential.electrostatics, member, energy)


def _unit(units: Mapping[str, float], argument: str, name: str) -> float:
    if name.lower() not in units:
        known = "hartree or eV" if units is ENERGY_UNITS else "bohr or angstrom"
        raise InputError(f"{argument} must be {known}; got {name!r}")
    return units[name.lower()]
