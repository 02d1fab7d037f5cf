"""QM9 molecules of H, C, N, O relaxed: distance from the B3LYP/6-31G(2df,p) geometries of QM9."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms
from ase.build.rotate import rotation_matrix_from_points
from rich.table import Table

from benchmarks.common import Report, note, spread
from benchmarks.molecules import qm9_chno
from nddo_ml import Systems
from nddo_ml.errors import SCFConvergenceError
from nddo_ml.models.base import AbstractModel
from nddo_ml.workflows.fragments import bonds
from nddo_ml.workflows.optimize import OptimizationResult, optimize

UHF = None


def options(parser: argparse.ArgumentParser) -> None:
    """Options of this part."""
    parser.add_argument("--molecules", type=int, default=300)
    parser.add_argument("--seed", type=int, default=3, help="of the choice of molecules")
    parser.add_argument("--fmax", type=float, default=0.02, help="eV/Å")
    parser.add_argument("--max-steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=50)


def run(models: Sequence[AbstractModel], arguments: argparse.Namespace) -> tuple[Report, Table]:
    """The results, and a table of them."""
    molecules = qm9_chno(arguments.molecules, arguments.seed)
    table = Table("model", "failed", "changed bonds", "RMSD Å, mean", "median", "bonds MAE Å", "bias Å", "steps", "s")
    report: Report = {"molecules": len(molecules), "reference": "B3LYP/6-31G(2df,p), QM9", "models": {}}
    for model in models:
        start = time.perf_counter()
        relaxed: list[Atoms | None] = []
        steps: list[int] = []
        for first in range(0, len(molecules), arguments.batch):
            found = relax(model, molecules[first : first + arguments.batch], arguments.fmax, arguments.max_steps)
            relaxed += [atoms for atoms, _ in found]
            steps += [n for _, n in found]
            note(f"{model.name}: {len(relaxed)} of {len(molecules)}")
        entry = {**judge(molecules, relaxed), "steps": spread(steps), "seconds": time.perf_counter() - start}
        report["models"][model.name] = entry
        numbers = [entry["rmsd"]["mean"], entry["rmsd"]["median"], entry["bond_mae"], entry["bond_bias"]]
        shown = [f"{x:.4f}" for x in numbers] + [f"{entry['steps']['median']:.0f}", f"{entry['seconds']:.0f}"]
        table.add_row(model.name, str(entry["failed"]), str(entry["changed_bonds"]), *shown)
    return report, table


def relax(
    model: AbstractModel, molecules: Sequence[Atoms], fmax: float, max_steps: int
) -> list[tuple[Atoms | None, int]]:
    """Relaxed molecules and their steps; None where the field failed or the steps did not suffice."""
    made: list[tuple[Atoms | None, int]] = [(None, 0)] * len(molecules)
    left = list(range(len(molecules)))
    while left:
        try:
            systems = Systems.from_ase([molecules[k] for k in left])
            result: OptimizationResult = optimize(systems, model, fmax=fmax, max_steps=max_steps)
        except SCFConvergenceError as error:
            left = [k for i, k in enumerate(left) if i not in error.systems]
            continue
        for i, (k, atoms) in enumerate(zip(left, result.systems.to_ase(), strict=True)):
            finite = bool(torch.isfinite(result.prediction.energy[i]))
            made[k] = (atoms if bool(result.converged[i]) and finite else None, int(result.steps[i]))
        break
    return made


def judge(references: Sequence[Atoms], relaxed: Sequence[Atoms | None]) -> Report:
    """Deviations of the relaxed geometries; molecules whose bonds changed count in the RMSD, not in bond lengths."""
    rmsd, errors, changed = [], [], 0
    for reference, atoms in zip(references, relaxed, strict=True):
        if atoms is None:
            continue
        rmsd.append(aligned_rmsd(atoms.positions, reference.positions))
        pairs = bonds(reference)
        if set(bonds(atoms)) != set(pairs):
            changed += 1
            continue
        i, j = np.array(pairs).T
        length, expected = (np.linalg.norm(a.positions[i] - a.positions[j], axis=1) for a in (atoms, reference))
        errors.append(length - expected)
    flat = np.concatenate(errors) if errors else np.array([np.nan])
    return {
        "failed": sum(a is None for a in relaxed),
        "changed_bonds": changed,
        "rmsd": {"mean": float(np.mean(rmsd)), **spread(rmsd)} if rmsd else {"mean": np.nan, "median": np.nan},
        "bond_mae": float(np.abs(flat).mean()),
        "bond_bias": float(flat.mean()),
        "bonds": flat.size,
    }


def aligned_rmsd(positions: np.ndarray, reference: np.ndarray) -> float:
    """Root mean square distance of atoms, Å, after the best shift and rotation (ASE's quaternions)."""
    moved, fixed = positions - positions.mean(0), reference - reference.mean(0)
    turned = moved @ rotation_matrix_from_points(moved.T, fixed.T).T
    return float(np.sqrt(((turned - fixed) ** 2).sum(1).mean()))
