"""Conformers, rotamers, tautomers and reactions: errors of models by subset beside their parents', worst first.

    python -m benchmarks.relative_energies FOLDER --models hybrid RM1-D3H4 hybrid-chno

FOLDER has files ``NAME.json.xz``. Those with ``sets`` are lists of structures (``elements``, ``positions`` in Å,
``charge``, ``energies`` in hartree by level, ``reference`` the level to compare with); a set's error is the mean
absolute deviation of energies from the set's mean, doubled for pairs, so that a pair's is that of its difference. Those
with ``reactions`` have ``molecules`` and, by subset, ``[names, coefficients, energy in kcal/mol]``.
A table's first model is judged: rows are marked where it is worse than the second by more than a tenth and 0.3.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from rich.console import Console
from rich.table import Table

from benchmarks.common import finish, note, parser
from nddo_ml import Systems
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.open import open_model
from nddo_ml.units import EV_KCAL_MOL

HARTREE_KCAL_MOL = 627.5094740631
AT_ONCE = 128  # structures
SHARE, LEAST = 0.1, 0.3  # worse than the second model: by more than this share and these kcal/mol
WITHOUT_MEAN = {"PA26"}  # subsets whose mean error, the energy of a proton, does not count


@dataclass(frozen=True)
class Comparison:
    """Sums of energies, ``coefficients`` of structures, with references in kcal/mol; a set's are from its mean."""

    subset: str
    structures: list[int]
    coefficients: np.ndarray  # [values, structures]
    reference: np.ndarray  # [values]
    factor: float = 1.0

    def error(self, energies: np.ndarray) -> float:
        """Mean absolute error of energies [all structures] in kcal/mol, without sums of which one is missing."""
        here = energies[self.structures]
        lacking = (self.coefficients != 0) @ np.isnan(here) > 0
        deviation = self.coefficients @ np.nan_to_num(here) - self.reference
        deviation = deviation[~lacking]
        if not deviation.size:
            return float("nan")
        if self.subset in WITHOUT_MEAN:
            deviation = deviation - deviation.mean()
        return self.factor * float(np.abs(deviation).mean())


def read(folder: Path) -> tuple[list[Atoms], list[Comparison]]:
    """All structures of a folder's files, and what is compared."""
    structures: list[Atoms] = []
    comparisons: list[Comparison] = []
    for path in sorted(folder.glob("*.json.xz")):
        with lzma.open(path) as file:
            data = json.load(file)
        add = _add_reactions if "reactions" in data else _add_sets
        add(path.name.removesuffix(".json.xz"), data, structures, comparisons)
    return structures, comparisons


def _add_sets(name: str, data: Mapping[str, Any], structures: list[Atoms], comparisons: list[Comparison]) -> None:
    for entries in data["sets"]:
        places = [*range(len(structures), len(structures) + len(entries))]
        structures += [_atoms(entry) for entry in entries]
        from_mean = np.eye(len(entries)) - 1 / len(entries)
        energies = np.array([entry["energies"][data["reference"]] for entry in entries]) * HARTREE_KCAL_MOL
        kind = "ions" if entries[0].get("charge", 0) else "neutral"
        factor = 2.0 if len(entries) == 2 else 1.0
        comparisons.append(Comparison(f"{name}, {kind}", places, from_mean, from_mean @ energies, factor))


def _add_reactions(name: str, data: Mapping[str, Any], structures: list[Atoms], comparisons: list[Comparison]) -> None:
    places = {key: len(structures) + k for k, key in enumerate(data["molecules"])}
    structures += [_atoms(entry) for entry in data["molecules"].values()]
    for subset, reactions in data["reactions"].items():
        used = sorted({places[key] for names, *_ in reactions for key in names})
        coefficients = np.zeros((len(reactions), len(used)))
        for row, (names, factors, _) in enumerate(reactions):
            for key, factor in zip(names, factors, strict=True):
                coefficients[row, used.index(places[key])] += factor
        comparisons.append(Comparison(subset, used, coefficients, np.array([r[2] for r in reactions])))


def _atoms(entry: Mapping[str, Any]) -> Atoms:
    state = {"charge": int(entry.get("charge", 0)), "multiplicity": entry.get("multiplicity")}
    return Atoms(entry["elements"], entry["positions"], info={k: v for k, v in state.items() if v is not None})


def energies_of(model: AbstractModel, structures: Sequence[Atoms]) -> np.ndarray:
    """Energies in kcal/mol; NaN for structures with elements or states that the model lacks and failed fields."""
    found = np.full(len(structures), np.nan)
    state = model.capabilities
    known = [
        k
        for k, a in enumerate(structures)
        if set(a.numbers.tolist()) <= state.elements
        and (state.charge or not a.info["charge"])
        and (state.spin or a.info.get("multiplicity", 1) == 1)
    ]
    for first in range(0, len(known), AT_ONCE):
        part = known[first : first + AT_ONCE]
        with torch.no_grad():
            result = model(Systems.from_ase([structures[k] for k in part]), on_failure="mask")
        found[part] = result.energy.numpy() * EV_KCAL_MOL
    return found


def errors_of(
    comparisons: Sequence[Comparison], energies: Mapping[str, np.ndarray]
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Mean errors by model and subset, and how many of a subset's sets they are of.

    They are of the sets that all models can do; where there are none, of those that each can, and NaN without any.
    """
    by_subset: dict[str, list[list[float]]] = {}
    for comparison in comparisons:
        row = [comparison.error(found) for found in energies.values()]
        by_subset.setdefault(comparison.subset, []).append(row)
    errors: dict[str, dict[str, float]] = {name: {} for name in energies}
    counts = {}
    for subset, rows in by_subset.items():
        values = np.array(rows)
        common = np.isfinite(values).all(axis=1)
        counts[subset] = f"{common.sum()} of {len(rows)}" if common.any() else "each its own"
        for name, column in zip(energies, (values[common] if common.any() else values).T, strict=True):
            known = column[np.isfinite(column)]
            errors[name][subset] = float(known.mean()) if known.size else float("nan")
    return errors, counts


def main() -> None:
    """See the module."""
    options = parser(__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("folder", type=Path)
    options.add_argument("--models", nargs="+", required=True, help="methods, model files, shipped models")
    arguments = options.parse_args()
    structures, comparisons = read(arguments.folder)
    energies = {}
    for name in arguments.models:
        note(f"{name}: {len(structures)} structures")
        energies[name] = energies_of(open_model(name), structures)
    failures = {name: int(np.isnan(found).sum()) for name, found in energies.items()}
    errors, counts = errors_of(comparisons, energies)
    names = list(errors)
    table = Table("subset", *names, "sets", "", title="mean absolute errors, kcal/mol")
    first, second = errors[names[0]], errors[names[min(1, len(names) - 1)]]
    for subset in sorted(first, key=lambda s: second[s] - first[s]):
        worse = first[subset] - second[subset] > max(LEAST, SHARE * second[subset])
        table.add_row(subset, *(f"{errors[n][subset]:.2f}" for n in names), counts[subset], "worse" if worse else "")
    Console(stderr=True, width=140).print(table)
    report = {"benchmark": "relative_energies", "errors": errors, "sets": counts, "without_energy": failures}
    finish(report, arguments.out)


if __name__ == "__main__":
    main()
