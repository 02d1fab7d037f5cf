"""Every published method in one place: what makes it, as plain data.

A new method is an entry here and a table in ``data/``. What an entry names is found by that name elsewhere: core–core
functions in :mod:`nddo_ml.energy.core_repulsion`, energy terms in :mod:`nddo_ml.terms.catalog`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nddo_ml.methods.files import element_rows
from nddo_ml.units import CODATA_2018, MNDO_ERA, Constants

Terms = Mapping[str, Mapping[str, Any]]  # name of an energy term -> its options


@dataclass(frozen=True)
class PointChargeLimit:
    """Where two-centre integrals go over to those of point charges: see ``integrals.limits``."""

    distance: float  # Å
    steepness: float  # 1/Å²


@dataclass(frozen=True)
class MethodInfo:
    """What makes a method, and what a user wants to know of it before it is loaded."""

    name: str
    table: str  # file name in data/, without the ending; diatomic parameters in the file with _pairs added
    description: str
    citation: str
    core_repulsion: str  # name of its core–core function
    terms: Terms = field(default_factory=dict)  # energies beside the field
    polarizability: tuple[float, float] | None = None  # c_1 and c_2 (Å³) of the fit to experiment; values of MOPAC 22
    constants: Constants = CODATA_2018
    with_d: bool = True  # False: the table's elements with d orbitals were never published and are left out
    mean_pairs: bool = False  # whether a pair without diatomic parameters has the mean of its elements' own
    point_charges: PointChargeLimit | None = None  # None: two-centre integrals reach it at infinity only
    averages_d: bool = False  # whether integrals of atoms with d electrons are shifted to the mean of (ss|ss)
    parent: str = ""  # the method whose field and core repulsion it has, if not its own

    @property
    def elements(self) -> frozenset[int]:
        """Atomic numbers that the method knows."""
        return frozenset(int(row["Z"]) for row in element_rows(self.table, with_d=self.with_d))

    def with_terms(self, name: str, description: str, citation: str, terms: Terms) -> MethodInfo:
        """A method of the same field with further energy terms."""
        made = replace(self, name=name, description=description, citation=citation, parent=self.parent or self.name)
        return replace(made, terms={**self.terms, **terms})


# Heights (kcal/mol) of the amide term: MOPAC manual, "Peptide linkages".
MNDO = MethodInfo(
    name="MNDO",
    table="mndo",
    description="modified neglect of diatomic overlap",
    citation="Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977); Stewart, J. Mol. Model. 10, 155 (2004)",
    core_repulsion="classic",
    terms={"peptide_bonds": {"height": 6.1737}},
    polarizability=(0.5651170, 0.2859620),
    with_d=False,
)
AM1 = MethodInfo(
    name="AM1",
    table="am1",
    description="Austin Model 1",
    citation="Dewar, Zoebisch, Healy & Stewart, J. Am. Chem. Soc. 107, 3902 (1985); "
    "Stewart, J. Mol. Model. 10, 155 (2004)",
    core_repulsion="AM1",
    terms={"peptide_bonds": {"height": 3.3191}},
    polarizability=(0.54687, 0.321973),
)
PM3 = MethodInfo(
    name="PM3",
    table="pm3",
    description="Parametric Method 3",
    citation="Stewart, J. Comput. Chem. 10, 209 (1989); 12, 320 (1991); J. Mol. Model. 10, 155 (2004)",
    core_repulsion="classic",
    terms={"peptide_bonds": {"height": 7.1853}},
    polarizability=(0.2465020, 0.0),
)
RM1 = MethodInfo(
    name="RM1",
    table="rm1",
    description="Recife Model 1",
    citation="Rocha, Freire, Simas & Stewart, J. Comput. Chem. 27, 1101 (2006)",
    core_repulsion="classic",
    terms={"peptide_bonds": {"height": 2.4127}},
)
MNDOD = MethodInfo(
    name="MNDO/d",
    table="mndod",
    description="MNDO with d orbitals for second-row and heavier main-group elements",
    citation="Thiel & Voityuk, Theor. Chim. Acta 81, 391 (1992); 93, 315 (1996); J. Phys. Chem. 100, 616 (1996)",
    core_repulsion="MNDO/d",
    constants=MNDO_ERA,
)
PM6 = MethodInfo(
    name="PM6",
    table="pm6",
    description="Parametric Method 6, d orbitals and diatomic core terms for 70 elements",
    citation="Stewart, J. Mol. Model. 13, 1173 (2007)",
    core_repulsion="PM6",
    terms={"peptide_bonds": {"height": 2.5}, "flat_nitrogen": {}, "triple_bonds": {}},
    polarizability=(0.791396, 0.373638),
)
PM7 = MethodInfo(
    name="PM7",
    table="pm7",
    description="Parametric Method 7: PM6's form, point charges beyond 7 Å, dispersion and hydrogen bonds",
    citation="Stewart, J. Mol. Model. 19, 1 (2013)",
    core_repulsion="PM7",
    terms={
        "peptide_bonds": {"height": 3.1595},
        "triple_bonds": {},
        "silanol_bending": {},
        "pair_dispersion": {"scale": 2.286419, "steepness": 15.450118, "radius_scale": 1.226593},
        "hydrogen_bonds_eh": {"nitrogen": -0.171271, "oxygen": -0.098822},
    },
    polarizability=(0.445109, 0.351109),
    mean_pairs=True,
    point_charges=PointChargeLimit(7.0, 0.22),
    averages_d=True,
)
PM6_DHP = PM6.with_terms(
    "PM6-DH+",
    "PM6 with pairwise dispersion and third-generation hydrogen bonds",
    "Korth, J. Chem. Theory Comput. 6, 3808 (2010)",
    {
        "pair_dispersion": {"scale": 0.89, "steepness": 20.0, "radius_scale": 1.04},
        "hydrogen_bonds_eh": {"nitrogen": -0.16, "oxygen": -0.12, "reach": 10.0, "original": True},
    },
)

# D3H4 of each method, digits as in the authors' program Cuby.
_D3H4 = "with D3 dispersion and H4 hydrogen bonds"
_REZAC = "Řezáč & Hobza, J. Chem. Theory Comput. 8, 141 (2012)"
AM1_D3H4 = AM1.with_terms(
    "AM1-D3H4",
    f"AM1 {_D3H4}",
    _REZAC,
    {
        "dispersion": {"s6": 1.0, "s_r6": 0.9, "alpha": 15.0},
        "hydrogen_bonds": {
            "oh_o": 4.89,
            "oh_n": 6.23,
            "nh_o": 2.54,
            "nh_n": 4.56,
            "water": 0.49,
            "ammonium": 2.78033398584304,
            "carboxylate": 1.0815791686586,
        },
        "soft_hydrogen_repulsion": {"height": 0.9, "steepness": 11.10, "center": 2.36},
    },
)
PM3_D3H4 = PM3.with_terms(
    "PM3-D3H4",
    f"PM3 {_D3H4}",
    _REZAC,
    {
        "dispersion": {"s6": 1.0, "s_r6": 0.9, "alpha": 22.0},
        "hydrogen_bonds": {
            "oh_o": 2.71,
            "oh_n": 4.37,
            "nh_o": 2.29,
            "nh_n": 3.86,
            "water": 0.91,
            "ammonium": 2.5390633931627,
            "carboxylate": 0.88610264413703,
        },
        "soft_hydrogen_repulsion": {"height": 1.55, "steepness": 6.86, "center": 2.23},
    },
)
RM1_D3H4 = RM1.with_terms(
    "RM1-D3H4",
    f"RM1 {_D3H4}",
    _REZAC,
    {
        "dispersion": {"s6": 1.0, "s_r6": 1.0, "alpha": 16.0},
        "hydrogen_bonds": {
            "oh_o": 3.76,
            "oh_n": 3.90,
            "nh_o": 3.14,
            "nh_n": 2.95,
            "water": 0.94,
            "ammonium": 1.21,
            "carboxylate": 1.10,
        },
        "soft_hydrogen_repulsion": {"height": 0.3, "steepness": 4.46, "center": 2.11},
    },
)
PM6_D3H4 = PM6.with_terms(
    "PM6-D3H4",
    f"PM6 {_D3H4}",
    _REZAC,
    {
        "dispersion": {"s6": 0.88, "s_r6": 1.18, "alpha": 22.0},
        "hydrogen_bonds": {
            "oh_o": 2.32,
            "oh_n": 3.10,
            "nh_o": 1.07,
            "nh_n": 2.01,
            "water": 0.42,
            "ammonium": 3.61,
            "carboxylate": 1.41,
        },
        "hydrogen_repulsion": {},
    },
)
PM6_D3H4X = PM6_D3H4.with_terms(
    "PM6-D3H4X",
    "PM6-D3H4 with halogen bonds",
    "Brahmkshatriya et al., Curr. Comput.-Aided Drug Des. 9, 118 (2013)",
    {"halogen_bonds": {}},
)

_ALL = (MNDO, AM1, AM1_D3H4, PM3, PM3_D3H4, RM1, RM1_D3H4, MNDOD, PM6, PM6_DHP, PM6_D3H4, PM6_D3H4X, PM7)
METHODS: Mapping[str, MethodInfo] = {info.name: info for info in _ALL}
