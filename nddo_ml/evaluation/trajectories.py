"""Dynamics as figures: energies and temperature over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nddo_ml.evaluation.figures import colours, new_figure, save_figure


@dataclass(frozen=True)
class EnergyTrace:
    """One path."""

    name: str
    time: np.ndarray  # [n] fs
    potential: np.ndarray  # [n] eV
    kinetic: np.ndarray  # [n] eV
    temperature: np.ndarray  # [n] K


def draw_energies(traces: Sequence[EnergyTrace], path: Path) -> None:
    """Energies relative to each path's first total energy, and temperatures, to a PNG file."""
    figure = new_figure(6.4, 4.6)
    above, below = figure.subplots(2, 1, sharex=True)
    for trace, colour in zip(traces, colours(len(traces)), strict=True):
        zero = trace.potential[0] + trace.kinetic[0]
        time = trace.time * 1e-3
        above.plot(time, trace.potential - zero, color=colour, lw=0.8, alpha=0.6)
        above.plot(time, trace.potential + trace.kinetic - zero, color=colour, lw=1.4, label=trace.name)
        below.plot(time, trace.temperature, color=colour, lw=0.8)
    above.set_ylabel("energy, eV\n(potential pale, total)")
    below.set_ylabel("temperature, K")
    below.set_xlabel("time, ps")
    for ax in (above, below):
        ax.grid(alpha=0.25, lw=0.4)
    if len(traces) <= 8:
        above.legend(frameon=False, fontsize="small", ncols=2)
    save_figure(figure, path)
