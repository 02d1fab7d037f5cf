"""What the commands write: one record a system for programs, a table for people, extxyz for both."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from nddo_ml.cli import common
from nddo_ml.errors import InputError
from nddo_ml.structures.structure import Structure
from nddo_ml.units import DEBYE_PER_E_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

    from nddo_ml.models.base import Prediction
    from nddo_ml.systems import Systems

Record = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What is known of one structure."""

    record: Record  # the JSON object; what the model does not give is None
    frame: Atoms  # the structure with the results attached as ASE results


def results(structures: Sequence[Structure], systems: Systems, prediction: Prediction, method: str) -> list[Result]:
    """The results of a batch, one a structure, at the positions of ``systems``."""
    orders = systems.system_idx.argsort(stable=True).split(systems.atoms_per_system.tolist())
    scf = prediction.scf
    levels = (None, None) if scf is None else (scf.homo, scf.lumo)
    made = []
    for k, (structure, order) in enumerate(zip(structures, orders, strict=True)):
        dipole = None if prediction.dipole is None else prediction.dipole[k].detach() * DEBYE_PER_E_ANGSTROM
        record = {
            "source": structure.source,
            "frame": structure.frame,
            "formula": structure.atoms.get_chemical_formula(),
            "natoms": len(structure.atoms),
            "method": method,
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
        }
        made.append(Result(record, _frame(structure.atoms, systems.positions[order], record)))
    return made


def write(done: Sequence[Result], json_target: str | None, frames_target: Path | None) -> None:
    """Write JSON and extxyz where asked for, and a table: on standard error if JSON takes standard output.

    Raises:
        InputError: a file cannot be written.
    """
    rows = [result.record for result in done]
    if json_target is not None:
        write_json(rows, json_target)
    if not rows:
        return
    if frames_target is not None:
        write_frames([result.frame for result in done], frames_target)
    common.console(stderr=json_target == "-").print(energy_table(rows))


def energy_table(rows: Sequence[Record]) -> Table:
    """The records as a table of one line a system."""
    relaxed = "optimization_steps" in rows[0]
    table = Table(title=f"{rows[0]['method']}{' optimised' if relaxed else ''}", title_justify="left")
    for name in ("source", "formula"):
        table.add_column(name, overflow="fold")
    columns = ["charge", "2S+1", "ΔHf kcal/mol", "energy eV", "dipole D", "gap eV", "SCF"]
    for name in [*columns, "steps"] if relaxed else columns:
        table.add_column(name, justify="right", no_wrap=True)
    for r in rows:
        gap = None if r["lumo_eV"] is None or r["homo_eV"] is None else r["lumo_eV"] - r["homo_eV"]
        cells = [
            r["source"] if r["frame"] == 0 else f"{r['source']} [{r['frame']}]",
            r["formula"],
            f"{r['charge']:+d}" if r["charge"] else "0",
            str(r["multiplicity"]),
            number(r["heat_of_formation_kcal_mol"], 3),
            number(r["energy_eV"], 4),
            number(r["dipole_D"], 3),
            number(gap, 2),
            number(r["scf_iterations"], 0),
        ]
        if relaxed:
            cells.append(f"{r['optimization_steps']}{'' if r['optimization_converged'] else ' (not relaxed)'}")
        table.add_row(*map(escape, cells))
    return table


def write_json(rows: Sequence[Record] | Record, target: str) -> None:
    """Write a record or several to a file, or to standard output for ``-``.

    Raises:
        InputError: the file cannot be written.
    """
    text = json.dumps(rows, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target}: expected a file that can be written; {error.strerror}") from error


def write_frames(frames: Sequence[Atoms], target: Path) -> None:
    """Write frames as extxyz.

    Raises:
        InputError: the file cannot be written.
    """
    from ase.io import write as write_ase

    try:
        write_ase(str(target), list(frames), format="extxyz")
    except OSError as error:
        raise InputError(f"{target}: expected a file that can be written; {error.strerror}") from error


def check_writable(*targets: str | Path | None) -> None:
    """Refuse, before any work is done, files that cannot be written.

    Raises:
        InputError: the folder of a target does not exist, or the target is a folder.
    """
    for target in targets:
        if target is None or str(target) == "-":
            continue
        path = Path(target)
        if path.is_dir():
            raise InputError(f"{path}: expected a file to write; this is a folder")
        if not path.absolute().parent.is_dir():
            raise InputError(f"{path}: expected a file in a folder that exists; there is no {path.parent}")


def number(value: float | None, digits: int) -> str:
    """A number for a table; a dash for None."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before zero


def _item(values: Tensor | None, index: int | Tensor) -> Any:
    """Numbers for JSON; None where the model gives nothing, or NaN for a level that does not exist."""
    value = None if values is None else values[index].detach().tolist()
    return None if value != value else value


def _frame(original: Atoms, positions: Tensor, record: Record) -> Atoms:
    """A copy of the structure at ``positions`` with the record's results instead of any other."""
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = original.copy()
    for name in ("energy", "forces", "charges", "charge", "dipole", "stress"):
        atoms.arrays.pop(name, None)
        atoms.info.pop(name, None)
    atoms.positions = positions.detach().cpu().numpy()
    dipole = record["dipole_vector_D"]
    values = {
        "energy": record["energy_eV"],
        "forces": record["forces_eV_A"],
        "charges": record["charges_e"],
        "dipole": None if dipole is None else [d / DEBYE_PER_E_ANGSTROM for d in dipole],
    }
    atoms.calc = SinglePointCalculator(atoms, **{name: v for name, v in values.items() if v is not None})
    for name in ("method", "charge", "multiplicity", "heat_of_formation_kcal_mol"):
        if record[name] is not None:
            atoms.info[name] = record[name]
    return atoms
