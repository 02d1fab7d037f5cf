"""Element symbols. Numbers that belong to a method (core charge, valence shell) stand in its parameter table."""

import torch
from ase.data import atomic_masses as ase_masses
from ase.data import atomic_numbers, chemical_symbols, ground_state_magnetic_moments
from torch import Tensor

# Atomic numbers of the elements that formulas single out
HYDROGEN, HELIUM, BORON, CARBON, NITROGEN, OXYGEN, FLUORINE, NEON = 1, 2, 5, 6, 7, 8, 9, 10
SODIUM, ALUMINIUM, SILICON, SULFUR, CHLORINE, BROMINE, MOLYBDENUM, IODINE = 11, 13, 14, 16, 17, 35, 42, 53
BARIUM, HAFNIUM, PLUTONIUM, OGANESSON = 56, 72, 94, 118


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


# Å, H to Rn; 0 where there is none. The radii of H4 and of MOPAC's bonds.
_COVALENT_RADII = (
    "0 .37 .32 1.34 .90 .82 .77 .75 .73 .71 .69 1.54 1.30 1.18 1.11 1.06 1.02 .99 .97 "
    "1.96 1.74 1.44 1.36 1.25 1.27 1.39 1.25 1.26 1.21 1.38 1.31 1.26 1.22 1.19 1.16 1.14 1.10 "
    "2.11 1.92 1.62 1.48 1.37 1.45 1.56 1.26 1.35 1.31 1.53 1.48 1.44 1.41 1.38 1.35 1.33 1.30 "
    "2.25 1.98 1.69 0 0 0 0 0 0 0 0 0 0 0 0 0 1.60 1.50 1.38 1.46 1.59 1.28 1.37 1.28 1.44 1.49 "
    "1.48 1.47 1.46 0 0 1.45"
)


def covalent_radii(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Covalent radii of atomic numbers [atoms], Å; 0 for elements without one."""
    radii = torch.zeros(120, dtype=dtype)
    table = [float(v) for v in _COVALENT_RADII.split()]
    radii[: len(table)] = torch.tensor(table, dtype=dtype)
    return radii.to(numbers.device)[numbers]


def ground_state_multiplicity(number: int) -> int:
    """2S + 1 of the neutral atom, from ASE's table of magnetic moments."""
    return round(float(ground_state_magnetic_moments[number])) + 1
