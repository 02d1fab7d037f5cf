"""The self-consistent field: Fock matrix, loop, Newton steps, search for the lowest solution."""

from nddo_ml.moved import names_from

__getattr__ = names_from("scf", "scf.solve")
