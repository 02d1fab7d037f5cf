"""Corrections of the field by networks on symmetry functions."""
