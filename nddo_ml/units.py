"""Physical constants (CODATA 2018, Tiesinga et al., Rev. Mod. Phys. 93, 025010 (2021)) and unit conversions.

Public tensors are in eV and Å; bohr appears only inside the integrals, in names ending ``_bohr``.
"""

from dataclasses import dataclass

HARTREE_EV = 27.211386245988  # eV
BOHR_ANGSTROM = 0.529177210903  # Å
EV_KCAL_MOL = 23.060547830619026  # kcal/mol in one eV: e N_A / 4184
EV_NM = 1239.841984332  # nm, the wavelength of one eV: h c/e
DEBYE_PER_E_ANGSTROM = 4.803204544  # D in one e·Å: 1e21 e c
E_ANGSTROM_PER_BOHR = BOHR_ANGSTROM  # e·Å in one e·bohr


@dataclass(frozen=True)
class Constants:
    """The constants that a method is evaluated with."""

    hartree_ev: float  # eV
    bohr_angstrom: float  # Å
    ev_kcal_mol: float  # kcal/mol


CODATA_2018 = Constants(HARTREE_EV, BOHR_ANGSTROM, EV_KCAL_MOL)
# What MNDO/d was fitted with, and what MOPAC evaluates it with.
MNDO_ERA = Constants(27.21, 0.529167, 23.061)
