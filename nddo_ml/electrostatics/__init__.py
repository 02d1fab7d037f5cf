"""Charges of atoms and their Coulomb energy, beside a network potential that sees no further than its cut-off."""
