"""Figures of a comparison: parity plots, and the curves of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nddo_ml.compare.comparison import ZEROS, Comparison, deviations, elementwise_part, formulas, relative_energies
from nddo_ml.evaluation.figures import colours, diagonal, new_figure, note, save_figure
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL
from nddo_ml.workflows.coordinates import scan_of

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes

    from nddo_ml.compare.answers import Answers

UNITS = {"relative energy": "kcal/mol", "energy": "kcal/mol", "forces": "kcal/mol/Å", "dipole": "D", "charges": "e"}
SCALES = {"forces": EV_KCAL_MOL, "dipole": DEBYE_PER_E_ANGSTROM, "charges": 1.0}
_PANEL = 2.7  # inches


def write_figures(comparison: Comparison, frames: Sequence[Atoms], folder: Path) -> list[Path]:
    """``parity.png`` against the reference (without one, against the first model), ``curve.png`` of a scan.

    Returns the files written; none where there is a single source and no scan.
    """
    written = []
    reference = comparison.reference or comparison.answers[0]
    others = [a for a in comparison.answers if a is not reference]
    if others:
        parity(comparison, reference, others, folder / "parity.png")
        written.append(folder / "parity.png")
    scan = scan_of(frames)
    if scan is not None:
        lines = [*comparison.answers]
        if comparison.reference is not None and all(a is not comparison.reference for a in lines):
            lines.append(comparison.reference)
        drawn = [(a, scan[1], comparison.relative(a)) for a in lines]
        curves(scan[0], drawn, folder / "curve.png", comparison.relative_to)
        written.append(folder / "curve.png")
    return written


def parity(comparison: Comparison, reference: Answers, others: Sequence[Answers], path: Path) -> None:
    """Every source against the reference, a column a source and a row a quantity, on the same axes, with the MAE.

    Energies are relative to the first structure of the same formula; where no formula has a second one, to per-element
    energies fitted to the reference, at zeros fitted to it.
    """
    shown = _quantities(comparison, reference, others)
    figure = new_figure(_PANEL * len(others) + 0.4, _PANEL * max(1, len(shown)) + 0.3)
    axes = figure.subplots(max(1, len(shown)), len(others), squeeze=False)
    for row, (quantity, (x, values)) in zip(axes, shown.items(), strict=False):
        seen = np.concatenate([v.numpy() for v in values if v is not None])
        for ax, answers, y, colour in zip(row, others, values, colours(len(others)), strict=True):
            if y is None:
                ax.set(xticks=[], yticks=[])
                ax.spines[:].set_visible(False)
                ax.text(0.5, 0.5, f"no {quantity}", ha="center", va="center", transform=ax.transAxes, color="gray")
                continue
            ax.plot(x, y, ".", ms=4, alpha=0.6, color=colour, rasterized=True)
            diagonal(ax, x.numpy(), seen)
            mae = deviations(answers, reference, comparison.data).get(quantity, {}).get("mae")
            if mae is not None:
                note(ax, f"MAE {mae:.3g}")
        row[0].set_ylabel(f"{quantity}, {UNITS[quantity]}")
    for ax, answers in zip(axes[0], others, strict=True):
        ax.set_title(answers.name)
    figure.supxlabel(reference.name, fontsize="medium")
    save_figure(figure, path)


def curves(
    label: str, lines: Sequence[tuple[Answers, Sequence[float], Tensor]], path: Path, relative_to: str = ""
) -> None:
    """Energies over a coordinate; hollow points are those at which a potential extrapolates.

    Args:
        label: of the abscissa.
        lines: answers with the coordinate's values and energies [points] eV.
        path: PNG file.
        relative_to: what the energies are relative to.
    """
    figure = new_figure(5.0, 3.8)
    ax = figure.subplots()
    draw_curves(ax, label, lines)
    ax.set_ylabel(f"energy, kcal/mol{f', relative to {ZEROS.get(relative_to, relative_to)}' if relative_to else ''}")
    save_figure(figure, path)


def draw_curves(ax: Axes, label: str, lines: Sequence[tuple[Answers, Sequence[float], Tensor]]) -> None:
    """As :func:`curves`, into a panel."""
    for (answers, x, energy), colour in zip(lines, colours(len(lines)), strict=True):
        y = energy * EV_KCAL_MOL
        ax.plot(x, y, color=colour, lw=1.2, label=answers.name)
        outside = answers.extrapolations or {}
        for hollow in (False, True):
            points = [k for k in range(len(x)) if (k in outside) is hollow]
            face = "white" if hollow else colour
            ax.plot([x[k] for k in points], y[points], "o", ms=3.5, mec=colour, mfc=face, mew=0.9)
    if any(a.extrapolations for a, *_ in lines):
        ax.plot([], [], "o", ms=3.5, mec="black", mfc="white", mew=0.9, label="extrapolates")
    ax.set_xlabel(label)
    ax.grid(alpha=0.25, lw=0.4)
    ax.legend(frameon=False, fontsize="small")


def _quantities(
    comparison: Comparison, reference: Answers, others: Sequence[Answers]
) -> dict[str, tuple[Tensor, list[Tensor | None]]]:
    """Values of the reference and of every other source (None where it has none), flat, by quantity."""
    names = formulas(comparison.data)
    second = torch.tensor([name in names[:k] for k, name in enumerate(names)])
    energy = "relative energy" if bool(second.any()) else "energy"
    found = {}
    for quantity in (energy, *SCALES):
        values = [_values(quantity, a, reference, comparison, second) for a in (reference, *others)]
        if values[0] is not None and any(v is not None for v in values[1:]):
            found[quantity] = (values[0], values[1:])
    return found


def _values(
    quantity: str, answers: Answers, reference: Answers, comparison: Comparison, second: Tensor
) -> Tensor | None:
    """Flat values of a source in the units shown; None where it or the reference has none."""
    data = comparison.data
    if quantity == "relative energy":
        values = relative_energies(answers, data, "first")[second] * EV_KCAL_MOL
    elif quantity == "energy":
        moved = answers.energy + elementwise_part(reference.energy - answers.energy, data)
        values = (moved - elementwise_part(reference.energy, data)) * EV_KCAL_MOL
    elif getattr(answers, quantity) is None:
        return None
    else:
        values = getattr(answers, quantity).reshape(-1) * SCALES[quantity]
    return None if bool(values.isnan().all()) else values
