"""D3 dispersion as a separate energy term: C6 coefficients of tad-dftd3, zero damping; molecules and cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bp_descriptors import neighbor_list, pair_vectors
from bp_descriptors.cutoffs import Cutoff
from bp_descriptors.geometry import norm
from nddo_ml.elements import PLUTONIUM
from nddo_ml.errors import InputError
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

if TYPE_CHECKING:
    from tad_dftd3.reference import Reference

_CUTOFF_BOHR = 1e4  # every pair of a molecule counts
_CELL_BOHR, _COORDINATION_BOHR = 60.0, 40.0  # pairs of a cell, and those that count as neighbours: as in s-dftd3,
_FADE_BOHR = 10.0  # but fading from there on over so far, so that stress is a derivative
_FALL = Cutoff(1.0, "poly2")  # from 1 to 0, two derivatives
_MAX_PADDED_PAIRS = 4_000_000  # a larger batch is worked off in parts


@dataclass(frozen=True)
class DispersionD3:
    """D3 dispersion with zero damping.

    ``E = − Σ_{A<B} Σ_{n=6,8} s_n C_n / R^n / [1 + 6 (R / (s_rn R0_AB))^−α_n]``, α_8 = α_6 + 2; C_n depend on
    the coordination numbers, and the energy is smooth. Source: Grimme, Antony, Ehrlich & Krieg, J. Chem.
    Phys. 132, 154104 (2010). The defaults are those for PM6 of Řezáč & Hobza, J. Chem. Theory Comput. 8, 141
    (2012).
    """

    s6: float = 0.88
    s8: float = 0.0
    s_r6: float = 1.18
    s_r8: float = 1.0
    alpha: float = 22.0

    def energy(self, systems: Systems) -> Tensor:
        """Dispersion energy, [systems] eV; differentiable by ``systems.positions`` and ``systems.cell``.

        In cells pairs fade between 60 and 70 bohr.

        Raises:
            InputError: an element above plutonium.
        """
        self.check(systems)
        if bool(systems.pbc.any()):
            each = [systems[k] for k in range(systems.n_systems)]
            return torch.cat([self._cell(one) if bool(one.pbc.any()) else self._batch(one) for one in each])
        parts = [self._batch(part) for part in _parts(systems)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def check(self, systems: Systems) -> None:
        """Refuse what the term does not treat."""
        if int(systems.numbers.max()) > PLUTONIUM:
            raise InputError(f"D3 dispersion has parameters up to Pu; got atomic number {int(systems.numbers.max())}")

    def _batch(self, systems: Systems) -> Tensor:
        import tad_dftd3 as d3  # takes a moment, which the commands that do not need it should not spend

        numbers, positions = _padded(systems)
        dtype, device = positions.dtype, positions.device
        coordination = d3.ncoord.coordination_number(
            numbers, positions, counting_function=d3.ncoord.exp_count, cutoff=_CUTOFF_BOHR
        )
        reference = reference_of(dtype, device)
        weights = d3.model.weight_references(numbers, coordination, reference)
        c6_matrix = d3.model.atomic_c6(numbers, weights, reference)
        real = torch.triu(numbers[:, :, None] * numbers[:, None, :], diagonal=1) > 0
        s, i, j = torch.nonzero(real, as_tuple=True)
        r = (positions[s, i] - positions[s, j]).norm(dim=1)
        pair = self._pairs(numbers[s, i], numbers[s, j], c6_matrix[s, i, j], r)
        return -HARTREE_EV * positions.new_zeros(systems.n_systems).index_add(0, s, pair)

    def _cell(self, systems: Systems) -> Tensor:
        """One system with its images; every pair stands twice in the list."""
        import tad_dftd3 as d3
        from tad_mctc.data import radii

        numbers, positions = systems.numbers, systems.positions
        reach = (_CELL_BOHR + _FADE_BOHR) * BOHR_ANGSTROM
        pairs = neighbor_list(positions.detach(), reach, systems.system_idx, systems.cell.detach(), systems.pbc)
        r = norm(pair_vectors(positions, pairs, systems.system_idx, systems.cell)) / BOHR_ANGSTROM
        radius = radii.COV_D3(device=positions.device, dtype=positions.dtype)[numbers]
        near = r < _COORDINATION_BOHR + _FADE_BOHR
        counts = d3.ncoord.exp_count(r[near], radius[pairs.i[near]] + radius[pairs.j[near]])
        counts = counts * _fading(r[near], _COORDINATION_BOHR)
        coordination = positions.new_zeros(len(numbers)).index_add(0, pairs.i[near], counts)
        reference = reference_of(positions.dtype, positions.device)
        c6 = d3.model.atomic_c6(numbers, d3.model.weight_references(numbers, coordination, reference), reference)
        z_i, z_j = numbers[pairs.i], numbers[pairs.j]
        pair = self._pairs(z_i, z_j, c6[pairs.i, pairs.j], r) * _fading(r, _CELL_BOHR)
        return -0.5 * HARTREE_EV * pair.sum()[None]

    def _pairs(self, z_i: Tensor, z_j: Tensor, c6: Tensor, r: Tensor) -> Tensor:
        """Minus the energy of pairs, hartree, from their C6 and distances in bohr."""
        import tad_dftd3 as d3
        from tad_mctc.data import radii

        dtype, device = r.dtype, r.device
        r_0 = radii.VDW_PAIRWISE(device=device, dtype=dtype)[z_i, z_j]
        pair = self.s6 * c6 / r**6 / (1 + 6 * (self.s_r6 * r_0 / r) ** self.alpha)
        if self.s8 != 0:
            ratio = d3.data.R4R2(device=device, dtype=dtype)
            c8 = 3 * c6 * ratio[z_i] * ratio[z_j]
            pair = pair + self.s8 * c8 / r**8 / (1 + 6 * (self.s_r8 * r_0 / r) ** (self.alpha + 2))
        return pair


def _fading(r: Tensor, begin: float) -> Tensor:
    """1 below ``begin`` bohr, 0 from there on plus the width."""
    return _FALL((r - begin) / _FADE_BOHR)


@cache
def reference_of(dtype: torch.dtype, device: torch.device) -> Reference:
    """D3's reference systems."""
    from tad_dftd3.reference import Reference

    return Reference(dtype=dtype, device=device)


def _padded(systems: Systems) -> tuple[Tensor, Tensor]:
    """Numbers [systems, atoms], 0 where there is none, and positions [systems, atoms, 3] in bohr."""
    at = (systems.system_idx, systems.places)
    shape = (systems.n_systems, int(systems.atoms_per_system.max()))
    numbers = torch.zeros(shape, dtype=torch.int64, device=systems.numbers.device)
    numbers[at] = systems.numbers
    positions = systems.positions.new_zeros(*shape, 3)
    return numbers, positions.index_put(at, systems.positions / BOHR_ANGSTROM)


def _parts(systems: Systems) -> list[Systems]:
    """The batch in parts whose padded pair matrices stay small, in order."""
    n = max(1, _MAX_PADDED_PAIRS // int(systems.atoms_per_system.max()) ** 2)
    if systems.n_systems <= n:
        return [systems]
    index = torch.arange(systems.n_systems, device=systems.numbers.device)
    return [systems.select(part) for part in index.split(n)]
