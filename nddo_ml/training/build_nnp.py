"""A Behler–Parrinello potential to be trained, from a configuration and the data it will see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from bp_descriptors import Scaler, SymmetryFunctions, neighbor_list, pair_vectors
from nddo_ml.datasets.contacts import nearest_contacts
from nddo_ml.datasets.dataset import Dataset
from nddo_ml.datasets.zeros import fit_zeros
from nddo_ml.elements import number_of, symbol_of
from nddo_ml.errors import InputError
from nddo_ml.models.nnp import NNP
from nddo_ml.networks import ElementNetworks, NetworkShape
from nddo_ml.terms.catalog import terms_from_config
from nddo_ml.training.build_electrostatics import Kind, build_electrostatics
from nddo_ml.training.options import Distance, Positive, Size, Widths

NEIGHBOR_SHELLS = 2.4  # automatic cut-off over the nearest-neighbour distance


def build_nnp(
    dataset: Dataset,
    seed: int,
    *,
    name: str = "NNP",
    cutoff: Distance | Literal["auto"] = "auto",
    size: Size = "medium",
    angular_cutoff: Distance | Literal["full"] | None = None,
    cutoff_kind: str = "cos",
    closest: Distance | Literal["auto"] = "auto",
    functions: str | None = None,
    hidden: Widths = (32, 32),
    activation: str = "tanh",
    scaling: str = "sigma",
    energy_scale: Positive | Literal["auto"] = "auto",
    reference_energies: Mapping[str, float] | None = None,
    dispersion: Mapping[str, Any] | None = None,
    screened_repulsion: Mapping[str, Any] | None = None,
    electrostatics: Kind = "none",
    screening: tuple[Distance, Distance] | None = None,
    charge_hidden: Widths | None = None,
    charge_inputs: bool | None = None,
    anchored: bool = True,
    ignore_charge_and_spin: bool | None = None,
) -> NNP:
    """A Behler–Parrinello potential whose functions, scaling and reference energies come from the data.

    ``cutoff`` "auto" is 2.4 times the median nearest-neighbour distance, within 5.0 and 6.5 Å; ``closest`` "auto"
    lets the functions' grids begin where a hundredth of the atoms have a neighbour, if that is nearer than a short
    bond; ``functions`` is an n2p2 input.nn to take the symmetry functions from instead of an automatic set of ``size``.
    ``dispersion`` and ``screened_repulsion`` are options of a DispersionD3 and a ScreenedRepulsionZBL, each switched on
    by being there; the networks learn the rest. ``electrostatics`` are the charges, whose Coulomb energy is taken away
    between the distances ``screening`` and below (:func:`~.build_electrostatics.build_electrostatics`);
    ``charge_hidden`` are the widths of their networks, those of ``hidden`` if left out, and ``charge_inputs`` is
    whether the other networks see the charges, left out only equilibrated ones. With ``anchored`` the reference
    energies, those of isolated atoms where the data have them, are the model's energies of isolated atoms.
    ``ignore_charge_and_spin`` left out is whether the data have ions or radicals, of which the model knows nothing.

    Raises:
        InputError: reference energies that lack an element.
    """
    near = closest_contact(dataset) if closest == "auto" else float(closest)
    options = {"size": size, "cutoff_kind": cutoff_kind, "closest": near}
    descriptors = _functions(dataset, functions, cutoff, angular_cutoff, options)
    scaler = Scaler.fit(descriptors, _feature_batches(descriptors, dataset), mode=scaling)
    reference = _reference(dataset, reference_energies)
    far = build_electrostatics(
        electrostatics,
        dataset,
        descriptors,
        seed,
        hidden=charge_hidden or hidden,
        activation=activation,
        screening=screening,
        as_inputs=electrostatics == "qeq" if charge_inputs is None else charge_inputs,
    )
    inputs = {z: descriptors.features_of(z) + (far is not None and far.as_inputs) for z in dataset.elements}
    shapes = {z: NetworkShape.uniform(n, hidden, activation) for z, n in inputs.items()}
    scale = automatic_scale(dataset, reference) if energy_scale == "auto" else float(energy_scale)
    added = {"dispersion": dispersion, "screened_repulsion": screened_repulsion}
    if ignore_charge_and_spin is None:
        unknown = dataset.systems.charged_or_open if far is None else dataset.systems.open_shell
        ignore_charge_and_spin = bool(unknown.any())
    return NNP(
        descriptors,
        scaler,
        [ElementNetworks(shapes, seed)],
        reference,
        energy_scale=scale,
        terms=terms_from_config({name: options for name, options in added.items() if options is not None}),
        electrostatics=far,
        anchored=anchored,
        ignore_charge_and_spin=ignore_charge_and_spin,
        name=name,
    )


def _functions(
    dataset: Dataset,
    given: str | None,
    cutoff: float | str,
    angular_cutoff: float | str | None,
    options: Mapping[str, Any],
) -> SymmetryFunctions:
    """Those of an input.nn, else the automatic set of the data's elements."""
    if given is not None:
        return SymmetryFunctions.from_n2p2(given)
    radius = automatic_cutoff(dataset) if cutoff == "auto" else float(cutoff)
    angular = radius if angular_cutoff == "full" else angular_cutoff
    symbols = [symbol_of(z) for z in dataset.elements]
    return SymmetryFunctions.default(symbols, radius, angular_cutoff=angular, **options)


