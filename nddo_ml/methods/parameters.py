"""NDDO parameter tables and their per-atom form.

A method is a table (see ``methods``); :class:`Parameters` holds one value an atom, under the names of the literature,
and is what the integrals read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.methods.multipoles import Multipoles, is_metal, solve_multipoles
from nddo_ml.methods.slater_condon import (
    F0_SD,
    G2_SD,
    RADIAL_TERMS,
    SP_TERMS,
    slater_condon,
)
from nddo_ml.systems import Systems
from nddo_ml.units import Constants

MAX_Z = 120
_NAMES = (
    "U_ss U_pp U_dd zeta_s zeta_p zeta_d beta_s beta_p beta_d g_ss g_sp g_pp g_p2 h_sp alpha "
    "zeta_sn zeta_pn zeta_dn F0_sd G2_sd rho_core"
)
SCALARS = tuple(_NAMES.split())
GAUSSIANS = 4


@dataclass(frozen=True)
class Method:
    """A parameter table: one row an element, indexed by atomic number; absent values are zero."""

    name: str
    parent: str  # the method whose field and core repulsion it has, often itself
    description: str
    reference: str
    scalars: dict[str, Tensor]  # name -> [MAX_Z]
    gaussians: dict[str, Tensor]  # K (dimensionless), L (1/Å²), M (Å) -> [MAX_Z, 4]
    pair_alpha: Tensor  # [MAX_Z, MAX_Z] 1/Å; NaN where the pair has no diatomic parameters
    pair_x: Tensor  # [MAX_Z, MAX_Z]
    core_charge: Tensor  # [MAX_Z]
    occupation: Tensor  # [MAX_Z, 3], electrons in s, p, d of the neutral atom
    principal: Tensor  # [MAX_Z, 3] int64, principal quantum numbers of s, p, d
    period: Tensor  # [MAX_Z] int64, row of the periodic table
    width: Tensor  # [MAX_Z] int64, orbitals of an atom: 0 (element absent), 1, 4, 9
    constants: Constants  # what the method is evaluated with
    slater_condon: Tensor  # [MAX_Z, 12] eV, see Parameters
    multipoles: Multipoles  # fields [MAX_Z, ...] of the unshifted table
    isolated_energy: Tensor  # [MAX_Z] eV, electronic energy of the neutral atom in the method's convention
    heat_of_atomization: Tensor  # [MAX_Z] kcal/mol

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that the method knows."""
        return frozenset(torch.nonzero(self.width).squeeze(1).tolist())


_DERIVED = {"core_charge", "principal", "period", "width", "slater_condon", "multipoles", "constants"}
_INTERNAL = {"zeta_sn", "zeta_pn", "zeta_dn", "F0_sd", "G2_sd"}  # what Slater–Condon parameters follow from,
_EXTERNAL = {"zeta_s", "zeta_p", "zeta_d", "g_ss", "g_pp", "g_p2", "h_sp", "rho_core"}  # and what multipoles do


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
    constants: Constants

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

    def shifted(self, deltas: dict[str, Tensor]) -> Parameters:
        """These parameters plus ``deltas`` (name -> [atoms] or [atoms, 4]); what follows from them follows.

        Charge separations and additive radii are solved again from the changed exponents and one-centre
        integrals, so that the two-centre integrals keep their one-centre limit.

        Raises:
            InputError: a name that is no shiftable parameter.
        """
        known = {f.name for f in fields(self)} - _DERIVED
        unknown = sorted(set(deltas) - known)
        if unknown:
            raise InputError(f"unknown parameters {unknown}; expected some of {sorted(known)}")
        new = replace(self, **{name: getattr(self, name) + delta for name, delta in deltas.items()})
        if set(deltas) & _INTERNAL:
            new = replace(new, slater_condon=d_slater_condon(new))
        if set(deltas) & (_INTERNAL | _EXTERNAL):
            new = replace(new, multipoles=solve_multipoles(new, parent=self.multipoles))
        return new


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
        constants=method.constants,
    )


def d_slater_condon(p: Parameters) -> Tensor:
    """Slater–Condon parameters with d orbitals, [atoms, 12] eV; F0_sd and G2_sd as given where they are."""
    rows = torch.nonzero(p.width == 9).squeeze(1)
    values = p.slater_condon.new_zeros(p.width.shape[0], len(RADIAL_TERMS) - SP_TERMS)
    if not rows.numel():
        return values
    zeta = torch.stack((p.zeta_sn, p.zeta_pn, p.zeta_dn), dim=1)[rows]
    quantum = torch.stack((p.period, p.period, p.principal[:, 2]), dim=1)[rows]
    radial = list(slater_condon(zeta, quantum, p.constants.hartree_ev).unbind(dim=1))
    for term, given in ((F0_SD, p.F0_sd[rows]), (G2_SD, p.G2_sd[rows])):
        radial[term] = torch.where(given > 0, given, radial[term])
    return values.index_copy(0, rows, torch.stack(radial[SP_TERMS:], dim=1))
