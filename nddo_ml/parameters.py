"""NDDO parameter tables and their per-atom form.

A method is a table (``data/*.csv``, sources in ``data/SOURCES.md``); :class:`Parameters` holds one value an atom,
under the names of the literature, and is what the integrals read.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib import resources

import torch
from torch import Tensor

from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.integrals.multipoles import Multipoles, solve_multipoles
from nddo_ml.systems import Systems

MAX_Z = 120
SCALARS = (
    "U_ss U_pp U_dd zeta_s zeta_p zeta_d beta_s beta_p beta_d g_ss g_sp g_pp g_p2 h_sp alpha "
    "zeta_sn zeta_pn zeta_dn F0_sd G2_sd rho_core"
).split()
GAUSSIANS = 4


@dataclass(frozen=True)
class Method:
    """A parameter table: one row an element, indexed by atomic number; absent values are zero."""

    name: str
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
    width: Tensor  # [MAX_Z] int64, orbitals of an atom: 0 (element absent), 1, 4
    multipoles: Multipoles  # fields [MAX_Z, ...] of the unshifted table
    isolated_energy: Tensor  # [MAX_Z] eV, electronic energy of the neutral atom in the method's convention
    heat_of_atomization: Tensor  # [MAX_Z] kcal/mol

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that the method knows."""
        return frozenset(torch.nonzero(self.width).squeeze(1).tolist())


