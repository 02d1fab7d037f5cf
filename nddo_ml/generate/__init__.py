"""Molecules and their geometries for training data, by rules (RDKit, the extra ``rdkit``)."""
