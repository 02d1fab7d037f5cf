"""Every published method in one place: what makes it, as plain data.

A new method is an entry here and a table in ``data/``. What an entry names is found by that name elsewhere: core–core
functions in :mod:`nddo_ml.energy.core_repulsion`, energy terms in :mod:`nddo_ml.terms.catalog`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

_DISPERSION = ("s6", "s_r6", "alpha")
_HYDROGEN_BONDS = ("oh_o", "oh_n", "nh_o", "nh_n", "water", "ammonium", "carboxylate")
_SOFT_REPULSION = ("height", "steepness", "center")


def _d3h4(of: MethodInfo, dispersion: Sequence[float], bonds: Sequence[float], hydrogens: Terms) -> MethodInfo:
    """A method with D3 and H4, digits as in the authors' program Cuby, and a repulsion of hydrogens."""
    return of.with_terms(
        f"{of.name}-D3H4",
        f"{of.name} with D3 dispersion and H4 hydrogen bonds",
        "Řezáč & Hobza, J. Chem. Theory Comput. 8, 141 (2012)",
        {
            "dispersion": dict(zip(_DISPERSION, dispersion, strict=True)),
            "hydrogen_bonds": dict(zip(_HYDROGEN_BONDS, bonds, strict=True)),
            **hydrogens,
        },
    )


def _soft(*values: float) -> Terms:
    return {"soft_hydrogen_repulsion": dict(zip(_SOFT_REPULSION, values, strict=True))}


AM1_D3H4 = _d3h4(
    AM1, (1.0, 0.9, 15.0), (4.89, 6.23, 2.54, 4.56, 0.49, 2.78033398584304, 1.0815791686586), _soft(0.9, 11.10, 2.36)
)
PM3_D3H4 = _d3h4(
    PM3, (1.0, 0.9, 22.0), (2.71, 4.37, 2.29, 3.86, 0.91, 2.5390633931627, 0.88610264413703), _soft(1.55, 6.86, 2.23)
)
RM1_D3H4 = _d3h4(RM1, (1.0, 1.0, 16.0), (3.76, 3.90, 3.14, 2.95, 0.94, 1.21, 1.10), _soft(0.3, 4.46, 2.11))
PM6_D3H4 = _d3h4(PM6, (0.88, 1.18, 22.0), (2.32, 3.10, 1.07, 2.01, 0.42, 3.61, 1.41), {"hydrogen_repulsion": {}})
PM6_D3H4X = PM6_D3H4.with_terms(
    "PM6-D3H4X",
    "PM6-D3H4 with halogen bonds",
    "Brahmkshatriya et al., Curr. Comput.-Aided Drug Des. 9, 118 (2013)",
    {"halogen_bonds": {}},
)

_ALL = (MNDO, AM1, AM1_D3H4, PM3, PM3_D3H4, RM1, RM1_D3H4, MNDOD, PM6, PM6_DHP, PM6_D3H4, PM6_D3H4X, PM7)
METHODS: Mapping[str, MethodInfo] = {info.name: info for info in _ALL}
