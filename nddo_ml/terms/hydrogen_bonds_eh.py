"""Hydrogen bonds of nitrogen and oxygen in PM7 (EH+) and in the DH+ correction of PM6.

Sources: Korth, J. Chem. Theory Comput. 6, 3808 (2010); Stewart, J. Mol. Model. 19, 1 (2013); where the papers are
silent (which atoms span the angles, damping), the rules are those of MOPAC's open source.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors.geometry import norm
from nddo_ml.elements import HYDROGEN, NITROGEN, OXYGEN
from nddo_ml.systems import Systems, require_molecules
from nddo_ml.units import BOHR_ANGSTROM, EV_KCAL_MOL, HARTREE_EV

_BOND = 1.4  # Å, longest X–H of a donor
_LONE, _TETRAHEDRAL, _TRIGONAL = torch.pi, 109.48 * torch.pi / 180, 120 * torch.pi / 180  # rad
_TORSION, _TO_TRIGONAL, _TO_PLANAR = 54.74, 19.48, 35.26  # degrees: pyramidal NR3, and what flattening adds
_PLANAR = 1e-6  # rad, an NR3 that is flatter has no side
# Å, radii whose sums times 4/3 bound a bond here: Pyykkö & Atsumi, Chem. Eur. J. 15, 186 (2009), H to Pu
_RADII = (
    "0 .32 .46 1.20 .94 .77 .75 .71 .63 .64 .67 1.40 1.25 1.13 1.04 1.10 1.02 .99 .96 1.76 1.54 "
    "1.33 1.22 1.21 1.10 1.07 1.04 1.00 .99 1.01 1.09 1.12 1.09 1.15 1.10 1.14 1.17 1.89 1.67 1.47 1.39 "
    "1.32 1.24 1.15 1.13 1.13 1.08 1.15 1.23 1.28 1.26 1.26 1.23 1.32 1.31 2.09 1.76 1.62 1.47 1.58 1.57 "
    "1.56 1.55 1.51 1.52 1.51 1.50 1.49 1.49 1.48 1.53 1.46 1.37 1.31 1.23 1.18 1.16 1.11 1.12 1.13 1.32 "
    "1.30 1.30 1.36 1.31 1.38 1.42 2.01 1.81 1.67 1.58 1.52 1.53 1.54 1.55"
)


@dataclass(frozen=True)
class HydrogenBondsEH:
    """``E = Σ ½ (k_X + k_Y)/R_XY² cos²θ [1 − (1 − c_X c'_X c_Y c'_Y)²] d`` over X–H···Y with θ > 90°.

    θ is the angle X–H···Y, c and c' the cosines of how far the angle and the torsion of the hydrogen about each end
    are from those of the end's lone pair: two and three ligands of oxygen and nitrogen tell which; for NR3 both follow
    the pyramid's flatness. d damps hydrogens within 1.2 Å of their nearer end (unless both ends are about as far),
    ends nearer than 2.4 Å and farther than 7 Å. Two oxygen ends have ``−2.5 exp(−80 max(R − 2.67, 0)²) cos⁴θ``
    kcal/mol as well. Ends that are bonded to each other, or to one atom, do not count.

    ``original`` has Korth's form instead: the bracket is (c_X c'_X c_Y c'_Y)², nothing is added for oxygen, and
    every hydrogen is damped.

    Where it jumps: neighbours come and go at fixed distances, the atoms that span the angles are those farthest from
    the hydrogen, and the side on which an NR3 is pyramidal counts; forces are the derivative on either side.
    """

    nitrogen: float = -0.171271  # k, hartree bohr²
    oxygen: float = -0.098822
    reach: float = 7.0  # Å, longest distance of the two ends
    original: bool = False

    def energy(self, systems: Systems) -> Tensor:
        """Energy of the hydrogen bonds, [systems] eV; differentiable by ``systems.positions``.

        Raises:
            InputError: a periodic system.
        """
        of_bonds, system = self.bond_energies(systems)
        return of_bonds.new_zeros(systems.n_systems).index_add(0, system, of_bonds)

    def bond_energies(self, systems: Systems) -> tuple[Tensor, Tensor]:
        """Energy of every hydrogen bond, [bonds] eV, and the system that it is in, [bonds].

        Raises:
            InputError: a periodic system.
        """
        require_molecules(systems, "the EH+ correction")
        bonds = _find(systems, self.reach)
        if bonds is None:
            return systems.positions.new_zeros(0), systems.system_idx.new_zeros(0)
        return self._pair_energies(systems, bonds) / EV_KCAL_MOL, systems.system_idx[bonds.hydrogen]

    def _pair_energies(self, systems: Systems, bonds: _Bonds) -> Tensor:
        """[bonds] kcal/mol."""
        x, z = systems.positions, systems.numbers
        hydrogen, (one, two) = bonds.hydrogen, (bonds.ends[0].atom, bonds.ends[1].atom)
        to_one, to_two = x[one] - x[hydrogen], x[two] - x[hydrogen]
        r_one, r_two, r = norm(to_one), norm(to_two), norm(x[two] - x[one])
        cosine = -(to_one * to_two).sum(dim=1) / (r_one * r_two)
        shape, counts = torch.ones_like(cosine), cosine > 0
        for end, closed in zip(bonds.ends, (False, True), strict=True):
            bend, twist = _end_cosines(x, z, hydrogen, end)
            counts = counts & (bend > 0)
            if closed:
                twist = twist.abs()  # MOPAC leaves the torsion of the second end its absolute value
            else:
                counts = counts & (twist >= 0)
            shape = shape * bend * twist
        strength = [torch.where(z[k] == NITROGEN, self.nitrogen, self.oxygen).to(x) for k in (one, two)]
        depth = 0.5 * (strength[0] + strength[1]) * BOHR_ANGSTROM**2 * HARTREE_EV * EV_KCAL_MOL / r**2
        near, far = _damping(r_one, r_two), _switched_off(r)
        if self.original:
            return torch.where(counts, depth * cosine**2 * shape**2 * near * far, 0.0)
        near = torch.where((r_one - r_two).abs() > 0.5, near, 1.0)
        energy = depth * cosine**2 * (1 - (1 - shape) ** 2) * near * far
        strong = -2.5 * torch.exp(-80 * (r - 2.67).clamp(min=0) ** 2) * cosine**4
        energy = energy + torch.where((z[one] == OXYGEN) & (z[two] == OXYGEN), strong, 0.0)
        return torch.where(counts, energy, 0.0)


@dataclass(frozen=True)
class _End:
    """One end of hydrogen bonds: its atom, the atoms that span its angles, and how many ligands it has."""

    atom: Tensor  # [bonds]
    second: Tensor  # [bonds] ligand farthest from the hydrogen
    third: Tensor
    fourth: Tensor
    ligands: Tensor  # [bonds]


@dataclass(frozen=True)
class _Bonds:
    hydrogen: Tensor  # [bonds]
    ends: tuple[_End, _End]  # the one that carries the hydrogen, the other


def _damping(r_one: Tensor, r_two: Tensor) -> Tensor:
    """1 for a hydrogen near one end, 0 for one beyond 1.2 Å of both."""
    return torch.sigmoid(-60 * (torch.minimum(r_one, r_two) / 1.2 - 1))


def _switched_off(r: Tensor) -> Tensor:
    """1 between 2.4 and 7 Å, 0 outside."""
    return torch.sigmoid(100 * (r / 2.4 - 1)) * torch.sigmoid(-10 * (r / 7.0 - 1))


def _end_cosines(x: Tensor, z: Tensor, hydrogen: Tensor, end: _End) -> tuple[Tensor, Tensor]:
    """Cosines of the deviations of angle and torsion from an end's lone pairs, [bonds] each."""
    oxygen, one, two = z[end.atom] == OXYGEN, end.ligands == 1, end.ligands == 2
    carbonyl, trigonal = oxygen & one, ~oxygen & two
    amine = ~oxygen & ~two
    flat = 180 / torch.pi * _torsion(x, end.third, end.second, end.atom, end.fourth)
    flat = torch.where(flat < 0, -180 - flat, 180 - flat)
    side = torch.where(amine & (flat.abs() > 180 / torch.pi * _PLANAR), flat.sign(), 0.0)
    flattened = torch.where(amine, (_TORSION - flat.abs()) / _TORSION, 0.0)
    shift = torch.where(carbonyl | trigonal, 0.0, torch.pi / 180 * (_TORSION + flattened * _TO_PLANAR))
    tetrahedral = _TETRAHEDRAL - torch.pi / 180 * flattened * _TO_TRIGONAL
    target = torch.where(carbonyl, _LONE, torch.where(trigonal, _TRIGONAL, tetrahedral))
    angle = _angle(x[end.second] - x[end.atom], x[hydrogen] - x[end.atom])
    bend = torch.cos(target - angle)
    bend = torch.where(carbonyl, torch.maximum(bend, torch.cos(_TRIGONAL - angle)), bend)
    turn = _torsion(x, end.third, end.second, end.atom, hydrogen)
    opposite = torch.where(turn < 0, -torch.pi - turn, torch.pi - turn)
    turn = torch.where(carbonyl & (turn.abs() <= torch.pi / 2), turn, opposite)
    up, down = torch.cos(shift - turn), torch.cos(-shift - turn)
    twist = torch.where(side < 0, up, torch.where(side > 0, down, torch.maximum(up, down)))
    behind = norm(x[hydrogen] - x[end.atom]) > norm(x[hydrogen] - x[end.second])
    twist = torch.where(carbonyl & behind, 0.0, twist)
    return bend, torch.where((end.third == end.fourth) | (hydrogen == end.fourth), 1.0, twist)


