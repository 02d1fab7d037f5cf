"""Active learning as a figure: what the committee does not know, round after round."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nddo_ml.evaluation.figures import new_figure, save_figure


def draw_rounds(labels: Sequence[int], median: Sequence[float], largest: Sequence[float], path: Path) -> None:
    """Spreads of the candidates against the labels learned before, to a PNG file.

    Args:
        labels: of each round.
        median: of the spreads over the square root of atoms, eV.
        largest: of the same.
        path: of the figure.
    """
    figure = new_figure(4.6, 3.4)
    ax = figure.subplots()
    for values, name in ((largest, "largest"), (median, "median")):
        ax.plot(labels, [1000 * v for v in values], "o-", label=name)
    ax.set_yscale("log")
    ax.set_xlabel("labels learned")
    ax.set_ylabel("spread of the candidates, meV/√atoms")
    ax.grid(alpha=0.25, lw=0.4)
    ax.legend(frameon=False, fontsize="small")
    save_figure(figure, path)
