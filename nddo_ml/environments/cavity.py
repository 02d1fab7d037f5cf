"""The cavity of a molecule in a continuum: a smooth surface of points on interlocking spheres."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import log

import torch
from ase.data import vdw_radii
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.systems import Systems

# Points of a sphere: degree of Lebedev's rule, and the exponent of a Gaussian of unit weight on a unit sphere.
# York & Karplus, J. Phys. Chem. A 103, 11060 (1999), digits of Gregersen & York, J. Chem. Phys. 122, 194110 (2005).
_GRIDS = {
    26: (7, 4.85478226219),
    50: (11, 4.89250673295),
    110: (17, 4.90101060987),
    194: (23, 4.90337644248),
    302: (29, 4.90498088169),
    434: (35, 4.90567349080),
    590: (41, 4.90624071359),
    770: (47, 4.90656435779),
    974: (53, 4.90685167998),
}
POINTS = tuple(_GRIDS)  # numbers of points of a sphere that there are
_GONE = 1e-12  # a point whose weight is smaller is left out
# Å; Klamt, Jonas, Bürger & Lohrenz, J. Phys. Chem. A 102, 5074 (1998). All others 1.17 times the van der Waals radius
# of Bondi, J. Phys. Chem. 68, 441 (1964), and Mantina et al., J. Phys. Chem. A 113, 5806 (2009), as ASE has them, and
# of 2 Å where they have none.
_OPTIMIZED = {1: 1.30, 6: 2.00, 7: 1.83, 8: 1.72, 9: 1.72, 16: 2.16, 17: 2.05, 35: 2.16, 53: 2.32}
_SCALE, _UNKNOWN = 1.17, 2.0


@cache
def cavity_radii() -> Tensor:
    """Radii of the spheres about atoms by atomic number, Å; those of COSMO."""
    radii = _SCALE * van_der_waals_radii()
    for number, radius in _OPTIMIZED.items():
        radii[number] = radius
    return radii


@cache
def van_der_waals_radii() -> Tensor:
    """Van der Waals radii by atomic number, Å; 2 where there is none."""
    return torch.tensor(vdw_radii, dtype=torch.float64).nan_to_num(_UNKNOWN)


@cache
def sphere(points: int) -> tuple[Tensor, Tensor, float]:
    """Lebedev's points on the unit sphere [points, 3], their weights (sum 4π), and the exponent of their Gaussians.

    Raises:
        InputError: a number of points for which there is no rule.
    """
    if points not in _GRIDS:
        raise InputError(f"the points of a sphere must be one of {', '.join(map(str, POINTS))}; got {points}")
    from scipy.integrate import lebedev_rule

    degree, exponent = _GRIDS[points]
    at, weights = lebedev_rule(degree)
    return torch.from_numpy(at.T.copy()), torch.from_numpy(weights), exponent


@dataclass(frozen=True)
class Atoms:
    """The atoms of a batch, padded to those of the largest system."""

    centers: Tensor  # [systems, most atoms, 3] Å
    radii: Tensor  # [systems, most atoms] Å, 1 where there is none
    real: Tensor  # [systems, most atoms] bool
    place: Tensor  # [atoms] where an atom stands in [systems * most atoms]

    @classmethod
    def of(cls, systems: Systems, radii: Tensor) -> Atoms:
        """Those of systems, with radii [atoms]."""
        shape = systems.n_systems, int(systems.atoms_per_system.max())
        at = systems.system_idx * shape[1] + systems.places
        centers = systems.positions.new_zeros(shape[0] * shape[1], 3).index_copy(0, at, systems.positions)
        real = torch.zeros(shape[0] * shape[1], dtype=torch.bool, device=at.device).index_fill(0, at, value=True)
        filled = radii.new_ones(real.shape).index_copy(0, at, radii)
        return cls(centers.view(*shape, 3), filled.view(shape), real.view(shape), at)

    def padded(self, values: Tensor) -> Tensor:
        """Values of the atoms, [systems, most atoms], zero where there is none."""
        return values.new_zeros(self.real.numel()).index_copy(0, self.place, values).view(self.real.shape)


@dataclass(frozen=True)
class Surface:
    """The points of a batch of cavities; n is the most of any, and those that a cavity lacks have no weight."""

    positions: Tensor  # [systems, n, 3] Å
    switch: Tensor  # [systems, n] F, between 0 in another sphere and 1
    exponent: Tensor  # [systems, n] ζ of the Gaussian, 1/Å
    area: Tensor  # [systems, n] Å²


def surface_of(systems: Systems, radii: Tensor, points: int) -> Surface:
    """Points on the spheres about the atoms, faded out where they are in other spheres.

    ``F_i = Π_J h((|x_i − R_J| − R_in,J)/R_sw,J)``, h(x) = x³ (10 − 15x + 6x²), with ``R_sw = R √(14/n)``,
    ``R_in = R − α R_sw``, ``α = ½ + R/R_sw − √((R/R_sw)² − 1/28)``; ``ζ_i = ζ/(R √w_i)``, area ``w_i R² F_i``.
    Energies on it are smooth functions of the positions (Lange & Herbert, J. Chem. Phys. 133, 244111 (2010), "SWIG").

    Args:
        systems: molecules.
        radii: [atoms] Å.
        points: of each sphere.
    """
    unit, weights, zeta = sphere(points)
    unit, weights = unit.to(systems.positions), weights.to(systems.positions)
    atoms = Atoms.of(systems, radii)
    b, a = atoms.real.shape
    with torch.no_grad():
        atom = torch.arange(a, device=unit.device).repeat_interleave(points).expand(b, -1)
        there = atoms.real.gather(1, atom)
        kept = (_placed(atoms, atom, there, unit.repeat(a, 1), points)[1] > log(_GONE)) & there
        n = int(kept.sum(dim=1).max())
        chosen = torch.argsort((~kept).to(torch.int8), dim=1, stable=True)[:, :n]
    atom, kept = atom.gather(1, chosen), kept.gather(1, chosen)
    grid = chosen % points
    positions, logarithm = _placed(atoms, atom, kept, unit[grid], points)
    switch = logarithm.exp() * kept
    own = atoms.radii.gather(1, atom)
    exponent = zeta / (own * weights[grid].sqrt())
    return Surface(positions, switch, exponent, weights[grid] * own**2 * switch)


def _placed(atoms: Atoms, atom: Tensor, there: Tensor, direction: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Positions [systems, n, 3] of points on atoms [systems, n] and ln F [systems, n].

    That is −∞ inside another sphere, and 0 for what is no point (``there`` [systems, n] bool).
    """
    centers, radii = atoms.centers, atoms.radii
    place = centers.gather(1, atom[:, :, None].expand(-1, -1, 3)) + radii.gather(1, atom)[:, :, None] * direction
    own = torch.nn.functional.one_hot(atom, centers.shape[1]).to(torch.bool)
    own = own | ~atoms.real[:, None] | ~there[:, :, None]
    r = torch.where(own, 1.0, (place[:, :, None] - centers[:, None]).square().sum(dim=3)).sqrt()
    width = radii * (14 / points) ** 0.5
    ratio = radii / width
    inner = radii - (0.5 + ratio - (ratio**2 - 1 / 28).sqrt()) * width
    x = torch.where(own, 1.0, ((r - inner[:, None]) / width[:, None]).clamp(0, 1))
    return place, (x**3 * (10 - 15 * x + 6 * x * x)).log().sum(dim=2)
