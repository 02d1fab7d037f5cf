"""NDDO integrals: one file a kind, all vectorised over flat lists of atoms or pairs."""
