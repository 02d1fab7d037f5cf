"""What the commands write: one record a structure for programs, a table for people, frames for both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import environment
from nddo_ml.elements import symbol_of
from nddo_ml.errors import SCFConvergenceError
from nddo_ml.results.lewis import BOND
from nddo_ml.results.molfile import BONDS, ORDERS
from nddo_ml.structures.structure import Structure
from nddo_ml.units import DEBYE_PER_E_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

    from nddo_ml.compare.answers import Extrapolation
    from nddo_ml.models.base import AbstractModel, Prediction
    from nddo_ml.results.run import Outcome
    from nddo_ml.systems import Systems

Record = dict[str, Any]

SHOWN = 100  # structures up to which the table has a line each
NOT_KEPT = (
    "energy",
    "forces",
    "charges",
    "charge",
    "dipole",
    "stress",
    "magmoms",
    "initial_magmoms",
    "initial_charges",
)


def systems_of(structures: Sequence[Structure]) -> Systems:
    """The structures as a batch, with their own charges and multiplicities."""
    from nddo_ml.systems import Systems

    return Systems.from_ase(
        [s.atoms for s in structures], [s.charge for s in structures], [s.multiplicity for s in structures]
    )


def outcomes(
    structures: Sequence[Structure],
    systems: Systems,
    prediction: Prediction,
    model: AbstractModel,
    bonds: bool = False,
) -> list[Outcome]:
    """What is known of a batch, one outcome a structure, at the positions of ``systems``; with computed
    bond orders where they are wanted and the model has a density.

    Raises:
        SCFConvergenceError: energies that are no numbers, with the systems concerned.
    """
    from nddo_ml.compare.answers import extrapolations_of

    bad = (~prediction.energy.isfinite()).nonzero().squeeze(1).tolist()
    if bad:
        raise SCFConvergenceError("the energy is not a finite number", bad)
    outside = extrapolations_of(model, systems)
    orders = systems.system_idx.argsort(stable=True).split(systems.atoms_per_system.tolist())
    made: list[Outcome] = []
    for k, (structure, order) in enumerate(zip(structures, orders, strict=True)):
        found = _found(systems, prediction, model, k, order)
        known = {
            "source": structure.source,
            "frame": structure.frame,
            "name": structure.name or None,
            "formula": structure.atoms.get_chemical_formula(),
            **found,
            "extrapolation": None if outside is None else extrapolation_record(outside.get(k)),
            "environment": environment.record(model.environment),
        }
        made.append({"record": known, "rest": _rest(structure.atoms, bonds)})
    if bonds and prediction.scf is not None:
        for outcome, bond_orders in zip(made, _bond_orders(model, systems, prediction), strict=True):
            outcome["bonds"] = bond_orders
    return made


def _found(systems: Systems, prediction: Prediction, model: AbstractModel, k: int, order: Tensor) -> Record:
    """What is computed of one system, whose atoms in the batch are ``order``."""
    scf = prediction.scf
    levels = (None, None) if scf is None else (scf.homo, scf.lumo)
    dipole = None if prediction.dipole is None else prediction.dipole[k].detach() * DEBYE_PER_E_ANGSTROM
    spread = None if prediction.forces_spread is None else float(prediction.forces_spread[order].max())
    return {
        "natoms": len(order),
        "elements": [symbol_of(z) for z in systems.numbers[order].tolist()],
        "positions_A": systems.positions[order].detach().tolist(),
        "cell_A": systems.cell[k].tolist() if bool(systems.pbc[k].any()) else None,
        "pbc": systems.pbc[k].tolist(),
        "method": model.name,
        "charge": int(systems.charge[k]),
        "multiplicity": int(systems.multiplicity[k]),
        "energy_eV": float(prediction.energy[k]),
        "heat_of_formation_kcal_mol": _item(prediction.heat_of_formation, k),
        "forces_eV_A": _item(prediction.forces, order),
        "charges_e": _item(prediction.charges, order),
        "dipole_D": None if dipole is None else float(dipole.norm()),
        "dipole_vector_D": None if dipole is None else dipole.tolist(),
        "homo_eV": _item(levels[0], k),
        "lumo_eV": _item(levels[1], k),
        "scf_converged": None if scf is None else bool(scf.converged[k]),
        "scf_iterations": None if scf is None else int(scf.iterations[k]),
        "energy_spread_eV": _item(prediction.energy_spread, k),
        "atomic_spread_eV": _item(prediction.atomic_spread, order),
        "largest_force_spread_eV_A": spread,
    }


def _bond_orders(model: AbstractModel, systems: Systems, prediction: Prediction) -> list[list[tuple[int, int, float]]]:
    """Wiberg's bond orders that are no trifle: pairs of atoms, their order."""
    from nddo_ml.energy.properties import bond_orders
    from nddo_ml.integrals.layout import build_layout

    method, density = getattr(model, "method", None), None if prediction.scf is None else prediction.scf.density
    if method is None or density is None:
        return [[] for _ in range(systems.n_systems)]
    layout = build_layout(systems.system_idx, method.width[systems.numbers], systems.n_systems)
    total = 2 * density[:, 0] if density.shape[1] == 1 else density.sum(dim=1)
    found = []
    for orders in bond_orders(layout, total).triu(1):
        pairs = (orders > BOND).nonzero()
        found.append([(int(i), int(j), float(orders[i, j])) for i, j in pairs.tolist()])
    return found


