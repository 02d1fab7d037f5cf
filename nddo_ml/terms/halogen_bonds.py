"""X: halogen-bond term for semiempirical methods with D3H4."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors.neighbors import neighbor_list
from nddo_ml.elements import BROMINE, CHLORINE, IODINE, NITROGEN, OXYGEN, SULFUR
from nddo_ml.systems import Systems, require_molecules
from nddo_ml.units import EV_KCAL_MOL

_RANGE = 12.0  # Å; the slowest of the exponentials is below 1e-11 kcal/mol there
# (halogen, acceptor) -> height a (kcal/mol), decay b (1/Å), sum of covalent radii (Å)
_PAIRS = {
    (CHLORINE, NITROGEN): (1.049e12, 9.95, 1.74),
    (BROMINE, NITROGEN): (5.560e4, 3.04, 1.89),
    (IODINE, NITROGEN): (5.237e8, 6.77, 2.08),
    (CHLORINE, OXYGEN): (1.871e9, 7.44, 1.72),
    (BROMINE, OXYGEN): (2.160e4, 3.30, 1.87),
    (IODINE, OXYGEN): (2.436e6, 4.71, 2.06),
    (IODINE, SULFUR): (1.051e6, 3.82, 2.35),
}


@dataclass(frozen=True)
class HalogenBondsX:
    """Repulsion ``E = Σ a exp(−b R)`` of Cl, Br, I and the N, O (for I also S) that they are not bonded to.

    Sources: Řezáč & Hobza, Chem. Phys. Lett. 506, 286 (2011); constants for D3H4X: Brahmkshatriya et al.,
    Curr. Comput.-Aided Drug Des. 9, 118 (2013).
    A pair is bonded, and left out, up to ``bond`` times the sum of its covalent radii, where the energy jumps
    (a halogen bond is longer); MOPAC does not ask, and gives HOCl 6,600 kcal/mol.
    """

    bond: float = 1.15

    def energy(self, systems: Systems) -> Tensor:
        """Energy of the term, [systems] eV; differentiable by ``systems.positions``.

        Raises:
            InputError: a periodic system.
        """
        require_molecules(systems, "the X term")
        z, x = systems.numbers, systems.positions
        energy = x.new_zeros(systems.n_systems)
        acceptor = (z == NITROGEN) | (z == OXYGEN) | (z == SULFUR)
        halogen = (z == CHLORINE) | (z == BROMINE) | (z == IODINE)
        atoms = torch.nonzero(acceptor | halogen).squeeze(1)
        if not bool(acceptor.any() & halogen.any()):
            return energy
        near = neighbor_list(x[atoms], _RANGE, systems.system_idx[atoms])
        i, j = atoms[near.i], atoms[near.j]
        for (z_i, z_j), (height, decay, contact) in _PAIRS.items():
            chosen = (z[i] == z_i) & (z[j] == z_j)
            r = (x[j[chosen]] - x[i[chosen]]).norm(dim=1)
            pair = torch.where(r > self.bond * contact, height * torch.exp(-decay * r), 0.0)
            energy = energy.index_add(0, systems.system_idx[i[chosen]], pair / EV_KCAL_MOL)
        return energy
