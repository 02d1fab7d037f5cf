"""Training of a hybrid: the model of a configuration, and predictions that start from the last density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nddo_ml.datasets.dataset import Dataset
from nddo_ml.elements import symbol_of
from nddo_ml.energy.adjoint import ResponseOptions
from nddo_ml.environments.solvents import named_solvent
from nddo_ml.errors import InputError
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.correction import Correction
from nddo_ml.hybrid.domain import Domain
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.hybrid.pair_functions import PairCorrection
from nddo_ml.hybrid.parameter_shifts import BOUNDS, ParameterCorrection
from nddo_ml.models.nddo import NDDO
from nddo_ml.models.open import open_nddo
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import terms_from_config
from nddo_ml.training.options import Distance, Names, Size

_KINDS = {"parameters": ParameterCorrection, "pairs": PairCorrection, "energy": AtomicEnergyCorrection}
_RESPONSE_TOLERANCE = 1e-6  # relative, of the gradients that training sees
_FITTED_ON = 2000  # structures that the features are scaled to


def build_nddo(
    dataset: Dataset,
    seed: int,
    *,
    method: str = "AM1",
    name: str | None = None,
    cutoff: Distance = 5.0,
    size: Size = "small",
    angular_cutoff: Distance | None = None,
    bonded: bool = False,
    parameters: Mapping[str, Any] | None = None,
    pairs: Mapping[str, Any] | None = None,
    energy: Mapping[str, Any] | None = None,
    dispersion: Mapping[str, Any] | None = None,
    hydrogen_bonds: Mapping[str, Any] | None = None,
    solvent: str | None = None,
) -> NDDO:
    """A hybrid whose symmetry functions are scaled to the data; its networks start by changing nothing.

    Args:
        dataset: the training data.
        seed: of the networks' weights.
        method: the parent.
        name: of the model.
        cutoff, size, angular_cutoff, bonded: of the symmetry functions, as in ``AtomFeatures.default``.
        parameters, pairs, energy: options of a ParameterCorrection, PairCorrection and AtomicEnergyCorrection, each
            switched on by being there. ``parameters.bounds`` replaces single bounds; 0 fixes a parameter.
        dispersion, hydrogen_bonds: options of a DispersionD3 and HydrogenBondsH4, switched on in the same way; they
            take the place of the method's own.
        solvent: that the labels are of, as ``--solvent`` has it; the model is saved with it.

    Raises:
        InputError: no correction, or an unknown option or solvent.
    """
    tables = {"parameters": parameters, "pairs": pairs, "energy": energy}
    if all(options is None for options in tables.values()):
        raise InputError(f"a hybrid needs at least one of the tables model.{', model.'.join(_KINDS)}; got none")
    features = default_features(dataset, cutoff, size, angular_cutoff, bonded)
    corrections: list[Correction] = []
    for k, (kind, options) in enumerate(tables.items()):
        if options is not None:
            options = {"seed": seed + 1000 * k, **options}
            if kind == "parameters":
                options["bounds"] = _bounds(options.get("bounds", {}))
            corrections.append(_KINDS[kind](features, **options))
    added = {"dispersion": dispersion, "hydrogen_bonds": hydrogen_bonds}
    terms = terms_from_config({name: options for name, options in added.items() if options is not None})
    response = ResponseOptions(tolerance=_RESPONSE_TOLERANCE, strict=False)
    around = None if solvent is None else named_solvent(solvent)
    return NDDO(method, correction=corrections, terms=terms, name=name, response=response, environment=around)


def default_features(
    dataset: Dataset,
    cutoff: float,
    size: str,
    angular_cutoff: float | None,
    bonded: bool,
    resolved: Sequence[str] | None = None,
) -> AtomFeatures:
    """An automatic set of symmetry functions, scaled to the data."""
    symbols = [symbol_of(z) for z in dataset.elements]
    return AtomFeatures.default(
        symbols,
        cutoff,
        size=size,
        angular_cutoff=angular_cutoff,
        data=_some(dataset),
        bonded=bonded,
        resolved=resolved,
    )


def _bounds(given: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in {**BOUNDS, **given}.items() if v != 0}


def _some(dataset: Dataset) -> list[Systems]:
    step = max(1, len(dataset) // _FITTED_ON)
    return [dataset.systems.select_with_atoms(index)[0] for index in torch.arange(0, len(dataset), step).split(64)]


def build_delta(
    dataset: Dataset,
    seed: int,
    *,
    base: str,
    name: str | None = None,
    cutoff: Distance = 5.0,
    size: Size | None = None,
    angular_cutoff: Distance | None = None,
    resolved: Names | None = None,
    bonded: bool = False,
    fade: float | None = None,
    solvent: str | None = None,
    **energy: Any,
) -> NDDO:
    """A method or a hybrid that stays as it is, with an AtomicEnergyCorrection that is trained.

    Args:
        dataset: the training data.
        seed: of the networks' weights.
        base: the method, or the file of the hybrid.
        name: of the model.
        cutoff, size, angular_cutoff, resolved, bonded: of the symmetry functions; without a size a hybrid's are
            used again.
        fade: width of the data's domain, outside of which what is added fades; None: it does not.
        solvent: as in :func:`build_nddo`.
        energy: options of the AtomicEnergyCorrection.

    Raises:
        InputError: a base that is neither a method nor a hybrid.
    """
    try:
        model = open_nddo(base)
    except InputError as error:
        raise InputError(f"model.base: {error}") from None
    model.requires_grad_(requires_grad=False)
    if solvent is not None:
        model.surround(named_solvent(solvent))
    if size is None and len(model.corrections):
        features = next(iter(model.corrections)).features
    else:
        features = default_features(dataset, cutoff, size or "small", angular_cutoff, bonded, resolved)
    if fade is not None:
        features = fading(features, dataset, fade)
    unknown = [symbol_of(z) for z in dataset.elements if z not in model.elements & features.elements]
    if unknown:
        raise InputError(f"{base} has no element {unknown[0]}, which the data have")
    added = AtomicEnergyCorrection(features, seed=seed, **energy)
    return model.with_corrections([*model.corrections, added], name)


@torch.no_grad()
def fading(features: AtomFeatures, dataset: Dataset, width: float) -> AtomFeatures:
    """The same features with the domain of the data."""
    found = [(features(s), s.numbers) for s in _some(dataset)]
    domain = Domain.fit(torch.cat([f.values for f, _ in found]), torch.cat([n for _, n in found]), width)
    return AtomFeatures(features.functions, features.scaler, features.bonded, domain)
