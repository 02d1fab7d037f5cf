"""Element symbols. Numbers that belong to a method (core charge, valence shell) stand in its parameter table."""

import torch
from ase.data import atomic_masses as ase_masses
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor


def symbol_of(number: int) -> str:
    """Symbol of an atomic number; ``Z=n`` where there is none."""
    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else f"Z={number}"


def number_of(symbol: str) -> int:
    """Atomic number of an element symbol.

    Raises:
        KeyError: there is no such element.
    """
    return atomic_numbers[symbol]


def atomic_masses(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Standard atomic weights (IUPAC, as in ASE) of atomic numbers [atoms], in u."""
    return torch.as_tensor(ase_masses, dtype=dtype, device=numbers.device)[numbers]
