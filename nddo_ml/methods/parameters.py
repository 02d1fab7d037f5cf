"""NDDO parameter tables and their per-atom form.

A method is a table (see ``methods``); :class:`Parameters` holds one value an atom, under the names of the literature,
and is what the integrals read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from nddo_ml.methods.published import MethodInfo, PointChargeLimit
from nddo_ml.systems import Systems
from nddo_ml.units import Constants

MAX_Z = 120
_NAMES = (
    "U_ss U_pp U_dd zeta_s zeta_p zeta_d beta_s beta_p beta_d g_ss g_sp g_pp g_p2 h_sp alpha "
    "zeta_sn zeta_pn zeta_dn F0_sd G2_sd rho_core"
)
SCALARS = tuple(_NAMES.split())
GAUSSIANS = 4
# Columns of ``separation`` and ``radius`` that an atom of each width has: sp and pp, then sd, pd, dd;
# ss, then sp and pp, then dd (monopole), sd, pd, dd (quadrupole), and sp and pp where they meet d orbitals or cores.
SEPARATIONS = {1: 0, 4: 2, 9: 5}
RADII = {1: 1, 4: 3, 9: 9}
SP_SEPARATION, PD_SEPARATION = 0, 3  # the columns of the dipoles


@dataclass(frozen=True)
class Multipoles:
    """Point-charge models of the products of orbitals, in bohr; columns as in SEPARATIONS and RADII."""

    separation: Tensor  # [atoms, 5] charge separations; 0 where the atom has no such product
    radius: Tensor  # [atoms, 9] additive radii; 1 where the atom has no such product
    core_radius: Tensor  # [atoms] additive radius of the core
    own_core: Tensor  # [atoms] bool, whether attraction by a core differs from that by (ss|
    factor: Tensor  # [atoms, 2] radii of sp and pp over the exact solutions of their equations

    def map(self, function: Callable[[Tensor], Tensor]) -> Multipoles:
        """Apply ``function`` to every field."""
        return Multipoles(*(function(getattr(self, name)) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Method:
    """A parameter table: one row an element, indexed by atomic number; absent values are zero."""

    info: MethodInfo  # what else makes the method
    scalars: dict[str, Tensor]  # name -> [MAX_Z]
    gaussians: dict[str, Tensor]  # K (dimensionless), L (1/Å²), M (Å) -> [MAX_Z, 4]
    pair_alpha: Tensor  # [MAX_Z, MAX_Z] 1/Å; NaN where the pair has no diatomic parameters
    pair_x: Tensor  # [MAX_Z, MAX_Z]
    core_charge: Tensor  # [MAX_Z]
    occupation: Tensor  # [MAX_Z, 3], electrons in s, p, d of the neutral atom
    principal: Tensor  # [MAX_Z, 3] int64, principal quantum numbers of s, p, d
    period: Tensor  # [MAX_Z] int64, row of the periodic table
    width: Tensor  # [MAX_Z] int64, orbitals of an atom: 0 (element absent), 1, 4, 9
    slater_condon: Tensor  # [MAX_Z, 12] eV, see Parameters
    multipoles: Multipoles  # fields [MAX_Z, ...] of the unshifted table
    isolated_energy: Tensor  # [MAX_Z] eV, electronic energy of the neutral atom in the method's convention
    heat_of_atomization: Tensor  # [MAX_Z] kcal/mol
    averages_d: Tensor  # [MAX_Z] bool, see Parameters

    @property
    def name(self) -> str:
        """Of the method."""
        return self.info.name

    @property
    def constants(self) -> Constants:
        """What the method is evaluated with."""
        return self.info.constants

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that the method knows."""
        return frozenset(torch.nonzero(self.width).squeeze(1).tolist())


@dataclass(frozen=True)
class Parameters:
    """Parameters of a batch, one value an atom (pair tables: by element); units as in ``data/SOURCES.md``."""

    U_ss: Tensor  # [atoms] eV
    U_pp: Tensor
    U_dd: Tensor
    zeta_s: Tensor  # [atoms] 1/bohr
    zeta_p: Tensor
    zeta_d: Tensor
    beta_s: Tensor  # [atoms] eV
    beta_p: Tensor
    beta_d: Tensor
    g_ss: Tensor  # [atoms] eV
    g_sp: Tensor
    g_pp: Tensor
    g_p2: Tensor
    h_sp: Tensor
    alpha: Tensor  # [atoms] 1/Å
    zeta_sn: Tensor  # [atoms] 1/bohr, internal exponents of atoms with d orbitals
    zeta_pn: Tensor
    zeta_dn: Tensor
    F0_sd: Tensor  # [atoms] eV, where it is not computed from the internal exponents; else 0
    G2_sd: Tensor
    rho_core: Tensor  # [atoms] bohr, where it is not that of ss; else 0
    K: Tensor  # [atoms, 4]
    L: Tensor  # [atoms, 4] 1/Å²
    M: Tensor  # [atoms, 4] Å
    core_charge: Tensor  # [atoms] e
    principal: Tensor  # [atoms, 3] int64, principal quantum numbers of s, p, d
    period: Tensor  # [atoms] int64, row of the periodic table
    width: Tensor  # [atoms] int64
    slater_condon: Tensor  # [atoms, 12] eV, those with d orbitals, in the order of RADIAL_TERMS; else 0
    multipoles: Multipoles
    averages_d: Tensor  # [atoms] bool, whether integrals of the d orbitals are shifted to the mean of (ss|ss)
    constants: Constants
    point_charges: PointChargeLimit | None

    @property
    def shell_populations(self) -> Tensor:
        """Electrons in s, p, d of neutral atoms, to start a field from, [atoms, 3] e.

        Main-group elements share theirs evenly among s and p, transition metals fill s, then d, then p.
        """
        z = self.core_charge
        s = torch.where(self.width == 1, z, 0.25 * z)
        even = torch.stack((s, z - s, torch.zeros_like(z)), dim=1)
        s, d = z.clamp(max=2), (z - 2).clamp(0, 10)
        metal = is_metal(self)
        return torch.where(metal[:, None], torch.stack((s, z - s - d, d), dim=1), even)


def parameters_of(systems: Systems, method: Method) -> Parameters:
    """Gather a method's table to the atoms of a batch, in the dtype and on the device of the positions."""
    z = systems.numbers
    like = systems.positions

    def gather(t: Tensor) -> Tensor:
        t = t.to(z.device)[z]
        return t.to(like.dtype) if t.is_floating_point() else t

    scalars = {f.name: gather(method.scalars[f.name]) for f in fields(Parameters) if f.name in method.scalars}
    return Parameters(
        **scalars,
        K=gather(method.gaussians["K"]),
        L=gather(method.gaussians["L"]),
        M=gather(method.gaussians["M"]),
        core_charge=gather(method.core_charge),
        principal=gather(method.principal),
        period=gather(method.period),
        width=gather(method.width),
        slater_condon=gather(method.slater_condon),
        multipoles=method.multipoles.map(gather),
        averages_d=gather(method.averages_d),
        constants=method.constants,
        point_charges=method.info.point_charges,
    )


def is_metal(p: Parameters) -> Tensor:
    """Transition metals and lanthanoids: their d shell lies below their valence shell, [atoms] bool."""
    return (p.width == 9) & (p.principal[:, 2] < p.period)