def extrapolation_record(found: Extrapolation | None) -> Record | None:
    """Where and how far a structure lies outside what a potential was trained on; None where it does not."""
    if found is None:
        return None
    return {
        "atoms": found.atoms,
        "functions": found.functions,
        "worst": f"atom {found.worst.atom} ({found.worst.element}): {found.worst.function}",
        "excess_over_range": found.excess if found.excess != float("inf") else None,
    }


def frame_of(outcome: Outcome) -> Atoms:
    """The structure of an outcome with its results instead of any other."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.constraints import FixAtoms
    from ase.io.jsonio import object_hook

    record, rest = outcome["record"], json.loads(outcome["rest"], object_hook=object_hook)
    atoms = Atoms(record["elements"], record["positions_A"], cell=rest["cell"], pbc=record["pbc"])
    for name, values in rest["arrays"].items():
        atoms.set_array(name, values)
    if len(rest["fixed"]):
        atoms.set_constraint(FixAtoms(rest["fixed"]))
    atoms.info.update(rest["info"])
    if record["name"]:
        atoms.info["name"] = record["name"]
    if "bonds" in outcome:
        atoms.info[ORDERS] = outcome["bonds"]
    dipole = record["dipole_vector_D"]
    values = {
        "energy": record["energy_eV"],
        "forces": record["forces_eV_A"],
        "charges": record["charges_e"],
        "dipole": None if dipole is None else [d / DEBYE_PER_E_ANGSTROM for d in dipole],
    }
    atoms.calc = SinglePointCalculator(atoms, **{name: v for name, v in values.items() if v is not None})
    told = ("method", "charge", "multiplicity", "heat_of_formation_kcal_mol", "energy_spread_eV")
    relaxed = ("optimization_converged", "optimization_steps")
    for name in (*told, *relaxed):
        if record.get(name) is not None:
            atoms.info[name] = record[name]
    return atoms


def path_of(outcome: Outcome) -> Iterator[Atoms]:
    """Every accepted step of an optimisation."""
    from ase.calculators.singlepoint import SinglePointCalculator

    record = outcome["record"]
    for k, step in enumerate(outcome["path"]):
        atoms = frame_of(outcome)
        atoms.positions = step["positions"]
        atoms.calc = SinglePointCalculator(atoms, energy=step["energy"], forces=step["forces"])
        atoms.info = {name: record[name] for name in ("source", "frame", "charge", "multiplicity")} | {"step": k}
        yield atoms


def tables_of(records: Iterable[Record]) -> list[Table]:
    """A line a structure where there are few, else a summary; nothing without any."""
    few: list[Record] = []
    tally = _Tally()
    for record in records:
        if len(few) <= SHOWN:
            few.append(record)
        tally.add(record)
    if not few:
        return []
    return [energy_table(few) if tally.count <= SHOWN else tally.table()]


def energy_table(rows: Sequence[Record]) -> Table:
    """The records as a table of one line a system."""
    relaxed = "optimization_steps" in rows[0]
    around = environment.said(rows[0]["environment"])
    table = Table(title=f"{rows[0]['method']}{' optimised' if relaxed else ''}{around}", title_justify="left")
    for name in ("source", "formula"):
        table.add_column(name, overflow="fold")
    columns = ["charge", "2S+1", "ΔHf kcal/mol", "energy eV", "dipole D", "gap eV", "SCF"]
    committee = any(r["energy_spread_eV"] is not None for r in rows)
    for name in columns + ["± eV"] * committee + ["steps"] * relaxed:
        table.add_column(name, justify="right", no_wrap=True)
    remarks = any(r["extrapolation"] is not None for r in rows)
    if remarks:
        table.add_column("remark")
    for r in rows:
        gap = None if r["lumo_eV"] is None or r["homo_eV"] is None else r["lumo_eV"] - r["homo_eV"]
        named = r["name"] or ""
        cells = [
            (r["source"] if r["frame"] == 0 else f"{r['source']} [{r['frame']}]") + (f" {named}" if named else ""),
            r["formula"],
            f"{r['charge']:+d}" if r["charge"] else "0",
            str(r["multiplicity"]),
            number(r["heat_of_formation_kcal_mol"], 3),
            number(r["energy_eV"], 4),
            number(r["dipole_D"], 3),
            number(gap, 2),
            number(r["scf_iterations"], 0),
        ]
        if committee:
            cells.append(number(r["energy_spread_eV"], 4))
        if relaxed:
            cells.append(f"{r['optimization_steps']}{'' if r['optimization_converged'] else ' (not relaxed)'}")
        if remarks:
            cells.append(extrapolates(r["extrapolation"]))
        table.add_row(*map(escape, cells))
    return table


def extrapolates(found: Record | None) -> str:
    """A remark for a table."""
    return "" if found is None else f"extrapolates: {len(found['atoms'])} atom{'s' * (len(found['atoms']) > 1)}"


class _Tally:
    """Many records in one table."""

    def __init__(self) -> None:
        self.count = self.unrelaxed = self.outside = 0
        self.method, self.sums = "", dict[str, list[float]]()
        self.relaxed = self.potential = False

    def add(self, record: Record) -> None:
        self.count += 1
        self.method = record["method"]
        self.relaxed |= "optimization_steps" in record
        self.unrelaxed += not record.get("optimization_converged", True)
        self.outside += record["extrapolation"] is not None
        for name in ("heat_of_formation_kcal_mol", "energy_eV", "dipole_D", "energy_spread_eV", "optimization_steps"):
            value = record.get(name)
            if value is not None:
                entry = self.sums.setdefault(name, [value, 0.0, value])
                self.sums[name] = [min(entry[0], value), entry[1] + value, max(entry[2], value)]

    def table(self) -> Table:
        title = f"{self.method}{' optimised' if self.relaxed else ''}: {self.count} structures"
        table = Table(title=title, title_justify="left")
        table.add_column("")
        for name in ("least", "mean", "most"):
            table.add_column(name, justify="right")
        for name, (least, total, most) in self.sums.items():
            table.add_row(name.replace("_", " "), *(f"{x:.6g}" for x in (least, total / self.count, most)))
        notes = [f"{self.unrelaxed} not relaxed"] * bool(self.unrelaxed)
        notes += [f"{self.outside} extrapolate"] * bool(self.outside)
        table.caption = "; ".join(notes) or None
        return table


def number(value: float | None, digits: int) -> str:
    """A number for a table; a dash for None."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before zero


