"""The report of a training as one HTML page that needs nothing else: its pictures stand inside."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nddo_ml.datasets.dataset import LABELS, Dataset, describe
from nddo_ml.elements import symbol_of
from nddo_ml.evaluation.figures import MILLI, learning_curves, parity, png, three_figures
from nddo_ml.evaluation.tables import UNITS, Table, summarize
from nddo_ml.models.base import AbstractModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = files("nddo_ml") / "data" / "report.html"
_WORST = 8  # structures in the tables of the worst
_PIXELS = 90  # an inch of a figure
_BATCH = 64  # structures asked at once for extrapolations


@dataclass(frozen=True)
class Part:
    """Structures of a training and what the model says of them."""

    data: Dataset
    tables: Mapping[str, Table]


@dataclass(frozen=True)
class Picture:
    """A figure that stands in the page itself."""

    address: str  # of the image: its PNG file in base64
    width: int  # pixels on the screen

    @classmethod
    def of(cls, figure: Figure) -> Picture:
        data = base64.b64encode(png(figure)).decode("ascii")
        return cls(f"data:image/png;base64,{data}", round(figure.get_figwidth() * _PIXELS))


@dataclass(frozen=True)
class Row:
    """Errors of one label in all, of a group or of an element, in the unit shown."""

    name: str
    unit: str
    mae: float
    rmse: float
    largest: float
    n: int
    share: float  # of the largest MAE among its like, 0 to 1: the length of a bar


def write_report(
    path: Path,
    model: AbstractModel,
    parts: Mapping[str, Part],
    logs: Mapping[str, Sequence[Mapping[str, Any]]],
    configuration: Mapping[str, Any],
) -> None:
    """Write the page: what was trained, learning curves, errors and parity of every part, where it extrapolates.

    Args:
        path: HTML file.
        model: the trained model.
        parts: "train", "test", … in the order of the page.
        logs: entries of every member's log, by name.
        configuration: plain data, shown as it is.
    """
    from jinja2 import Environment, StrictUndefined  # takes a moment, and only a finished training needs it

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["figures"] = three_figures
    text = page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        model=model.name,
        facts=_facts(model, parts, logs),
        headline=_headline(parts),
        curves=Picture.of(learning_curves(logs)),
        parts={name: _sections(model, part) for name, part in parts.items()},
        configuration=json.dumps(configuration, indent=2, default=str, ensure_ascii=False),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _facts(
    model: AbstractModel, parts: Mapping[str, Part], logs: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, str]:
    """What stands in the table at the head of the page."""
    epochs = [log[-1]["epoch"] for log in logs.values() if log]
    seconds = [log[-1]["seconds"] for log in logs.values() if log]
    weights = sum(p.numel() for p in model.parameters())
    facts = {
        "class": type(model).__name__,
        "elements": " ".join(symbol_of(z) for z in sorted(model.elements)),
        "weights": f"{weights:,}",
        "trained models": str(len(logs)),
        "epochs": ", ".join(str(e) for e in epochs),
        "best epoch": ", ".join(str(log[-1].get("best_epoch", "–")) for log in logs.values() if log),
        "time": ", ".join(f"{s:.0f} s" for s in seconds),
    }
    failed = sum(e.get("not_converged", 0) for log in logs.values() for e in log)
    if failed:
        facts["fields that did not converge"] = str(failed)
    return facts | {f"{name} data": describe(part.data) for name, part in parts.items()}


def _headline(parts: Mapping[str, Part]) -> list[tuple[str, str, str]]:
    """Label, value and part of the numbers at the top: errors of the last part, the test where there is one."""
    if not parts:
        return []
    name, part = list(parts.items())[-1]
    return [(row.name, f"{three_figures(row.mae)} {row.unit}", name) for row in _rows(part) if row.name != "energy"]


def _sections(model: AbstractModel, part: Part) -> dict[str, Any]:
    return {
        "parity": Picture.of(parity(part.tables, part.data)),
        "labels": _rows(part),
        "groups": _by_group(part),
        "elements": _by_element(part),
        "worst": _worst(part),
        "extrapolation": _extrapolation(model, part.data),
        "notes": [e["note"] for e in summarize(part.tables, part.data)["labels"].values() if "note" in e],
    }


def _row(name: str, label: str, errors: Mapping[str, float], most: float = 0.0) -> Row:
    scale, unit = (1000, f"m{UNITS[label]}") if label in MILLI else (1, UNITS[label])
    share = errors["mae"] / most if most else 0.0
    return Row(
        name, unit, errors["mae"] * scale, errors["rmse"] * scale, errors["max"] * scale, int(errors["n"]), share
    )


def _rows(part: Part) -> list[Row]:
    return [_row(label.replace("_", " "), label, table.errors()) for label, table in part.tables.items()]


def _by_group(part: Part) -> dict[str, list[Row]]:
    """Rows of every label by group; empty with a single group."""
    found = {}
    for label, entry in summarize(part.tables, part.data)["labels"].items():
        groups = entry.get("groups", {})
        if groups and label != "energy":
            most = max(e["mae"] for e in groups.values())
            found[label.replace("_", " ")] = [_row(g, label, e, most) for g, e in groups.items()]
    return found


def _by_element(part: Part) -> dict[str, list[Row]]:
    """Rows of the labels that atoms have, by element."""
    found = {}
    for label, table in part.tables.items():
        if label not in LABELS or not LABELS[label][0]:
            continue
        numbers = _numbers(table, part.data)
        errors = {}
        for z in numbers.unique().tolist():
            chosen = numbers == z
            errors[z] = Table(table.predicted[chosen], table.reference[chosen], table.structure[chosen]).errors()
        most = max(e["mae"] for e in errors.values())
        found[label] = [_row(symbol_of(z), label, e, most) for z, e in errors.items()]
    return found


def _numbers(table: Table, data: Dataset) -> torch.Tensor:
    """Atomic number of every value of a label that atoms have, [values]: a structure's atoms keep their order."""
    structures, counts = table.structure.unique_consecutive(return_counts=True)
    parts = []
    for k, n in zip(structures.tolist(), counts.tolist(), strict=True):
        numbers = data.systems.numbers[data.systems.system_idx == k]
        parts.append(numbers.repeat_interleave(n // len(numbers)))
    return torch.cat(parts)


def _worst(part: Part) -> dict[str, list[tuple[str, str, str]]]:
    """Origin, group and error of the structures with the largest errors, by label."""
    found = {}
    for label in ("energy_per_atom", "forces"):
        if label not in part.tables:
            continue
        table = part.tables[label]
        largest = np.zeros(len(part.data))
        np.maximum.at(largest, table.structure.numpy(), (table.predicted - table.reference).abs().numpy())
        scale, unit = (1000, f"m{UNITS[label]}") if label in MILLI else (1, UNITS[label])
        order = np.argsort(-largest, kind="stable")[:_WORST].tolist()
        found[f"{label.replace('_', ' ')}, largest error, {unit}"] = [
            (_short(part.data.origins[k]), part.data.groups[k], three_figures(float(largest[k]) * scale)) for k in order
        ]
    return found


def _short(origin: str) -> str:
    """File and frame without the folder."""
    return origin.rpartition("/")[2]


def _extrapolation(model: AbstractModel, data: Dataset) -> dict[str, Any] | None:
    """How many structures leave the range of the training data, and the worst; None for a model that cannot tell."""
    if not model.capabilities.training_range:
        return None
    worst: dict[int, tuple[float, Any]] = {}
    for index in torch.arange(len(data)).split(_BATCH):
        for e in model.extrapolation(data.select(index).systems):
            excess = max(e.value - e.high, e.low - e.value) / ((e.high - e.low) or 1.0)
            structure = int(index[e.system])
            if excess > worst.get(structure, (0.0, None))[0]:
                worst[structure] = (excess, e)
    order = sorted(worst, key=lambda k: -worst[k][0])[:_WORST]
    return {
        "outside": len(worst),
        "structures": len(data),
        "worst": [
            (
                _short(data.origins[k]),
                f"{worst[k][1].atom} ({worst[k][1].element})",
                worst[k][1].function,
                f"{worst[k][0]:.2g}",
            )
            for k in order
        ],
    }
