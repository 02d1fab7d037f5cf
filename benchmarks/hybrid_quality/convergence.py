"""Share of systems whose field converges, and in how many iterations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from rich.table import Table

from benchmarks.common import Report, note
from benchmarks.molecules import qm9_chno
from benchmarks.robustness import run as solve
from nddo_ml import NDDO
from nddo_ml.models.base import AbstractModel

UHF = None


def options(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--files", nargs="*", type=Path, default=[], help="structures, each file a group")
    parser.add_argument("--molecules", type=int, default=5000, help="of QM9, without fluorine")
    parser.add_argument("--displaced", type=int, default=1000, help="of QM9, every coordinate displaced")
    parser.add_argument("--deviation", type=float, default=0.2, help="standard deviation of a coordinate, Å")
    parser.add_argument("--batch", type=int, default=250)


def run(models: Sequence[AbstractModel], arguments: argparse.Namespace) -> tuple[Report, Table]:
    """The results, and a table of them; molecules with elements that a model lacks are left out, and counted."""
    groups = {str(path): read(path, ":") for path in arguments.files}
    if arguments.molecules:
        groups[f"{arguments.molecules} QM9 molecules"] = qm9_chno(arguments.molecules)
    if arguments.displaced:
        name = f"{arguments.displaced} QM9 molecules displaced by {arguments.deviation} Å"
        groups[name] = displaced(arguments.displaced, arguments.deviation)
    table = Table("model", "systems", "number", "left out", "failures", "converged %", "iterations", "most")
    report: Report = {"models": {}}
    for model in models:
        if not isinstance(model, NDDO):
            note(f"{model.name} has no self-consistent field")
            continue
        report["models"][model.name] = {}
        for group, frames in groups.items():
            known = [a for a in frames if set(a.numbers.tolist()) <= model.elements]
            if not known:
                note(f"{model.name}: no molecule of {group} has only elements that it knows")
                continue
            result = {"left_out": len(frames) - len(known), **solve(model, known, arguments.batch)}
            report["models"][model.name][group] = result
            share = 100 * (1 - result["failures"] / result["systems"])
            shown = (result["systems"], result["left_out"], result["failures"], f"{share:.3f}")
            iterations = (result["iterations_median"], result["iterations_max"])
            table.add_row(model.name, group, *map(str, (*shown, *iterations)))
            note(f"{model.name}, {group}: {result}")
    return report, table


def displaced(count: int, deviation: float) -> list[Atoms]:
    """QM9 molecules, others than the first ones of :func:`qm9_chno`, with normally distributed displacements."""
    rng = np.random.default_rng(2)
    frames = qm9_chno(count, seed=7)
    for atoms in frames:
        atoms.positions += deviation * rng.standard_normal(atoms.positions.shape)
    return frames
