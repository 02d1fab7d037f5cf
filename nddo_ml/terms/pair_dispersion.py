"""Pairwise C6 dispersion with a Fermi damping function, as in the DH corrections of PM6 and in PM7."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors.geometry import norm
from bp_descriptors.neighbors import neighbor_list
from nddo_ml.elements import CARBON
from nddo_ml.systems import Systems, require_molecules
from nddo_ml.terms.bonds import bonds_of
from nddo_ml.units import EV_KCAL_MOL

_RANGE = 100.0  # Å
_J_NM6_MOL = 1e6 / 4184.0  # kcal/mol Å⁶ in one J nm⁶/mol
_TETRAVALENT_C6 = 0.95  # J nm⁶/mol, of a carbon with four ligands
# Atomic number: C6 in J nm⁶/mol, van der Waals radius in Å, Slater–Kirkwood effective number of electrons.
_ATOMS = {
    1: (0.16, 1.56, 0.80),
    2: (0.084, 1.40, 1.42),
    5: (5.79, 1.80, 2.16),
    6: (1.65, 1.70, 2.50),
    7: (1.11, 1.55, 2.82),
    8: (0.70, 1.52, 3.15),
    9: (0.57, 1.47, 3.48),
    10: (0.45, 1.54, 3.81),
    15: (3.25, 1.80, 4.50),
    16: (5.79, 1.80, 4.80),
    17: (5.97, 1.75, 5.10),
    18: (3.71, 1.88, 5.40),
    27: (0.04, 1.40, 2.90),
    35: (11.60, 1.85, 6.00),
    36: (4.47, 2.02, 6.30),
    53: (25.80, 1.98, 6.95),
    54: (16.50, 2.16, 7.25),
}


@dataclass(frozen=True)
class PairDispersion:
    """``E = −c Σ_{A<B} C6_AB / R⁶ / [1 + exp(−α (R / (s R0_AB) − 1))]``.

    ``C6_AB = 2 (C6_A² C6_B² N_A N_B)^⅓ / [(C6_A N_B²)^⅓ + (C6_B N_A²)^⅓]``, ``R0_AB = 2 (R_A³ + R_B³)/(R_A² + R_B²)``
    with the element's C6, effective number of electrons N and van der Waals radius R. Elements without these (most
    metals) have no dispersion. C6 of carbon jumps where it has four ligands; forces are the derivative on either side.
    Sources: Jurečka, Černý, Hobza & Salahub, J. Comput. Chem. 28, 555 (2007); Korth, Pitoňák, Řezáč & Hobza, J. Chem.
    Theory Comput. 6, 344 (2010). The defaults are those of PM7 (Stewart, J. Mol. Model. 19, 1 (2013)).
    """

    scale: float = 2.286419  # c
    steepness: float = 15.450118  # α
    radius_scale: float = 1.226593  # s

    def energy(self, systems: Systems) -> Tensor:
        """Dispersion energy, [systems] eV; differentiable by ``systems.positions``.

        Raises:
            InputError: a periodic system.
        """
        require_molecules(systems, "pairwise dispersion")
        x = systems.positions
        c6, radius, electrons = _atoms(systems).unbind(dim=1)
        known = torch.nonzero(c6 > 0).squeeze(1)
        pairs = neighbor_list(x[known], _RANGE, systems.system_idx[known])
        once = pairs.i < pairs.j
        i, j = known[pairs.i[once]], known[pairs.j[once]]
        r = norm(x[j] - x[i])
        c_i, c_j, n_i, n_j = c6[i], c6[j], electrons[i], electrons[j]
        third = 1.0 / 3.0
        c_ij = 2 * (c_i**2 * c_j**2 * n_i * n_j) ** third / ((c_i * n_j**2) ** third + (c_j * n_i**2) ** third)
        r_0 = 2 * (radius[i] ** 3 + radius[j] ** 3) / (radius[i] ** 2 + radius[j] ** 2)
        damping = torch.sigmoid(self.steepness * (r / (self.radius_scale * r_0) - 1))
        pair = -self.scale * _J_NM6_MOL / EV_KCAL_MOL * c_ij / r**6 * damping
        return x.new_zeros(systems.n_systems).index_add(0, systems.system_idx[i], pair)


def _atoms(systems: Systems) -> Tensor:
    """C6, radius and effective number of electrons of every atom, [atoms, 3]; zeros where an element has none."""
    table = torch.zeros(120, 3, dtype=torch.float64)
    for number, values in _ATOMS.items():
        table[number] = torch.tensor(values, dtype=torch.float64)
    atoms = table.to(systems.positions)[systems.numbers]
    ligands = torch.bincount(bonds_of(systems, CARBON).i, minlength=systems.n_atoms)
    tetravalent = (systems.numbers == CARBON) & (ligands == 4)
    atoms[tetravalent, 0] = _TETRAVALENT_C6
    return atoms
