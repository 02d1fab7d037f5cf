"""Labelled structures: reading, checks, references."""
