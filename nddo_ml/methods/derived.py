"""Parameters that change, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.methods.multipoles import solve_multipoles
from nddo_ml.methods.parameters import Parameters
from nddo_ml.methods.slater_condon import (
    F0_SD,
    G2_SD,
    RADIAL_TERMS,
    SP_TERMS,
    slater_condon,
)

_DERIVED = {"core_charge", "principal", "period", "width", "slater_condon", "multipoles"}
_DERIVED |= {"averages_d", "constants", "point_charges"}
_INTERNAL = {"zeta_sn", "zeta_pn", "zeta_dn", "F0_sd", "G2_sd"}  # what Slater–Condon parameters follow from,
_EXTERNAL = {"zeta_s", "zeta_p", "zeta_d", "g_ss", "g_pp", "g_p2", "h_sp", "rho_core"}  # and what multipoles do


def shifted(parameters: Parameters, deltas: Mapping[str, Tensor]) -> Parameters:
    """Parameters plus ``deltas`` (name -> [atoms] or [atoms, 4]); what follows from them follows.

    Charge separations and additive radii are solved again from the changed exponents and one-centre
    integrals, so that the two-centre integrals keep their one-centre limit.

    Raises:
        InputError: a name that is no shiftable parameter.
    """
    known = {f.name for f in fields(parameters)} - _DERIVED
    unknown = sorted(set(deltas) - known)
    if unknown:
        raise InputError(f"unknown parameters {unknown}; expected some of {sorted(known)}")
    new = replace(parameters, **{name: getattr(parameters, name) + delta for name, delta in deltas.items()})
    if set(deltas) & _INTERNAL:
        new = replace(new, slater_condon=d_slater_condon(new))
    if set(deltas) & (_INTERNAL | _EXTERNAL):
        new = replace(new, multipoles=solve_multipoles(new, parent=parameters.multipoles))
    return new


def d_slater_condon(p: Parameters) -> Tensor:
    """Slater–Condon parameters with d orbitals, [atoms, 12] eV; F0_sd and G2_sd as given where they are.

    Zero without internal exponents, as in MOPAC: thallium in PM7, whose d orbitals repel nothing.
    """
    rows = torch.nonzero((p.width == 9) & (p.zeta_dn > 0)).squeeze(1)
    values = p.slater_condon.new_zeros(p.width.shape[0], len(RADIAL_TERMS) - SP_TERMS)
    if not rows.numel():
        return values
    zeta = torch.stack((p.zeta_sn, p.zeta_pn, p.zeta_dn), dim=1)[rows]
    quantum = torch.stack((p.period, p.period, p.principal[:, 2]), dim=1)[rows]
    radial = list(slater_condon(zeta, quantum, p.constants.hartree_ev).unbind(dim=1))
    for term, given in ((F0_SD, p.F0_sd[rows]), (G2_SD, p.G2_sd[rows])):
        radial[term] = torch.where(given > 0, given, radial[term])
    return values.index_copy(0, rows, torch.stack(radial[SP_TERMS:], dim=1))
