"""Structures from files, standard input and SMILES: all that a file says is used, or named as not used."""

from nddo_ml.structures.structure import Refused, Structure, addressed

__all__ = ["Refused", "Structure", "addressed"]
