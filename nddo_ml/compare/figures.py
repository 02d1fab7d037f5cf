"""Figures of a comparison: parity plots, and the curves of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from nddo_ml.compare.comparison import ZEROS, Comparison, deviations, elementwise_part
from nddo_ml.evaluation.report import colours, new_figure, save_figure
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL
from nddo_ml.workflows.coordinates import scan_of

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.axes import Axes

    from nddo_ml.compare.answers import Answers

UNITS = {"energy": "kcal/mol", "forces": "kcal/mol/Å", "dipole": "D", "charges": "e"}
SCALES = {"energy": EV_KCAL_MOL, "forces": EV_KCAL_MOL, "dipole": DEBYE_PER_E_ANGSTROM, "charges": 1.0}


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
    """Every quantity of the sources against the reference's, with the MAE of each; energies at fitted zeros."""
    data = comparison.data
    shown = {q: [(a, _values(q, a, reference, comparison)) for a in others if _has(q, a, reference)] for q in UNITS}
    shown = {q: sources for q, sources in shown.items() if sources}
    figure = new_figure(max(1, len(shown)))
    axes = figure.subplots(1, max(1, len(shown)), squeeze=False)[0]
    colour = dict(zip([a.name for a in others], colours(len(others)), strict=True))
    for ax, (quantity, sources) in zip(axes, shown.items(), strict=False):
        x = _values(quantity, reference, reference, comparison)
        for answers, y in sources:
            mae = deviations(answers, reference, data).get(quantity, {}).get("mae")
            label = answers.name if mae is None else f"{answers.name}, MAE {mae:.3g}"
            ax.plot(x, y, ".", ms=4, alpha=0.6, color=colour[answers.name], label=label, rasterized=True)
        low, high = float(x[~x.isnan()].min()), float(x[~x.isnan()].max())
        ax.axline((low, low), slope=1, color="black", lw=0.6)
        ax.set_xlim(low - 0.03 * (high - low or 1), high + 0.03 * (high - low or 1))
        ax.set_title(f"{quantity}, {UNITS[quantity]}")
        ax.set_xlabel(reference.name)
        ax.grid(alpha=0.25, lw=0.4)
        ax.legend(frameon=False, fontsize="small", markerscale=2)
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
    figure = new_figure(1)
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


def _has(quantity: str, answers: Answers, reference: Answers) -> bool:
    values = [getattr(source, quantity) for source in (answers, reference)]
    if any(v is None for v in values):
        return False
    return not bool((values[0] - values[1]).isnan().all())


def _values(quantity: str, answers: Answers, reference: Answers, comparison: Comparison) -> Tensor:
    """Flat values; energies relative to per-element energies fitted to the reference's."""
    if quantity == "energy":
        data = comparison.data
        moved = answers.energy + elementwise_part(reference.energy - answers.energy, data)
        return (moved - elementwise_part(reference.energy, data)) * EV_KCAL_MOL
    values: Tensor = getattr(answers, quantity)
    return values.reshape(-1) * SCALES[quantity]