def isolated_energies(dataset: Dataset) -> dict[int, float]:
    """Energies, eV, of the lone neutral atoms that the data have, the lowest of each element."""
    systems = dataset.systems
    alone = (systems.atoms_per_system == 1) & ~systems.pbc.any(1) & (systems.charge == 0) & dataset.labels.has("energy")
    found: dict[int, float] = {}
    for k in torch.nonzero(alone & torch.tensor([z == dataset.zeros[0] for z in dataset.zeros])).squeeze(1).tolist():
        z, energy = int(systems.numbers[systems.system_idx == k]), float(dataset.labels.values["energy"][k])
        found[z] = min(energy, found.get(z, energy))
    return found


def _reference(dataset: Dataset, given: Mapping[str, float] | None) -> dict[int, float]:
    """Energies of the elements, eV: those given, else those of lone atoms in the data, else fitted to the data."""
    if given is None:
        return fit_zeros(dataset, dataset.labels.values["energy"])[dataset.zeros[0]] | isolated_energies(dataset)
    reference = {number_of(s): float(e) for s, e in given.items()}
    symbols = [symbol_of(z) for z in dataset.elements]
    missing = [s for s in symbols if number_of(s) not in reference]
    if missing:
        raise InputError(f"model.reference_energies lacks {missing[0]}; the data have {' '.join(symbols)}")
    return reference


def automatic_cutoff(dataset: Dataset) -> float:
    """2.4 times the median distance to the nearest neighbour, within 5.0 and 6.5 Å, to 0.1 Å."""
    distance, *_ = nearest_contacts(dataset)
    median = float(distance.median()) if distance.numel() else 0.0
    return round(min(6.5, max(5.0, NEIGHBOR_SHELLS * median)), 1)


def closest_contact(dataset: Dataset) -> float | None:
    """The distance to the nearest neighbour that a hundredth of the atoms fall below, to 0.1 Å."""
    distance, *_ = nearest_contacts(dataset)
    if not distance.numel():
        return None
    return round(float(distance.sort().values[len(distance) // 100]), 1)


def automatic_scale(dataset: Dataset, reference: Mapping[int, float]) -> float:
    """Spread of the energy per atom about the reference, or half the RMS force times 1 Å if more; eV."""
    here = dataset.labels.has("energy")
    zero = dataset.composition @ torch.tensor([reference[z] for z in dataset.elements], dtype=torch.float64)
    sizes = dataset.systems.atoms_per_system
    spread = ((dataset.labels.values["energy"] - zero) / sizes)[here]
    scale = float(spread.square().mean().sqrt()) if bool(here.any()) else 0.0
    atoms = (dataset.labels.has("forces"))[dataset.systems.system_idx]
    forces = dataset.labels.values["forces"][atoms]
    rms = float(forces.square().mean().sqrt()) if bool(atoms.any()) else 0.0
    return max(scale, 0.5 * rms, 1e-3)


def _feature_batches(functions: SymmetryFunctions, dataset: Dataset) -> Any:
    for index in torch.arange(len(dataset)).split(8):
        some, _ = dataset.systems.select_with_atoms(index)
        with torch.no_grad():
            pairs = neighbor_list(some.positions, functions.cutoff, some.system_idx, some.cell, some.pbc)
            vectors = pair_vectors(some.positions, pairs, some.system_idx, some.cell)
            yield functions(some.numbers, vectors, pairs), some.numbers
