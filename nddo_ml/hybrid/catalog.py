"""Which corrections there are, and their configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nddo_ml.errors import InputError
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.correction import Correction, Corrections
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.hybrid.pair_functions import PairCorrection
from nddo_ml.hybrid.parameter_shifts import ParameterCorrection

CORRECTIONS: Mapping[str, type[Correction]] = {
    kind.__name__: kind for kind in (ParameterCorrection, PairCorrection, AtomicEnergyCorrection)
}


def corrections_from_config(config: Mapping[str, Any]) -> Corrections:
    """Corrections of ``Corrections.to_config()``, their weights yet to be loaded.

    Raises:
        InputError: an unknown kind of correction.
    """
    features = [AtomFeatures.from_config(c) for c in config["features"]]
    members = []
    for entry in config["members"]:
        if entry["kind"] not in CORRECTIONS:
            raise InputError(f"a correction must be one of {', '.join(CORRECTIONS)}; got {entry['kind']!r}")
        members.append(CORRECTIONS[entry["kind"]].from_config(entry["options"], features[entry["features"]]))
    return Corrections(members)
