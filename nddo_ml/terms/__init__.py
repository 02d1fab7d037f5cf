"""Energy terms of a method beside its field: dispersion, hydrogen and halogen bonds, amides."""
