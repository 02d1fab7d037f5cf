"""The Coulomb interaction of near atoms, which the networks of the short range learn better without."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bp_descriptors import neighbor_list, norm, pair_vectors
from nddo_ml.electrostatics.coulomb import COULOMB, gaussian_interaction, self_interaction
from nddo_ml.systems import Systems


def screened_part(systems: Systems, charges: Tensor, widths: Tensor, inner: float, outer: float) -> Tensor:
    """What screening takes away, an atom's share of ``½ Σ_ij q_i q_j A_ij [1 − f(r_ij)]``, [atoms] eV.

    f is 0 up to ``inner``, ``½ − ½ cos(π (r − inner)/(outer − inner))``, and 1 from ``outer`` on; of an atom with
    itself it is 0.

    Args:
        systems: the batch, whose positions and cells may have a graph.
        charges: [atoms] e.
        widths: σ, [atoms] Å.
        inner: Å.
        outer: Å.

    Source: Morawietz, Sharma & Behler, J. Chem. Phys. 136, 064103 (2012); n2p2's screen_electrostatics.
    """
    pairs = neighbor_list(systems.positions, outer, systems.system_idx, systems.cell, systems.pbc)
    r = norm(pair_vectors(systems.positions, pairs, systems.system_idx, systems.cell)).to(charges)
    share = ((r - inner) / (outer - inner)).clamp(min=0.0)
    taken = 0.5 + 0.5 * torch.cos(math.pi * share)
    i, j = pairs.i, pairs.j
    width = (widths[i].square() + widths[j].square()).sqrt()
    potential = taken * gaussian_interaction(r, width) * charges[j]
    total = (charges * self_interaction(widths)).index_add(0, i, potential)
    return 0.5 * COULOMB * charges * total
