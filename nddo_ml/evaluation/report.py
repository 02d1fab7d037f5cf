"""Figures of a training: learning curves and parity plots, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nddo_ml.evaluation.tables import UNITS, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2a5d9c", "#c8553d", "#3d8b63", "#8a6bb1", "#b58b2a", "#4a4a4a")
MILLI = ("energy_per_atom", "stress")  # shown in thousandths of the unit


def learning_curves(logs: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Loss and validation errors against the epoch, one line a log; phases are told apart by a thin line."""
    entries = [e for log in logs.values() for e in log]
    labels = sorted({name for e in entries for name in e.get("valid_mae", {})})
    figure = new_figure(1 + len(labels))
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
        unit = UNITS["energy_per_atom" if label == "energy" else label]
        ax.set_title(f"validation MAE of {label}, {unit}")
    for ax in axes:
        ax.set_xlabel("epoch")
        ax.set_yscale("log")
        ax.grid(alpha=0.25, which="both", lw=0.4)
    if len(logs) > 1:
        axes[0].legend(frameon=False)
    save_figure(figure, path)


def parity(tables: Mapping[str, Table], groups: Sequence[str], path: Path, title: str = "") -> None:
    """Predicted against reference values of each label, coloured by group, with MAE and RMSE."""
    shown = {k: t for k, t in tables.items() if k != "energy"} or dict(tables)
    figure = new_figure(len(shown))
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    names = sorted(set(groups))
    for ax, (label, table) in zip(axes, shown.items(), strict=True):
        group_of = np.asarray([names.index(g) for g in groups])[table.structure.numpy()]
        scale, unit = (1000, f"m{UNITS[label]}") if label in MILLI else (1, UNITS[label])
        x, y = table.reference.numpy() * scale, table.predicted.numpy() * scale
        for k, (name, colour) in enumerate(zip(names, colours(len(names)), strict=True)):
            here = group_of == k
            ax.plot(x[here], y[here], ".", ms=3, alpha=0.6, color=colour, label=name, rasterized=True)
        low, high = min(x.min(), y.min()), max(x.max(), y.max())
        ax.plot([low, high], [low, high], color="black", lw=0.6)
        errors = table.errors()
        ax.set_title(f"{label.replace('_', ' ')}, {unit}")
        note = f"MAE {errors['mae'] * scale:.3g}\nRMSE {errors['rmse'] * scale:.3g}"
        ax.text(0.04, 0.96, note, transform=ax.transAxes, va="top")
        ax.set_xlabel("reference")
        ax.grid(alpha=0.25, lw=0.4)
    axes[0].set_ylabel("predicted")
    if len(names) > 1:
        axes[-1].legend(frameon=False, markerscale=2, loc="lower right", fontsize="small")
    if title:
        figure.suptitle(title)
    save_figure(figure, path)


def curve(ax: Axes, x: Sequence[float], lines: Mapping[str, Sequence[float]]) -> None:
    """Several lines over one abscissa with a legend."""
    for colour, (name, values) in zip(colours(len(lines)), lines.items(), strict=True):
        ax.plot(x, values, color=colour, lw=1.3, label=name)
    ax.grid(alpha=0.25, lw=0.4)
    ax.legend(frameon=False)


def new_figure(n: int) -> Figure:
    """A figure for ``n`` panels beside each other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0 * n, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def colours(n: int) -> list[str]:
    """Colours of ``n`` lines."""
    return [COLOURS[k % len(COLOURS)] for k in range(n)]
