"""From integrals and density to energy, properties and derivatives."""

from nddo_ml.moved import names_from

__getattr__ = names_from("energy", "energy.functional")
