"""Several models as one: weighted means of hybrids of one method with one field, committees of potentials."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nddo_ml.errors import InputError
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.correction import Correction
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.nddo import NDDO
from nddo_ml.models.nnp import NNP


def mixture(models: Sequence[NDDO], weights: Sequence[float] | None = None, name: str | None = None) -> NDDO:
    """One hybrid that has every correction of ``models``, each scaled by its model's weight.

    Added energies are then the exact weighted mean, shifts and pair factors that to first order; what a model lacks
    counts as zero. Corrections that several models share are kept once, with the sum of the weights.

    Args:
        models: hybrids of the same method.
        weights: one a model; left out, equal ones that add up to one.
        name: of the mixture; left out, that of the first model.

    Raises:
        InputError: no models, other methods or energy terms, a weight a model is missing or outside (0, 1].
    """
    if not models:
        raise InputError("a mixture needs at least one hybrid; got none")
    shares = [1 / len(models)] * len(models) if weights is None else list(weights)
    if len(shares) != len(models) or not all(0 < w <= 1 for w in shares):
        raise InputError(f"expected {len(models)} weights above 0, at most 1; got {shares}")
    first = models[0]
    for model in models:
        if (model.method.name, model.terms) != (first.method.name, first.terms):
            raise InputError(
                f"a mixture's models must share method and energy terms; got {model.name} and {first.name}"
            )
    found: list[tuple[Correction, float]] = []
    for model, weight in zip(models, shares, strict=True):
        for correction in model.corrections:
            same = next((k for k, (other, _) in enumerate(found) if _alike(correction, other)), None)
            if same is None:
                found.append((correction, weight))
            else:
                found[same] = (found[same][0], found[same][1] + weight)
    members = [correction.scaled(weight) for correction, weight in found]
    for member in members:
        member.features = next(m.features for m in members if _same_features(m, member))
    return first.with_corrections(members, name or first.name)


def merged(models: Sequence[AbstractModel], name: str | None = None) -> AbstractModel:
    """One model of several that were trained alike: a committee of potentials, or the mixture of hybrids.

    Raises:
        InputError: models of several kinds; as from :func:`mixture` and :meth:`NNP.committee`.
    """
    potentials = [m for m in models if isinstance(m, NNP)]
    if len(potentials) == len(models):
        return NNP.committee(potentials, name)
    hybrids = [m for m in models if isinstance(m, NDDO)]
    if len(hybrids) < len(models):
        raise InputError(f"models of one kind can be merged; got {', '.join(type(m).__name__ for m in models)}")
    return committee(hybrids, name) or mixture(hybrids, name=name)


def committee(models: Sequence[NDDO], name: str | None = None) -> NDDO | None:
    """The mixture of hybrids that differ in their last correction, energies of atoms, only: with their spread.

    None where they differ in more, so that what a member says by itself would need a field of its own.
    """
    last = [list(model.corrections)[-1] for model in models if len(model.corrections)]
    same = [[*model.corrections][:-1] for model in models]
    energies = [c for c in last if isinstance(c, AtomicEnergyCorrection)]
    alike = all(len(s) == len(same[0]) and all(map(_alike, s, same[0])) for s in same)
    alike = alike and all((m.method.name, m.terms) == (models[0].method.name, models[0].terms) for m in models)
    fit = [c.to_config() == energies[0].to_config() and c.members == 1 for c in energies]
    if len(models) < 2 or len(energies) < len(models) or not alike or not all(fit):
        return None
    if not all(_same_features(c, energies[0]) for c in energies):
        return None
    return models[0].with_corrections([*same[0], AtomicEnergyCorrection.committee(energies)], name or models[0].name)


def _alike(one: Correction, other: Correction) -> bool:
    if type(one) is not type(other) or one.to_config() != other.to_config():
        return False
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def _same_features(one: Correction, other: Correction) -> bool:
    if one.features.to_config() != other.features.to_config():
        return False
    mine, theirs = one.features.state_dict(), other.features.state_dict()
    return all(torch.equal(mine[k], theirs[k]) for k in mine)