@dataclass(frozen=True)
class MethodInfo:
    """What a user wants to know of a method before it is loaded."""

    name: str
    table: str  # file name in data/, without the ending
    description: str
    reference: str

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that the method knows."""
        return load_method(self.name).elements


_INFOS = (
    MethodInfo(
        "MNDO",
        "mndo",
        "modified neglect of diatomic overlap",
        "Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977); Stewart, J. Mol. Model. 10, 155 (2004)",
    ),
    MethodInfo(
        "AM1",
        "am1",
        "Austin Model 1",
        "Dewar, Zoebisch, Healy & Stewart, J. Am. Chem. Soc. 107, 3902 (1985); Stewart, J. Mol. Model. 10, 155 (2004)",
    ),
    MethodInfo(
        "PM3",
        "pm3",
        "Parametric Method 3",
        "Stewart, J. Comput. Chem. 10, 209 (1989); 12, 320 (1991); J. Mol. Model. 10, 155 (2004)",
    ),
    MethodInfo(
        "RM1",
        "rm1",
        "Recife Model 1",
        "Rocha, Freire, Simas & Stewart, J. Comput. Chem. 27, 1101 (2006)",
    ),
)
METHODS: dict[str, MethodInfo] = {info.name: info for info in _INFOS}


@dataclass(frozen=True)
class Parameters:
    """Parameters of a batch, one value an atom (pair tables: by element); units as in ``data/SOURCES.md``."""

    U_ss: Tensor  # [atoms] eV
    U_pp: Tensor
    zeta_s: Tensor  # [atoms] 1/bohr
    zeta_p: Tensor
    beta_s: Tensor  # [atoms] eV
    beta_p: Tensor
    g_ss: Tensor  # [atoms] eV
    g_sp: Tensor
    g_pp: Tensor
    g_p2: Tensor
    h_sp: Tensor
    alpha: Tensor  # [atoms] 1/Å
    K: Tensor  # [atoms, 4]
    L: Tensor  # [atoms, 4] 1/Å²
    M: Tensor  # [atoms, 4] Å
    core_charge: Tensor  # [atoms] e
    principal: Tensor  # [atoms, 3] int64, principal quantum numbers of s, p, d
    period: Tensor  # [atoms] int64, row of the periodic table
    width: Tensor  # [atoms] int64
    multipoles: Multipoles

    def shifted(self, deltas: dict[str, Tensor]) -> Parameters:
        """These parameters plus ``deltas`` (name -> [atoms] or [atoms, 4]); what follows from them follows.

        Charge separations and additive radii are solved again from the changed exponents and one-centre
        integrals, so that the two-centre integrals keep their one-centre limit.

        Raises:
            InputError: a name that is no shiftable parameter.
        """
        known = {f.name for f in fields(self)} - {"core_charge", "principal", "period", "width", "multipoles"}
        unknown = sorted(set(deltas) - known)
        if unknown:
            raise InputError(f"unknown parameters {unknown}; expected some of {sorted(known)}")
        new = replace(self, **{name: getattr(self, name) + delta for name, delta in deltas.items()})
        if set(deltas) & {"zeta_s", "zeta_p", "g_ss", "g_pp", "g_p2", "h_sp"}:
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
        multipoles=method.multipoles.map(gather),
    )


@lru_cache(maxsize=None)
def load_method(name: str) -> Method:
    """Read a method's table.

    Raises:
        InputError: there is no such method.
    """
    info = METHODS.get(name.upper())
    if info is None:
        raise InputError(f"unknown method {name!r}; expected one of {', '.join(METHODS)}")
    rows = [row for row in _read(info.table) if not any(row.get(k) for k in ("zeta_d", "U_dd"))]
    scalars = {key: torch.zeros(MAX_Z, dtype=torch.float64) for key in SCALARS}
    gaussians = {key: torch.zeros(MAX_Z, GAUSSIANS, dtype=torch.float64) for key in "KLM"}
    width = torch.zeros(MAX_Z, dtype=torch.int64)
    for row in rows:
        z = int(row["Z"])
        for key in SCALARS:
            scalars[key][z] = float(row.get(key) or 0.0)
        for key in "KLM":
            for k in range(GAUSSIANS):
                gaussians[key][z, k] = float(row.get(f"{key}{k + 1}") or 0.0)
        width[z] = 4 if row["zeta_p"] else 1
    elements = _element_data()
    pair_alpha, pair_x = _pair_tables(info.table)
    return Method(
        name=info.name,
        description=info.description,
        reference=info.reference,
        scalars=scalars,
        gaussians=gaussians,
        pair_alpha=pair_alpha,
        pair_x=pair_x,
        core_charge=elements["core_charge"],
        occupation=elements["occupation"],
        principal=elements["principal"],
        period=_periods(),
        width=width,
        multipoles=_table_multipoles(scalars, width),
        isolated_energy=_isolated_energy(scalars, elements["occupation"]),
        heat_of_atomization=elements["heat_of_atomization"],
    )


def _read(table: str) -> list[dict[str, str]]:
    text = resources.files("nddo_ml").joinpath("data", f"{table}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@lru_cache(maxsize=None)
def _element_data() -> dict[str, Tensor]:
    data = {
        "core_charge": torch.zeros(MAX_Z, dtype=torch.float64),
        "occupation": torch.zeros(MAX_Z, 3, dtype=torch.float64),
        "principal": torch.zeros(MAX_Z, 3, dtype=torch.int64),
        "heat_of_atomization": torch.zeros(MAX_Z, dtype=torch.float64),
    }
    for row in _read("elements"):
        z = int(row["Z"])
        data["core_charge"][z] = float(row["core_charge"])
        data["occupation"][z] = torch.tensor([float(row[f"occ_{l}"]) for l in "spd"], dtype=torch.float64)
        data["principal"][z] = torch.tensor([int(row[f"n_{l}"]) for l in "spd"])
        data["heat_of_atomization"][z] = float(row["heat_of_atomization_kcal_mol"] or 0.0)
    return data


def _pair_tables(table: str) -> tuple[Tensor, Tensor]:
    alpha = torch.full((MAX_Z, MAX_Z), float("nan"), dtype=torch.float64)
    x = torch.zeros(MAX_Z, MAX_Z, dtype=torch.float64)
    if resources.files("nddo_ml").joinpath("data", f"{table}_pairs.csv").is_file():
        for row in _read(f"{table}_pairs"):
            a, b = int(row["Z_a"]), int(row["Z_b"])
            alpha[a, b] = alpha[b, a] = float(row["alpha"])
            x[a, b] = x[b, a] = float(row["x"])
    return alpha, x


def _periods() -> Tensor:
    noble_gases = torch.tensor([2, 10, 18, 36, 54, 86, 118])
    return 1 + torch.bucketize(torch.arange(MAX_Z), noble_gases)


def _table_multipoles(scalars: dict[str, Tensor], width: Tensor) -> Multipoles:
    zero = torch.zeros(MAX_Z, dtype=torch.float64)
    by_atom = {f.name: scalars.get(f.name, zero) for f in fields(Parameters)}
    by_atom.update(period=_periods(), width=width)
    return solve_multipoles(Parameters(**by_atom))  # type: ignore[arg-type]


def _isolated_energy(scalars: dict[str, Tensor], occupation: Tensor) -> Tensor:
    """Electronic energy of the neutral atom, [MAX_Z] eV, by the convention of MNDO.

    With m = min(n_p, 6 − n_p): E = n_s U_ss + n_p U_pp + max(n_s − 1, 0) g_ss + n_s n_p (g_sp − h_sp/2)
    + [n_p(n_p − 1)/2 + m(m − 1)/4] g_p2 − m(m − 1)/4 g_pp (Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977)).
    """
    s, p = occupation[:, 0], occupation[:, 1]
    m = torch.minimum(p, 6 - p)
    exchange = 0.5 * m * (m - 1)
    return (
        s * scalars["U_ss"]
        + p * scalars["U_pp"]
        + (s - 1).clamp(min=0) * scalars["g_ss"]
        + s * p * scalars["g_sp"]
        + (0.5 * p * (p - 1) + 0.5 * exchange) * scalars["g_p2"]
        - 0.5 * exchange * scalars["g_pp"]
        - 0.5 * s * p * scalars["h_sp"]
    )


def missing_element(number: int, method: Method) -> str:
    """Sentence that says which elements a method has."""
    known = ", ".join(symbol_of(z) for z in sorted(method.elements))
    return f"{method.name} has no element {symbol_of(number)}; it has {known}"
