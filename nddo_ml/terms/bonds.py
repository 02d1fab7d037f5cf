"""Which atoms are bonded, by MOPAC's rule of distances."""

from __future__ import annotations

import torch

from bp_descriptors.neighbors import Pairs, neighbor_list
from nddo_ml.elements import BORON, CARBON, HYDROGEN, NITROGEN, SULFUR, covalent_radii
from nddo_ml.systems import Systems

_REACH = 3.5  # Å, beyond the longest bond of carbon, nitrogen or oxygen


def bonds_of(systems: Systems, element: int) -> Pairs:
    """Bonds (i, j) of the atoms i of an element: nearer than a factor times the sum of covalent radii."""
    pairs = neighbor_list(systems.positions, _REACH, systems.system_idx)
    chosen = systems.numbers[pairs.i] == element
    pairs = Pairs(pairs.i[chosen], pairs.j[chosen], pairs.shift[chosen], half=False)
    z, radius = systems.numbers, covalent_radii(systems.numbers, systems.positions.dtype)
    low, high = torch.minimum(z[pairs.i], z[pairs.j]), torch.maximum(z[pairs.i], z[pairs.j])
    factor = torch.full_like(radius[pairs.i], 1.1)
    for chosen, value in (
        ((low == HYDROGEN) & (high == CARBON), 1.25),
        ((low == BORON) & (high == NITROGEN), 1.0),
        ((low == CARBON) & (high <= NITROGEN), 1.2),
        ((low == SULFUR) & (high == SULFUR), 1.2),
    ):
        factor = torch.where(chosen, value, factor)
    x = systems.positions.detach()
    bonded = (x[pairs.j] - x[pairs.i]).norm(dim=1) < factor * (radius[pairs.i] + radius[pairs.j])
    return Pairs(pairs.i[bonded], pairs.j[bonded], pairs.shift[bonded], half=False)
