"""Physical constants (CODATA 2018, Tiesinga et al., Rev. Mod. Phys. 93, 025010 (2021)) and unit conversions.

Public tensors are in eV and Å; bohr appears only inside the integrals, in names ending ``_bohr``.
"""

HARTREE_EV = 27.211386245988  # eV
BOHR_ANGSTROM = 0.529177210903  # Å
EV_KCAL_MOL = 23.060547830619026  # kcal/mol in one eV: e N_A / 4184
DEBYE_PER_E_ANGSTROM = 4.803204544  # D in one e·Å: 1e21 e c
E_ANGSTROM_PER_BOHR = BOHR_ANGSTROM  # e·Å in one e·bohr
