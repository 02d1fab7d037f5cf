"""H4: hydrogen-bond term and repulsion of hydrogen atoms for semiempirical methods with D3 dispersion.

Source: Řezáč & Hobza, J. Chem. Theory Comput. 8, 141 (2012); defaults are that paper's constants for PM6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bp_descriptors.geometry import norm
from bp_descriptors.neighbors import neighbor_list
from bp_descriptors.runs import ranks
from nddo_ml.elements import CARBON, HYDROGEN, NITROGEN, OXYGEN, covalent_radii
from nddo_ml.systems import Systems, require_molecules
from nddo_ml.units import EV_KCAL_MOL

_RANGE = 6.0  # Å; every function here has ended, or is below 1e-12 kcal/mol, at this distance
SOFT_RANGE = 18.0  # Å; the slowest soft repulsion is below 1e-12 kcal/mol there
_NEAREST, _FARTHEST = 1.5, 5.5  # Å, where the radial function ends with value and slope zero
_FEW = 200  # atoms of a molecule that are looked at pair by pair
_BOND = 1.15  # Å; a longer X–H bond begins to switch the term off
# Radial function, dimensionless, powers 0 … 7 of the donor–acceptor distance in Å; −1 at 3 Å.
_RADIAL = (
    -4.68512000000450434811,
    3.40736000001102778967,
    5.31754666665572184314,
    -7.20687407406838786983,
    3.25309629629461749545,
    -0.70087111111082800452,
    0.07357629629627092382,
    -0.00303407407407313510,
)
# Repulsion of two hydrogen atoms between 1 and 1.5 Å, powers 0 … 5 of their distance in Å, kcal/mol.
_REPULSION = (
    7516.084696095140316,
    -31430.658335972289933,
    52063.196799138342612,
    -42511.857982217959943,
    17103.650110591705015,
    -2714.952351603469651,
)


@dataclass(frozen=True)
class _Neighbors:
    """All pairs of atoms within the range, both directions, with their distances and fractional bonds."""

    i: Tensor  # [pairs]
    j: Tensor
    r: Tensor  # [pairs] Å
    bond: Tensor  # [pairs] 1 up to the sum of covalent radii, 0 from 1.6 times it


@dataclass(frozen=True)
class HydrogenBondsH4:
    """H4 hydrogen bonds D–H···A of nitrogen and oxygen.

    ``E = Σ k_DA f(R_DA) (1 − s(2θ/π)²) (1 − s(x_H)) w_D w_A`` with s(x) = −20x⁷ + 70x⁶ − 84x⁵ + 35x⁴, θ the
    deviation of D–H···A from linearity and x_H the progress of the hydrogen from D to A beyond 1.15 Å. w
    scales the donors water and ammonium and the acceptor carboxylate, by valences summed from fractional
    bonds.

    Where the derivative jumps: every factor ends with zero slope, but valences enter as |v − v0|, so the
    force steps where a bond breaks or forms and a donor oxygen's hydrogens pass 1, 2 or 3, its other valence
    1, a donor nitrogen's valence 3, or the valences of a carboxylate's O, O and C pass 1, 1 and 3; there the
    one-sided derivative is taken. The energy itself steps where the heavy atom nearest to a hydrogen, the
    carbon nearest to the acceptor or that carbon's second oxygen changes. As in MOPAC, the donor is the atom
    that carries the hydrogen, and hydrogens of C–H never count; MOPAC drops the term where X–H exceeds 1.15
    Å, here it switches off as published.
    """

    oh_o: float = 2.32  # kcal/mol, depth k_DA of a hydrogen bond by donor and acceptor
    oh_n: float = 3.10
    nh_o: float = 1.07
    nh_n: float = 2.01
    water: float = 0.42  # scale of water as a donor to oxygen
    ammonium: float = 3.61  # scale of an N–H donor with a full extra bond
    carboxylate: float = 1.41  # scale of a carboxylate as an acceptor

    def energy(self, systems: Systems) -> Tensor:
        """Hydrogen-bond energy, [systems] eV; differentiable by ``systems.positions``.

        Raises:
            InputError: a periodic system.
        """
        require_molecules(systems, "the H4 term")
        z, x = systems.numbers, systems.positions
        energy = x.new_zeros(systems.n_systems)
        if not _has_donors(systems):
            return energy
        near = _neighbors(systems)
        hydrogen, donor, acceptor = _bridges(z, near)
        to_d, to_a = x[donor] - x[hydrogen], x[acceptor] - x[hydrogen]
        keep = (to_d.detach() * to_a.detach()).sum(dim=1) < 0
        if not bool(keep.any()):
            return energy
        hydrogen, donor, acceptor, to_d, to_a = (t[keep] for t in (hydrogen, donor, acceptor, to_d, to_a))
        theta = torch.atan2(norm(torch.linalg.cross(to_d, to_a)), -(to_d * to_a).sum(dim=1))
        term = self._depth(z[donor], z[acceptor]).to(x.dtype)
        term = term * _polynomial(_RADIAL, (x[acceptor] - x[donor]).norm(dim=1))
        term = term * (1 - _switch(2 * theta / torch.pi) ** 2)
        term = term * _transfer(to_d.norm(dim=1), to_a.norm(dim=1))
        term = term * self._donor_scale(z, near)[donor, (z[acceptor] == OXYGEN).long()]
        term = term * self._acceptor_scale(z, near)[acceptor]
        return energy.index_add(0, systems.system_idx[hydrogen], term / EV_KCAL_MOL)

    def _depth(self, donor: Tensor, acceptor: Tensor) -> Tensor:
        table = torch.tensor([[self.nh_n, self.nh_o], [self.oh_n, self.oh_o]], dtype=torch.float64)
        return table.to(donor.device)[donor - NITROGEN, acceptor - NITROGEN]

    def _donor_scale(self, z: Tensor, near: _Neighbors) -> Tensor:
        """Scale of each atom as a donor to nitrogen and to oxygen, [atoms, 2]."""
        of_hydrogen = near.bond * (z[near.j] == HYDROGEN)
        hydrogens = _sum(near.i, of_hydrogen, z)
        others = _sum(near.i, near.bond - of_hydrogen, z)
        two_hydrogens = (1 - (hydrogens - 2).abs()).clamp(min=0)
        water = 1 + (self.water - 1) * two_hydrogens * (1 - others).clamp(min=0)
        ammonium = 1 + (self.ammonium - 1) * (hydrogens + others - 3).clamp(min=0)
        one = torch.ones_like(water)
        to_n = torch.where(z == NITROGEN, ammonium, one)
        return torch.stack((to_n, torch.where(z == OXYGEN, water, to_n)), dim=1)

    def _acceptor_scale(self, z: Tensor, near: _Neighbors) -> Tensor:
        """Scale of each atom as an acceptor, [atoms]: more than 1 for the oxygens of a carboxylate."""
        scale = near.r.new_ones(z.shape[0])
        bonded = near.bond > 0
        pick = torch.nonzero(bonded & (z[near.i] == OXYGEN) & (z[near.j] == CARBON)).squeeze(1)
        pick = pick[_first_nearest(near.i[pick], near.r[pick])]
        oxygen, carbon = near.i[pick], near.j[pick]
        row, other = _partners(carbon, near.i, bonded & (z[near.i] == CARBON) & (z[near.j] == OXYGEN))
        keep = near.j[other] != oxygen[row]
        row, other = row[keep], other[keep]
        choice = _first_nearest(row, near.r[other])
        row, other = row[choice], other[choice]
        valence = _sum(near.i, near.bond, z)
        o_1, o_2, c = oxygen[row], near.j[other], carbon[row]
        likeness = [(1 - (valence[k] - v).abs()).clamp(min=0) for k, v in ((o_1, 1), (o_2, 1), (c, 3))]
        return scale.index_add(0, o_1, (self.carboxylate - 1) * likeness[0] * likeness[1] * likeness[2])


@dataclass(frozen=True)
class HydrogenRepulsion:
    """Repulsion of all pairs of hydrogen atoms that belongs to D3H4.

    ``E = Σ_{i<j} 118.7326 exp(−1.53965 R^1.72905)`` kcal/mol from 1.5 Å (where the published pieces leave a
    step of 6e-4 kcal/mol/Å in the slope), a polynomial below, constant below 1 Å.
    """

    def energy(self, systems: Systems) -> Tensor:
        """Repulsion energy, [systems] eV; differentiable by ``systems.positions``.

        Raises:
            InputError: a periodic system.
        """
        require_molecules(systems, "the repulsion of hydrogen atoms")
        near = _neighbors(systems)
        keep = (systems.numbers[near.i] == HYDROGEN) & (systems.numbers[near.j] == HYDROGEN) & (near.i < near.j)
        i, r = near.i[keep], near.r[keep]
        inner = _polynomial(_REPULSION, r.clamp(1.0, 1.5))
        outer = 118.7326 * torch.exp(-1.53965 * r.clamp(min=1.5) ** 1.72905)
        pair = torch.where(r < 1.5, inner, outer) / EV_KCAL_MOL
        return systems.positions.new_zeros(systems.n_systems).index_add(0, systems.system_idx[i], pair)


@dataclass(frozen=True)
class SoftHydrogenRepulsion:
    """Repulsion of all pairs of hydrogen atoms as first published, which methods but PM6 keep.

    ``E = Σ_{i<j} k / (1 + exp(e (R/r_0 − 1)))``.
    """

    height: float  # k, kcal/mol
    steepness: float  # e
    center: float  # r_0, Å

    def energy(self, systems: Systems) -> Tensor:
        """Repulsion energy, [systems] eV; differentiable by ``systems.positions``.

        Raises:
            InputError: a periodic system.
        """
        require_molecules(systems, "the repulsion of hydrogen atoms")
        hydrogens = torch.nonzero(systems.numbers == HYDROGEN).squeeze(1)
        x, owner = systems.positions[hydrogens], systems.system_idx[hydrogens]
        energy = x.new_zeros(systems.n_systems)
        pairs = neighbor_list(x, SOFT_RANGE, owner)
        one_way = pairs.i < pairs.j
        i, j = pairs.i[one_way], pairs.j[one_way]
        pair = self.height * torch.sigmoid(self.steepness * (1 - norm(x[j] - x[i]) / self.center))
        return energy.index_add(0, owner[i], pair / EV_KCAL_MOL)


def _has_donors(systems: Systems) -> bool:
    """Whether some hydrogen is nearer to a nitrogen or oxygen than to any other atom; true where that takes long."""
    if systems.n_atoms > _FEW or systems.n_systems > 1:
        return True
    z = systems.kept("numbers", lambda: systems.numbers.cpu().numpy())
    x = systems.positions.detach().cpu().numpy()
    hydrogen, heavy = np.flatnonzero(z == HYDROGEN), np.flatnonzero(z != HYDROGEN)
    if not len(hydrogen) or not len(heavy):
        return False
    squares = np.square(x[hydrogen, None] - x[None, heavy]).sum(axis=2)
    return bool(np.isin(z[heavy[squares.argmin(axis=1)]], (NITROGEN, OXYGEN)).any())


def _neighbors(systems: Systems) -> _Neighbors:
    pairs = neighbor_list(systems.positions, _RANGE, systems.system_idx)
    r = (systems.positions[pairs.j] - systems.positions[pairs.i]).norm(dim=1)
    radius = covalent_radii(systems.numbers, r.dtype)
    full = radius[pairs.i] + radius[pairs.j]
    progress = (r / torch.where(full > 0, full, 1.0) - 1) / 0.6
    return _Neighbors(pairs.i, pairs.j, r, torch.where(full > 0, 1 - _switch(progress), 0.0))


def _bridges(z: Tensor, near: _Neighbors) -> tuple[Tensor, Tensor, Tensor]:
    """Hydrogen, donor (the atom nearest to it) and acceptor of all D–H···A, [bridges] each."""
    heavy = torch.nonzero((z[near.i] == HYDROGEN) & (z[near.j] != HYDROGEN)).squeeze(1)
    bond = heavy[_first_nearest(near.i[heavy], near.r[heavy])]
    polar = (z == NITROGEN) | (z == OXYGEN)
    bond = bond[polar[near.j[bond]]]
    between = (near.r > _NEAREST) & (near.r < _FARTHEST) & polar[near.i] & polar[near.j]
    row, pair = _partners(near.j[bond], near.i, between)
    return near.i[bond][row], near.i[pair], near.j[pair]


def _first_nearest(group: Tensor, r: Tensor) -> Tensor:
    """Positions of the smallest r of each group, [distinct groups]."""
    order = torch.argsort(r.detach(), stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = group[order][1:] != group[order][:-1]
    return order[first]


def _partners(atoms: Tensor, i: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """All (row of ``atoms``, pair) whose pair starts at the row's atom and is allowed; ``i`` is sorted."""
    pairs = torch.nonzero(allowed).squeeze(1)
    first = torch.searchsorted(i[pairs], atoms)
    counts = torch.searchsorted(i[pairs], atoms, right=True) - first
    row = torch.repeat_interleave(torch.arange(atoms.shape[0], device=atoms.device), counts)
    return row, pairs[first[row] + ranks(counts)]


def _sum(i: Tensor, values: Tensor, z: Tensor) -> Tensor:
    return values.new_zeros(z.shape[0]).index_add(0, i, values)


def _switch(x: Tensor) -> Tensor:
    """Smooth step from 0 at x ≤ 0 to 1 at x ≥ 1."""
    x = x.clamp(0.0, 1.0)
    return x**4 * (35 + x * (-84 + x * (70 - 20 * x)))


def _transfer(r_donor: Tensor, r_acceptor: Tensor) -> Tensor:
    """1 while the donor's bond is shorter than 1.15 Å, falling to 0 where the hydrogen is half-way."""
    middle = 0.5 * (r_donor + r_acceptor) - _BOND
    stretched = r_donor > _BOND
    return 1 - torch.where(stretched, _switch((r_donor - _BOND) / torch.where(stretched, middle, 1.0)), 0.0)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    value = torch.zeros_like(x)
    for c in reversed(coefficients):
        value = value * x + c
    return value
