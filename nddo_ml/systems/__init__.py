"""The one batch type, and what every part of the package asks of it."""

from nddo_ml.systems.batch import Systems, require_molecules
from nddo_ml.systems.checks import MIN_DISTANCE
from nddo_ml.systems.counts import places

__all__ = ["MIN_DISTANCE", "Systems", "places", "require_molecules"]
