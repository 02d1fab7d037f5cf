"""Reactions as figures: energies along elastic bands and along the ways down from saddle points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nddo_ml.evaluation.figures import colours, new_figure, save_figure
from nddo_ml.units import EV_KCAL_MOL


@dataclass(frozen=True)
class Profile:
    """One reaction."""

    name: str
    band: np.ndarray  # [images] Å along the band
    band_energies: np.ndarray  # [images] eV, the reactant first
    down: np.ndarray | None  # [points] Å u^½ along the ways down, the saddle point at 0
    down_energies: np.ndarray | None  # [points] eV


def draw_profiles(profiles: Sequence[Profile], path: Path) -> None:
    """Energies relative to each reactant: the bands, and beside them the ways down, to a PNG file."""
    figure = new_figure(8.0, 3.6)
    left, right = figure.subplots(1, 2, sharey=True)
    for p, colour in zip(profiles, colours(len(profiles)), strict=True):
        zero = p.band_energies[0]
        left.plot(p.band, (p.band_energies - zero) * EV_KCAL_MOL, "o-", color=colour, ms=3.5, lw=1.0, label=p.name)
        if p.down is not None and p.down_energies is not None:
            energies = (p.down_energies - zero) * EV_KCAL_MOL
            right.plot(p.down, energies, color=colour, lw=1.3)
            top = int(np.abs(p.down).argmin())
            right.plot(p.down[top], energies[top], "o", color=colour, ms=5)
    left.set_xlabel("path between the structures, Å")
    left.set_ylabel("energy, kcal/mol")
    left.set_title("elastic band", fontsize="medium")
    right.set_xlabel("reaction coordinate, Å u$^{1/2}$")
    right.set_title("down from the saddle point", fontsize="medium")
    for ax in (left, right):
        ax.grid(alpha=0.25, lw=0.4)
    if len(profiles) <= 8:
        left.legend(frameon=False, fontsize="small")
    save_figure(figure, path)
