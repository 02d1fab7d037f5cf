"""The one batch type, and what every part of the package asks of it."""

from nddo_ml.systems.batch import Systems, places, require_molecules
from nddo_ml.systems.checks import MIN_DISTANCE

__all__ = ["MIN_DISTANCE", "Systems", "places", "require_molecules"]
