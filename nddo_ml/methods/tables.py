"""The tables of methods as tensors, with all that follows from them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.methods.derived import d_slater_condon
from nddo_ml.methods.files import element_rows, rows
from nddo_ml.methods.multipoles import solve_multipoles
from nddo_ml.methods.parameters import GAUSSIANS, MAX_Z, SCALARS, Method, Multipoles, Parameters
from nddo_ml.methods.published import METHODS, MethodInfo
from nddo_ml.methods.slater_condon import F0_DD, F0_SD, F2_DD, F4_DD, G2_SD, RADIAL_TERMS, SP_TERMS, slater_condon


@cache
def load_method(name: str) -> Method:
    """Read a method's table.

    Raises:
        InputError: there is no such method.
    """
    info = next((info for key, info in METHODS.items() if key.upper() == name.upper()), None)
    if info is None:
        raise InputError(f"unknown method {name!r}; expected one of {', '.join(METHODS)}")
    elements = _element_data()
    scalars = {key: torch.zeros(MAX_Z, dtype=torch.float64) for key in SCALARS}
    gaussians = {key: torch.zeros(MAX_Z, GAUSSIANS, dtype=torch.float64) for key in "KLM"}
    width = torch.zeros(MAX_Z, dtype=torch.int64)
    for row in element_rows(info.table, with_d=info.with_d):
        z = int(row["Z"])
        for key in SCALARS:
            scalars[key][z] = float(row.get(key) or 0.0)
        for key in "KLM":
            for k in range(GAUSSIANS):
                gaussians[key][z, k] = float(row.get(f"{key}{k + 1}") or 0.0)
        width[z] = 9 if row.get("zeta_d") else 4 if row["zeta_p"] else 1
    table = _table_parameters(scalars, gaussians, elements, width, info)
    pair_alpha, pair_x = _pair_tables(info.table)
    if info.mean_pairs:
        pair_alpha, pair_x = _with_mean_pairs(pair_alpha, pair_x)
    return Method(
        info=info,
        scalars={key: getattr(table, key) for key in SCALARS},
        gaussians=gaussians,
        pair_alpha=pair_alpha,
        pair_x=pair_x,
        core_charge=table.core_charge,
        occupation=elements["occupation"],
        principal=table.principal,
        period=table.period,
        width=width,
        slater_condon=table.slater_condon,
        multipoles=table.multipoles,
        isolated_energy=isolated_energy(table, elements["occupation"]),
        heat_of_atomization=elements["heat_of_atomization"],
        averages_d=table.averages_d,
    )


@cache
def polarizability_volumes(name: str) -> Tensor:
    """Fitted polarisability volumes of the atoms in a method, [MAX_Z] Å³; zeros where the table has none."""
    volumes = torch.zeros(MAX_Z, dtype=torch.float64)
    for row in rows(METHODS[name].table):
        volumes[int(row["Z"])] = float(row.get("polvol") or 0.0)
    return volumes


@cache
def _element_data() -> dict[str, Tensor]:
    data = {
        "core_charge": torch.zeros(MAX_Z, dtype=torch.float64),
        "occupation": torch.zeros(MAX_Z, 3, dtype=torch.float64),
        "principal": torch.zeros(MAX_Z, 3, dtype=torch.int64),
        "heat_of_atomization": torch.zeros(MAX_Z, dtype=torch.float64),
        "main_group": torch.ones(MAX_Z, dtype=torch.bool),
    }
    for row in rows("elements"):
        z = int(row["Z"])
        data["core_charge"][z] = float(row["core_charge"])
        data["occupation"][z] = torch.tensor([float(row[f"occ_{l}"]) for l in "spd"], dtype=torch.float64)
        data["principal"][z] = torch.tensor([int(row[f"n_{l}"]) for l in "spd"])
        data["main_group"][z] = row["main_group"] == "1"
        data["heat_of_atomization"][z] = float(row["heat_of_atomization_kcal_mol"] or 0.0)
    return data


def _pair_tables(table: str) -> tuple[Tensor, Tensor]:
    alpha = torch.full((MAX_Z, MAX_Z), float("nan"), dtype=torch.float64)
    x = torch.zeros(MAX_Z, MAX_Z, dtype=torch.float64)
    for row in rows(f"{table}_pairs"):
        a, b = int(row["Z_a"]), int(row["Z_b"])
        alpha[a, b] = alpha[b, a] = float(row["alpha"])
        x[a, b] = x[b, a] = float(row["x"])
    return alpha, x


_DEFAULT_ALPHA = 1.2  # 1/Å, where a pair has x but no exponent


def _with_mean_pairs(alpha: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs that lack an x get the mean of those of their elements, as in MOPAC's PM7."""
    own_alpha, own_x = torch.nan_to_num(alpha.diagonal()), x.diagonal()
    mean_alpha, mean_x = (0.5 * (v[:, None] + v) for v in (own_alpha, own_x))
    lacks = x.abs() < 1e-5
    alpha, x = torch.where(lacks, mean_alpha, alpha), torch.where(lacks, mean_x, x)
    return torch.where(alpha < 1e-6, _DEFAULT_ALPHA, alpha), x


