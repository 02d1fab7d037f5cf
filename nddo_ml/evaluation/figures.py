"""Figures of a training and an evaluation: learning curves, parity plots; and what all figures of the package share."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nddo_ml.datasets.dataset import Dataset
from nddo_ml.evaluation.tables import UNITS, Table
from nddo_ml.results.targets import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2a5d9c", "#c8553d", "#3d8b63", "#8a6bb1", "#b58b2a", "#4a4a4a")
MILLI = ("energy_per_atom", "stress")  # shown in thousandths of the unit
_PANEL = 3.1  # inches, the side of a parity plot
_TICKS = 4  # at most so many intervals an axis, so that labels keep apart
_MANY = 200  # values whose distribution needs a logarithmic scale to show its ends
_FALL = 4  # largest over smallest value from which an axis is logarithmic
_NOISE = 1e-9  # what is smaller is rounding
_MARGIN = 0.04  # of the range, around the points


def learning_curves(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Loss and validation errors against the epoch, a line a log; dotted lines where the optimiser changes."""
    entries = [e for log in logs.values() for e in log]
    labels = sorted({name for e in entries for name in e.get("valid_mae", {})})
    figure = new_figure(3.4 * (1 + len(labels)), 3.0)
    axes = figure.subplots(1, 1 + len(labels), squeeze=False)[0]
    for colour, (name, log) in zip(colours(len(logs)), logs.items(), strict=True):
        epochs = [e["epoch"] for e in log]
        axes[0].plot(epochs, [e["train_loss"] for e in log], color=colour, lw=0.8, alpha=0.5)
        checked = [e for e in log if "valid_loss" in e]
        x = [e["epoch"] for e in checked]
        axes[0].plot(x, [e["valid_loss"] for e in checked], color=colour, lw=1.4, label=name)
        for ax, label in zip(axes[1:], labels, strict=True):
            values = [(e["epoch"], e["valid_mae"][label]) for e in checked if label in e["valid_mae"]]
            ax.plot(*zip(*values, strict=True), color=colour, lw=1.2)
        for change in [b["epoch"] for a, b in pairwise(log) if a["phase"] != b["phase"]]:
            for ax in axes:
                ax.axvline(change, color=colour, lw=0.5, ls=":")
    axes[0].set_title("loss: training (pale), validation")
    for ax, label in zip(axes[1:], labels, strict=True):
        ax.set_title(f"validation MAE of {label}, {UNITS['energy_per_atom' if label == 'energy' else label]}")
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.grid(alpha=0.25, which="both", lw=0.4)
        _scaled(ax)
    if len(logs) > 1:
        axes[0].legend(frameon=False)
    return figure


def _scaled(ax: Axes) -> None:
    """Whole epochs below; logarithmic to the left where the curves fall by much."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(_TICKS, integer=True))
    values = np.concatenate(
        [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines if line.get_linestyle() != ":"]
    )
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > _FALL * values.min():
        ax.set_yscale("log")
    elif not values.any():
        ax.set_ylim(-1, 1)  # nothing but zeros


def parity(tables: Mapping[str, Table], dataset: Dataset, title: str = "") -> Figure:
    """Predicted against reference values of each label, coloured by group, and below the distribution of the errors.

    Energies an atom are relative to per-element energies fitted to the references, of which a plot would else show
    nothing but the composition.
    """
    shown = {k: t for k, t in tables.items() if k != "energy"} or dict(tables)
    names = sorted(set(dataset.groups))
    figure = new_figure(_PANEL * max(len(shown), 1) + 0.3, 4.6 + 0.25 * (len(names) > 1))
    rows = figure.subplots(2, len(shown), squeeze=False, height_ratios=[3.1, 1.0])
    group = np.asarray([names.index(g) for g in dataset.groups])
    for (ax, below), (label, table) in zip(rows.T, shown.items(), strict=True):
        scale, unit = (1000, f"m{UNITS[label]}") if label in MILLI else (1, UNITS[label])
        relative = label == "energy_per_atom" and "energy" in tables
        base = _fitted_elements(tables["energy"], dataset) if relative else np.zeros(len(table.reference))
        x, y = ((v.double().numpy() - base) * scale for v in (table.reference, table.predicted))
        of_group = group[table.structure.numpy()]
        for k, colour in enumerate(colours(len(names))):
            here = of_group == k
            ax.plot(x[here], y[here], ".", ms=3, alpha=0.6, color=colour, label=names[k], rasterized=True)
        diagonal(ax, x, y)
        errors = table.errors()
        note(ax, f"MAE {three_figures(errors['mae'] * scale)}\nRMSE {three_figures(errors['rmse'] * scale)}")
        ax.set_title(f"{label.replace('_', ' ')}{', relative' if relative else ''}")
        ax.set_xlabel(f"reference, {unit}")
        below.hist(y - x, bins=min(41, 8 + len(x) // 20), color=COLOURS[0])
        below.set_yscale("log" if len(x) > _MANY else "linear")
        below.set_xlabel(f"error, {unit}")
        few_ticks(below, "x")
    rows[0, 0].set_ylabel("predicted")
    rows[1, 0].set_ylabel("values")
    if len(names) > 1:
        handles, texts = rows[0, 0].get_legend_handles_labels()
        figure.legend(
            handles, texts, loc="outside lower center", ncols=min(len(names), 6), frameon=False, markerscale=3
        )
    if title:
        figure.suptitle(title)
    return figure


def _fitted_elements(energies: Table, dataset: Dataset) -> np.ndarray:
    """Energy an atom of each value's composition, by least squares of the references over the elements, eV."""
    counts = dataset.composition[energies.structure]
    reference = energies.reference.double()
    fitted = torch.linalg.lstsq(counts, reference[:, None], driver="gelsd").solution
    return ((counts @ fitted)[:, 0] / counts.sum(1)).numpy()


def three_figures(value: float) -> str:
    """0.0123, 4.56, 789, 12,345; rounding errors are 0."""
    if abs(value) < _NOISE:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def diagonal(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """One range for both axes, a line where they agree, few ticks."""
    both = np.concatenate([x, y])
    both = both[np.isfinite(both)]
    low, high = (float(both.min()), float(both.max())) if both.size else (0.0, 1.0)
    margin = _MARGIN * ((high - low) or 1.0)
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(low - margin, high + margin)
    ax.set_aspect("equal")
    ax.axline((low, low), slope=1, color="black", lw=0.6)
    ax.grid(alpha=0.25, lw=0.4)
    few_ticks(ax, "both")


def few_ticks(ax: Axes, axis: str) -> None:
    """Round values, so few that their labels do not touch."""
    from matplotlib.ticker import MaxNLocator

    for each in [ax.xaxis, ax.yaxis] if axis == "both" else [getattr(ax, f"{axis}axis")]:
        each.set_major_locator(MaxNLocator(_TICKS, steps=[1, 2, 2.5, 5, 10]))


def note(ax: Axes, text: str) -> None:
    """Text in the upper left corner."""
    ax.text(0.04, 0.96, text, transform=ax.transAxes, va="top", fontsize="small")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sides in inches, drawn without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; its folder is made.

    Raises:
        InputError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as made:
        figure.savefig(made, dpi=150, format="png")


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150, format="png")
    return buffer.getvalue()


def colours(n: int) -> list[str]:
    """Colours of ``n`` lines."""
    return [COLOURS[k % len(COLOURS)] for k in range(n)]
