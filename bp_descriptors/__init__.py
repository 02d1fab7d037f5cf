"""Neighbour lists and Behler–Parrinello symmetry functions: tensors in, tensors out."""

from bp_descriptors.cutoffs import Cutoff
from bp_descriptors.geometry import norm, pair_vectors
from bp_descriptors.neighbors import Pairs, neighbor_list
from bp_descriptors.scaling import Scaler
from bp_descriptors.specification import Function
from bp_descriptors.symmetry_functions import SymmetryFunctions
from bp_descriptors.triples import Triples, triples_of

__all__ = [
    "Cutoff",
    "Function",
    "Pairs",
    "Scaler",
    "SymmetryFunctions",
    "Triples",
    "neighbor_list",
    "norm",
    "pair_vectors",
    "triples_of",
]
