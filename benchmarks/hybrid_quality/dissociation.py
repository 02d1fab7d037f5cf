"""Bonds and a dimer pulled apart to 20 Å: limits against the fragments, jumps of the force, a figure."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.data.s22 import create_s22_system
from rich.table import Table

from benchmarks.common import Report, note
from nddo_ml.compare.figures import draw_curves
from nddo_ml.compare.scan import Curve, scan
from nddo_ml.evaluation.figures import new_figure, save_figure
from nddo_ml.models.base import AbstractModel
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.coordinates import Coordinate

UHF = True
CASES: dict[str, tuple[Atoms, tuple[int, int], float]] = {  # structure, the atoms pulled apart, shortest distance
    "H2": (molecule("H2"), (0, 1), 0.5),
    "N2": (molecule("N2"), (0, 1), 0.9),
    "CO": (molecule("CO"), (1, 0), 0.9),
    "C–C in ethane": (molecule("C2H6"), (0, 1), 1.2),
    "water dimer": (create_s22_system("Water_dimer"), (0, 3), 2.4),
}


def options(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--longest", type=float, default=20.0, help="Å")
    parser.add_argument("--points", type=int, default=120, help="evenly spaced in the logarithm of the distance")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--figure", type=Path, help="PNG file")


def run(models: Sequence[AbstractModel], arguments: argparse.Namespace) -> tuple[Report, Table]:
    """The results, and a table of them; fragments are rigid, the field unrestricted."""
    table = Table(
        *("case", "model", "minimum Å", "depth kcal/mol", "at 10 Å", f"at {arguments.longest:g} Å"),
        *("force there", "kinks kcal/mol/Å", "at Å", "failed", "extrapolates"),
    )
    report: Report = {"energies": "kcal/mol, relative to the separated fragments", "cases": {}}
    drawn = {}
    for case in arguments.cases:
        atoms, pair, shortest = CASES[case]
        values = np.geomspace(shortest, arguments.longest, arguments.points).tolist()
        coordinate = Coordinate("bond", pair)
        curves = scan(models, atoms, coordinate, values, relative_to="fragments")
        report["cases"][case] = {c.answers.name: judge(c, coordinate) for c in curves}
        drawn[case] = curves
        for name, r in report["cases"][case].items():
            numbers = [r["minimum_A"], r["depth"], r["at_10_A"], r["at_last"], r["force_at_last"]]
            cells = [f"{x:.3f}" for x in numbers] + [f"{r['largest_kink']:.2f}", f"{r['largest_kink_at_A']:.2f}"]
            table.add_row(case, name, *cells, str(r["failed"]), str(r["extrapolating_points"]))
        note(f"{case} done")
    if arguments.figure is not None:
        draw(drawn, arguments.figure)
    return report, table


def judge(curve: Curve, coordinate: Coordinate) -> Report:
    """Minimum, limit and smoothness of a curve.

    A kink, looked for beyond the minimum, is how far the force at a point is from the cubic through its four nearest
    neighbours: it vanishes with the spacing for a smooth curve, and shows a jump between solutions or at a cut-off.
    """
    energy = curve.relative("fragments").numpy() * EV_KCAL_MOL
    r = np.array(curve.values)
    force = force_along(curve, coordinate)
    jumps = np.abs(np.diff(force))
    kinks = np.full(len(r), np.nan)
    for k in range(2, len(r) - 2):
        near = [k - 2, k - 1, k + 1, k + 2]
        kinks[k] = abs(force[k] - _cubic(np.log(r[near]), force[near], math.log(r[k])))
    lowest = int(np.nanargmin(energy))
    kinks[: lowest + 1] = np.nan  # the repulsive wall is steep
    return {
        "minimum_A": float(r[lowest]),
        "depth": float(-energy[lowest]),
        "at_10_A": float(np.interp(10.0, r, energy)),
        "at_last": float(energy[-1]),
        "force_at_last": float(force[-1]),
        "largest_jump_of_force": float(np.nanmax(jumps)),
        "largest_kink": float(np.nanmax(kinks)),
        "largest_kink_at_A": float(r[np.nanargmax(kinks)]),
        "failed": len(curve.answers.failures),
        "extrapolating_points": "–" if curve.answers.extrapolations is None else len(curve.answers.extrapolations),
        "r_A": curve.values,
        "energy": [None if math.isnan(e) else float(e) for e in energy],
        "force": [None if math.isnan(f) else float(f) for f in force],
    }


def force_along(curve: Curve, coordinate: Coordinate) -> np.ndarray:
    """−dE/dr, [points] kcal/mol/Å: the force on the moving side along the line of the two atoms."""
    if curve.answers.forces is None:
        raise ValueError("expected forces")
    n = len(curve.frames[0])
    forces = curve.answers.forces.numpy().reshape(-1, n, 3)
    i, j = coordinate.atoms
    moving = coordinate.moving(curve.frames[0])
    along = np.array([a.positions[j] - a.positions[i] for a in curve.frames])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return (forces[:, moving].sum(1) * along).sum(1) * EV_KCAL_MOL


def draw(cases: dict[str, list[Curve]], path: Path) -> None:
    """A panel a case, the distance on a logarithmic scale."""
    figure = new_figure(4.0 * len(cases), 3.8)
    for ax, (case, curves) in zip(np.atleast_1d(figure.subplots(1, len(cases))), cases.items(), strict=True):
        draw_curves(ax, "distance, Å", [(c.answers, c.values, c.relative("fragments")) for c in curves])
        energies = np.concatenate([c.relative("fragments").numpy() for c in curves[:1]]) * EV_KCAL_MOL
        depth = -np.nanmin(energies)
        ax.set_ylim(-1.4 * depth, 1.2 * depth)
        ax.set_xscale("log")
        ax.set_xticks(ticks := [t for t in (0.5, 1, 2, 3, 5, 10, 20) if curves[0].values[0] <= t], ticks, minor=False)
        ax.set_xticks([], minor=True)
        ax.set_title(f"{case}, kcal/mol")
    save_figure(figure, path)


def _cubic(x: np.ndarray, y: np.ndarray, at: float) -> float:
    """Lagrange's interpolation through four points."""
    total = 0.0
    for k in range(len(x)):
        others = np.delete(x, k)
        total += y[k] * np.prod((at - others) / (x[k] - others))
    return float(total)
