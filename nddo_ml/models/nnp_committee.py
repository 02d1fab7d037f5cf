"""Several potentials that were trained alike as one committee: configuration and weights of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel

_MEMBERS = ("members.", "electrostatics.members.")  # prefixes of what each member has of its own


def joined(models: Sequence[AbstractModel]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """``to_config()`` and ``state_dict()`` of the committee.

    Raises:
        InputError: models that differ in more than the weights of their networks.
    """
    configs, states = [model.to_config() for model in models], [model.state_dict() for model in models]
    shared = _shared(states[0])
    for config, state in zip(configs[1:], states[1:], strict=True):
        own = _shared(state)
        same = _without_members(config) == _without_members(configs[0]) and own.keys() == shared.keys()
        if not same or not all(torch.equal(own[key], shared[key]) for key in own):
            raise InputError(
                "a committee's members must share symmetry functions, scaling, reference energies, terms and the "
                "kind of electrostatics"
            )
    whole = {**configs[0], "members": [m for config in configs for m in config["members"]]}
    if whole["electrostatics"]:
        charges = [m for config in configs for m in config["electrostatics"]["members"]]
        whole["electrostatics"] = {**whole["electrostatics"], "members": charges}
    weights = dict(shared)
    start = 0
    for config, state in zip(configs, states, strict=True):
        for key, value in state.items():
            for prefix in _MEMBERS:
                if key.startswith(prefix):
                    place, rest = key.removeprefix(prefix).split(".", 1)
                    weights[f"{prefix}{start + int(place)}.{rest}"] = value
        start += len(config["members"])
    return whole, weights


def _shared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(_MEMBERS)}


def _without_members(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration but for its name and what each member has of its own."""
    rest = {key: value for key, value in config.items() if key not in ("name", "members")}
    if rest["electrostatics"]:
        rest["electrostatics"] = {k: v for k, v in rest["electrostatics"].items() if k != "members"}
    return rest