def structure_name(source: str, frame: int) -> str:
    """A structure for a table: the file without its folder."""
    return Path(source).name + (f" [{frame}]" if frame else "")


def _rest(atoms: Atoms, bonds: bool) -> str:
    """What a written frame has beside the record: info, arrays and fixed atoms of the structure, encoded."""
    arrays = {k: v for k, v in atoms.arrays.items() if k not in (*NOT_KEPT, "numbers", "positions")}
    info = {str(k): v for k, v in atoms.info.items() if k not in NOT_KEPT and (bonds or k != BONDS)}
    fixed: list[int] = []
    if atoms.constraints:
        from ase.constraints import FixAtoms  # loads scipy

        fixed = [int(i) for c in atoms.constraints if isinstance(c, FixAtoms) for i in c.index]
    rest = {"cell": atoms.cell.tolist(), "arrays": arrays, "info": info, "fixed": fixed}
    if not arrays and all(isinstance(v, str | int | float) for v in info.values()):
        return json.dumps(rest)
    from ase.io.jsonio import encode  # loads scipy

    try:
        return encode(rest)
    except TypeError:  # something in info that JSON does not know
        return encode({**rest, "info": {k: str(v) for k, v in info.items()}})


def _item(values: Tensor | None, index: int | Tensor) -> Any:
    """Numbers for JSON; None where the model gives nothing, or NaN for a level that does not exist."""
    value = None if values is None else values[index].detach().tolist()
    return None if value != value else value
