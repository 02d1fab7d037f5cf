"""ZBL: the universal screened repulsion of nuclei, for atoms nearer than any training data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors import Pairs, neighbor_list, pair_vectors
from bp_descriptors.cutoffs import Cutoff
from bp_descriptors.geometry import norm
from nddo_ml.elements import covalent_radii, symbol_of
from nddo_ml.errors import InputError
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

_HEIGHTS = (0.18175, 0.50986, 0.28022, 0.02817)
_DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
_FALL = Cutoff(1.0, "poly2")  # from 1 to 0, two derivatives


@dataclass(frozen=True)
class ScreenedRepulsionZBL:
    """``Σ_{i<j} s(r) Z_i Z_j e²/(4π ε_0 r) Σ_k a_k exp(−b_k r/a)``, ``a = 0.8854 a_0 / (Z_i^0.23 + Z_j^0.23)``.

    s is 1 up to ``begin`` and 0 from ``end`` on, in sums of covalent radii, so that bonds are left alone. Molecules and
    periodic cells. Source: Ziegler, Biersack & Littmark, The Stopping and Range of Ions in Matter (Pergamon, 1985).
    """

    begin: float = 0.4
    end: float = 0.75

    def energy(self, systems: Systems) -> Tensor:
        """Repulsion energy, [systems] eV; differentiable by ``systems.positions`` and ``systems.cell``.

        Raises:
            InputError: an element without a covalent radius.
        """
        reach = self.reach(systems.numbers)
        pairs = neighbor_list(systems.positions, reach, systems.system_idx, systems.cell, systems.pbc)
        vectors = pair_vectors(systems.positions, pairs, systems.system_idx, systems.cell)
        atomic = self.atomic_energies(systems.numbers, pairs, vectors)
        return atomic.new_zeros(systems.n_systems).index_add(0, systems.system_idx, atomic)

    def reach(self, numbers: Tensor) -> float:
        """Distance in Å beyond which no two atoms of these elements repel each other.

        Raises:
            InputError: an element without a covalent radius.
        """
        return 2 * self.end * float(_radii(numbers, torch.float64).max())

    def atomic_energies(self, numbers: Tensor, pairs: Pairs, vectors: Tensor) -> Tensor:
        """Each atom's half of its repulsion, [atoms] eV, of a full list of pairs with ``vectors`` [pairs, 3] Å."""
        radius, r = _radii(numbers, vectors.dtype), norm(vectors)
        z_i, z_j = (numbers[k].to(r.dtype) for k in (pairs.i, pairs.j))
        length = 0.8854 * BOHR_ANGSTROM / (z_i**0.23 + z_j**0.23)
        screening = sum(a * torch.exp(-b * r / length) for a, b in zip(_HEIGHTS, _DECAYS, strict=True))
        share = (r / (radius[pairs.i] + radius[pairs.j]) - self.begin) / (self.end - self.begin)
        pair = HARTREE_EV * BOHR_ANGSTROM * z_i * z_j / r * screening * _FALL(share)
        # every pair stands twice in the list
        return r.new_zeros(len(numbers)).index_add(0, pairs.i, 0.5 * pair)


def _radii(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    radius = covalent_radii(numbers, dtype)
    missing = numbers[radius == 0].tolist()
    if missing:
        raise InputError(f"the screened repulsion needs a covalent radius; {symbol_of(missing[0])} has none here")
    return radius
