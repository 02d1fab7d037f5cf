"""Neighbour lists and Behler–Parrinello symmetry functions: tensors in, tensors out."""