def _periods() -> Tensor:
    noble_gases = torch.tensor([2, 10, 18, 36, 54, 86, 118])
    return 1 + torch.bucketize(torch.arange(MAX_Z), noble_gases)


def _table_parameters(
    scalars: dict[str, Tensor],
    gaussians: dict[str, Tensor],
    elements: dict[str, Tensor],
    width: Tensor,
    info: MethodInfo,
) -> Parameters:
    """The table as Parameters of one atom an element, with all that follows from it."""
    empty = Multipoles(*(torch.zeros(0),) * 5)
    table = Parameters(
        **scalars,
        **gaussians,
        core_charge=elements["core_charge"],
        principal=elements["principal"],
        period=_periods(),
        width=width,
        slater_condon=torch.zeros(MAX_Z, len(RADIAL_TERMS) - SP_TERMS, dtype=torch.float64),
        multipoles=empty,
        averages_d=(elements["occupation"][:, 2] > 0) & (width == 9) & info.averages_d,
        constants=info.constants,
        point_charges=info.point_charges,
    )
    table = _with_metal_integrals(table, elements["main_group"])
    table = replace(table, slater_condon=d_slater_condon(table))
    return replace(table, multipoles=solve_multipoles(table))


def _with_metal_integrals(p: Parameters, main_group: Tensor) -> Parameters:
    """One-centre integrals of s and p from the internal exponents, where the table leaves them to these."""
    rows = torch.nonzero(~main_group & (p.zeta_sn > 0) & (p.zeta_pn > 0)).squeeze(1)
    if not rows.numel():
        return p
    zeta = torch.stack((p.zeta_sn, p.zeta_pn, p.zeta_pn), dim=1)[rows]
    radial = slater_condon(zeta, p.period[rows, None].expand(-1, 3), p.constants.hartree_ev)
    f0_ss, f0_sp, g1_sp, f0_pp, f2_pp = radial[:, :SP_TERMS].unbind(dim=1)
    return replace(
        p,
        g_ss=p.g_ss.index_copy(0, rows, f0_ss),
        g_sp=p.g_sp.index_copy(0, rows, f0_sp),
        g_pp=p.g_pp.index_copy(0, rows, f0_pp + 4 / 25 * f2_pp),
        g_p2=p.g_p2.index_copy(0, rows, f0_pp - 2 / 25 * f2_pp),
        h_sp=p.h_sp.index_copy(0, rows, g1_sp / 3),
    )


# n_d electrons with parallel spins first -> how often −F2/49 and −F4/49 count in the lowest term of d^n (Hund).
_HUND = {2: (8, 1), 3: (15, 8), 4: (21, 21), 5: (35, 35), 6: (35, 35), 7: (43, 36), 8: (50, 43), 9: (56, 56)}
_HUND[10] = (70, 70)
_CERIUM_TO_YTTERBIUM = slice(58, 71)  # their f shells are in the core; MOPAC leaves out d-electron repulsion


def isolated_energy(p: Parameters, occupation: Tensor) -> Tensor:
    """Electronic energy of the neutral atoms of a table, [MAX_Z] eV, by the convention of MNDO.

    With m = min(n_p, 6 − n_p): E = n_s U_ss + n_p U_pp + n_d U_dd + max(n_s − 1, 0) g_ss + n_s n_p (g_sp − h_sp/2)
    + [n_p(n_p − 1)/2 + m(m − 1)/4] g_p2 − m(m − 1)/4 g_pp (Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977)); d
    electrons add the energy of the lowest term of the configuration, in Slater–Condon parameters.
    """
    s, pp, d = occupation.unbind(dim=1)
    m = torch.minimum(pp, 6 - pp)
    exchange = 0.5 * m * (m - 1)
    energy = (
        s * p.U_ss
        + pp * p.U_pp
        + d * p.U_dd
        + (s - 1).clamp(min=0) * p.g_ss
        + s * pp * p.g_sp
        + (0.5 * pp * (pp - 1) + 0.5 * exchange) * p.g_p2
        - 0.5 * exchange * p.g_pp
        - 0.5 * s * pp * p.h_sp
    )
    f0_sd, f0_dd, g2_sd, f2_dd, f4_dd = (p.slater_condon[:, k - SP_TERMS] for k in (F0_SD, F0_DD, G2_SD, F2_DD, F4_DD))
    hund = torch.tensor([_HUND.get(int(n), (0, 0)) for n in d], dtype=energy.dtype)
    parallel = d.clamp(max=5) * s.clamp(max=1) + (d - 5).clamp(min=0) * (s - 1).clamp(min=0)
    repulsion = s * d * f0_sd + 0.5 * d * (d - 1) * f0_dd - parallel * g2_sd / 5
    repulsion = repulsion - (hund[:, 0] * f2_dd + hund[:, 1] * f4_dd) / 49
    repulsion[_CERIUM_TO_YTTERBIUM] = 0.0
    return energy + repulsion