def _angle(u: Tensor, v: Tensor) -> Tensor:
    """Angle of two vectors, [n] rad; 0 where one has no length."""
    return torch.atan2(norm(torch.linalg.cross(u, v)), (u * v).sum(dim=1))


def _torsion(x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Torsion a–b–c–d, [n] rad in (−π, π]; 0 where it is not defined."""
    axis = x[c] - x[b]
    m, n = torch.linalg.cross(x[b] - x[a], axis), torch.linalg.cross(axis, x[d] - x[c])
    sine = (m * (x[d] - x[c])).sum(dim=1) * norm(axis)
    cosine = (m * n).sum(dim=1)
    defined = (m.square().sum(dim=1) > 1e-14) & (n.square().sum(dim=1) > 1e-14)
    return torch.where(defined, torch.atan2(sine, torch.where(defined, cosine, 1.0)), 0.0)


def _find(systems: Systems, reach: float) -> _Bonds | None:
    """All hydrogen bonds of a batch whose ends are within reach; None if there are none."""
    z = systems.numbers
    polar = torch.nonzero((z == NITROGEN) | (z == OXYGEN)).squeeze(1)
    if polar.numel() < 2 or not bool((z == HYDROGEN).any()):
        return None
    rows: list[list[int]] = []
    for k in systems.system_idx[polar].unique().tolist():
        atoms = torch.nonzero(systems.system_idx == k).squeeze(1)
        found = _of_molecule(z[atoms], systems.positions.detach()[atoms], reach)
        rows += [atoms[row[:9]].tolist() + row[9:] for row in found]
    if not rows:
        return None
    h, *c = torch.tensor(rows, device=z.device).unbind(dim=1)
    return _Bonds(h, (_End(c[0], c[1], c[2], c[3], c[8]), _End(c[4], c[5], c[6], c[7], c[9])))


def _of_molecule(z: Tensor, x: Tensor, reach: float) -> list[list[int]]:
    """Hydrogen bonds of one molecule: hydrogen, four atoms of each end, and the ends' numbers of ligands."""
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    radius = torch.tensor([float(v) for v in _RADII.split()], dtype=x.dtype)[z.clamp(max=94).cpu()].to(x)
    touching = distance < 4 / 3 * (radius[:, None] + radius[None])
    touching.fill_diagonal_(fill_value=False)
    near = [torch.nonzero(row).squeeze(1).tolist() for row in touching]
    polar = torch.nonzero((z == NITROGEN) | (z == OXYGEN)).squeeze(1).tolist()
    hydrogens = torch.nonzero(z == HYDROGEN).squeeze(1).tolist()
    r = distance.tolist()
    seen: set[tuple[int, int, int]] = set()
    rows = []
    for one in polar:
        for h in (h for h in hydrogens if r[one][h] < _BOND):
            for two in (k for k in polar if k != one and r[one][k] < reach):
                wide = r[one][h] ** 2 + r[two][h] ** 2 < r[one][two] ** 2  # the angle at h is above 90°
                if not wide or (two, h, one) in seen:
                    continue
                seen.add((one, h, two))
                ends = [_ligands(near[k], r[k]) for k in (one, two)]
                if two in ends[0] or (set(ends[0]) & set(ends[1])) - {h}:
                    continue
                spanned = [_spanning(k, h, near, own, r[h]) for k, own in zip((one, two), ends, strict=True)]
                rows.append([h, *spanned[0], *spanned[1], len(ends[0]), len(ends[1])])
    return rows


def _ligands(near: list[int], r: list[float]) -> list[int]:
    """The atoms bonded to an end; of five or more the nearest four."""
    return sorted(sorted(near, key=lambda k: r[k])[:4])


def _spanning(atom: int, h: int, near: list[list[int]], ligands: list[int], from_h: list[float]) -> list[int]:
    """An end, its ligand farthest from the hydrogen, and the two atoms behind that span its torsions."""
    last = h if h in near[atom] else atom
    if not ligands:
        return [atom, last, last, last]
    far = sorted(ligands, key=lambda k: -from_h[k])
    if len(far) == 1:
        return [atom, far[0], max(near[far[0]], key=lambda k: from_h[k]), last]
    return [atom, *far[:3]] if len(far) > 2 else [atom, *far, last]
