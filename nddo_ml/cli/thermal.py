"""Records and tables of vibrations and thermochemistry, which several commands share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from nddo_ml.cli.output import number, structure_name
from nddo_ml.errors import InputError
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.thermochemistry import ATMOSPHERE, ROOM, thermochemistry

if TYPE_CHECKING:
    from ase import Atoms

Record = dict[str, Any]
_MOST = 1000  # temperatures
CAL = 1000 * EV_KCAL_MOL  # cal/mol in one eV
_STATIONARY = 0.05  # eV/Å, from which a force is remarked

Temperature = Annotated[
    str, typer.Option("--temperature", "-t", metavar="K", help="One temperature, or FROM:TO:STEP, in K.")
]
Pressure = Annotated[float, typer.Option("--pressure", help="Pressure, Pa; 101325 is one atmosphere.")]
SymmetryNumber = Annotated[
    int | None, typer.Option("--symmetry-number", help="Rotational symmetry number of all; else detected.")
]
QuasiHarmonic = Annotated[
    bool, typer.Option("--quasi-harmonic", help="Grimme's entropy of modes below about 100 cm⁻¹.")
]


@dataclass(frozen=True)
class Conditions:
    """What thermochemistry depends on beside the molecule."""

    temperatures: tuple[float, ...]  # K
    pressure: float  # Pa
    symmetry: int | None
    quasi_harmonic: bool

    def of(self, atoms: Atoms, frequencies: Sequence[float], multiplicity: int, *temperatures: float) -> Any:
        """Thermochemistry of a molecule, at these temperatures or at others."""
        return thermochemistry(
            atoms,
            frequencies,
            multiplicity=multiplicity,
            temperatures=temperatures or self.temperatures,
            pressure=self.pressure,
            symmetry=self.symmetry,
            quasi_harmonic=self.quasi_harmonic,
        )


@dataclass(frozen=True)
class Gas:
    """Conditions as a group of options."""

    temperature: Temperature = "298.15"
    pressure: Pressure = ATMOSPHERE
    symmetry_number: SymmetryNumber = None
    quasi_harmonic: QuasiHarmonic = False

    def conditions(self) -> Conditions:
        """Of these options.

        Raises:
            InputError: as :func:`temperatures_of`.
        """
        return Conditions(temperatures_of(self.temperature), self.pressure, self.symmetry_number, self.quasi_harmonic)


def temperatures_of(text: str) -> tuple[float, ...]:
    """``298.15``, or ``200:400:50``, both ends included.

    Raises:
        InputError: anything else.
    """
    try:
        values = [float(v) for v in text.split(":")]
    except ValueError:
        values = []
    if len(values) == 1 and values[0] > 0:
        return (values[0],)
    if len(values) == 3 and 0 < values[0] <= values[1] and values[2] > 0:
        first, last, step = values
        count = int((last - first) / step + 1e-9) + 1
        if count <= _MOST:
            return tuple(first + k * step for k in range(count))
    raise InputError(f"--temperature: expected a temperature in K or FROM:TO:STEP; got {text!r}")


def thermal_record(atoms: Atoms, record: Record, conditions: Conditions) -> Record:
    """Zero-point energy and, at each temperature, enthalpy, entropy and Gibbs energy.

    A heat of formation, which is at 298.15 K as it comes, goes to other temperatures with the molecule's enthalpy.
    """
    found = conditions.of(atoms, record["frequencies_cm"], record["multiplicity"])
    room = float(conditions.of(atoms, record["frequencies_cm"], record["multiplicity"], ROOM).enthalpy[0])
    energy, heat = record["energy_eV"], record["heat_of_formation_kcal_mol"]
    return {
        "zero_point_energy_kcal_mol": found.zero_point * EV_KCAL_MOL,
        "symmetry_number": found.symmetry_number,
        "pressure_Pa": conditions.pressure,
        "quasi_harmonic": conditions.quasi_harmonic,
        "thermochemistry": [
            {
                "temperature_K": float(t),
                "enthalpy_eV": energy + float(h),
                "gibbs_energy_eV": energy + float(g),
                "enthalpy_correction_kcal_mol": float(h) * EV_KCAL_MOL,
                "gibbs_correction_kcal_mol": float(g) * EV_KCAL_MOL,
                "entropy_cal_mol_K": float(s) * CAL,
                "heat_capacity_cal_mol_K": float(c) * CAL,
                "heat_of_formation_kcal_mol": None if heat is None else heat + (float(h) - room) * EV_KCAL_MOL,
            }
            for t, h, g, s, c in zip(
                found.temperature, found.enthalpy, found.gibbs, found.entropy, found.heat_capacity, strict=True
            )
        ],
    }


def thermal_tables(records: Sequence[Record]) -> Iterator[Table]:
    """A table a temperature, a line a molecule; of one molecule one table, a line a temperature."""
    head = records[0]
    how = "rigid rotor, quasi-harmonic oscillators" if head["quasi_harmonic"] else "rigid rotor, harmonic oscillators"
    conditions = f"{head['method']}: {how}, {head['pressure_Pa']:.6g} Pa"
    if len(records) == 1:
        title = f"{conditions}; {structure_name(head['source'], head['frame'])} {head['formula']}"
        table = _table(title, ("T K",))
        for at in head["thermochemistry"]:
            table.add_row(f"{at['temperature_K']:g}", *_cells(head, at))
        yield table
        return
    for k, at in enumerate(head["thermochemistry"]):
        table = _table(f"{conditions}, {at['temperature_K']:g} K", ("source", "formula"))
        for r in records:
            names = structure_name(r["source"], r["frame"]), r["formula"]
            table.add_row(*map(escape, names), *_cells(r, r["thermochemistry"][k]))
        yield table


def modes_table(record: Record) -> Table:
    """A line a mode of one molecule."""
    name = f"{structure_name(record['source'], record['frame'])} {record['formula']}, {record['method']}"
    table = Table(title=f"{name}: normal modes", title_justify="left")
    for title in ("mode", "cm⁻¹", "km/mol"):
        table.add_column(title, justify="right")
    table.add_column("moves")
    intensities = record["intensities_km_mol"] or [None] * len(record["frequencies_cm"])
    for k, (f, i, moving) in enumerate(zip(record["frequencies_cm"], intensities, record["moving"], strict=True)):
        table.add_row(str(k), number(f, 1), number(i, 1), moving + (" (imaginary)" if f < 0 else ""))
    return table


def _table(title: str, names: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    columns = ("ΔHf kcal/mol", "E eV", "ZPE kcal/mol", "H − E kcal/mol", "S cal/mol/K", "C_p cal/mol/K")
    for name in (*columns, "G − E kcal/mol", "σ", "lowest cm⁻¹"):
        table.add_column(name, justify="right")
    table.add_column("remark")
    return table


def _cells(record: Record, at: Record) -> list[str]:
    return [
        number(at["heat_of_formation_kcal_mol"], 3),
        number(record["energy_eV"], 4),
        number(record["zero_point_energy_kcal_mol"], 3),
        number(at["enthalpy_correction_kcal_mol"], 3),
        number(at["entropy_cal_mol_K"], 3),
        number(at["heat_capacity_cal_mol_K"], 3),
        number(at["gibbs_correction_kcal_mol"], 3),
        str(record["symmetry_number"]),
        number(min(record["frequencies_cm"], default=None), 1),
        "; ".join(_remarks(record)),
    ]


def _remarks(record: Record) -> Iterator[str]:
    count = record["imaginary_modes"]
    if count:
        yield f"{count} imaginary mode{'s' * (count > 1)}: {record['moving'][0]}"
    force = max((sum(f * f for f in atom) ** 0.5 for atom in record["forces_eV_A"]), default=0.0)
    if force > _STATIONARY:
        yield f"not stationary: {force:.2f} eV/Å"
