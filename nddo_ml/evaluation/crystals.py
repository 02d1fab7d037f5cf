"""Figures of crystals: reconstructions of a face, stress by shells and layers, thermal expansion, dislocations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nddo_ml.evaluation.figures import COLOURS, colours, few_ticks, new_figure, save_figure
from nddo_ml.workflows.dislocations import EnergyCurve
from nddo_ml.workflows.phonons import ThermalExpansion
from nddo_ml.workflows.stress_profiles import StressProfile
from nddo_ml.workflows.surfaces import Reconstruction

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_reconstructions(found: Mapping[str, Sequence[Sequence[Reconstruction]]], path: Path) -> None:
    """Energies a dimer by reconstruction and model, and the last of the first model seen along its rows, PNG.

    Args:
        found: model -> committee members -> reconstructions, the same of all; with several members, mean and spread.
        path: PNG file.
    """
    figure = new_figure(8.4, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.3, 1.0])
    for k, (model, colour) in enumerate(zip(found, colours(len(found)), strict=True)):
        table = np.array([[r.energy for r in member] for member in found[model]])
        spread = table.std(0, ddof=1) if len(table) > 1 else None
        x = np.arange(table.shape[1]) + 0.06 * (k - 0.5 * (len(found) - 1))
        left.errorbar(x, table.mean(0), yerr=spread, fmt="o", ms=5, capsize=3, color=colour, label=model)
    names = [r.name for r in next(iter(found.values()))[0]]
    left.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize="small")
    left.set_ylabel("energy, eV a dimer")
    left.axhline(0, color="0.7", lw=0.6)
    left.legend(frameon=False, fontsize="small")
    shown = next(iter(found.values()))[0][-1]
    _side_view(right, shown)
    right.set_title(shown.name, fontsize="medium")
    save_figure(figure, path)


def draw_stress_profiles(profiles: Mapping[str, StressProfile], path: Path) -> None:
    """Pressure and tension by shell or layer, a panel a profile, PNG."""
    figure = new_figure(4.0 * len(profiles), 3.2)
    for ax, (title, p) in zip(figure.subplots(1, len(profiles), squeeze=False)[0], profiles.items(), strict=True):
        lines = {"pressure": p.pressure}
        if p.tension is not None:
            lines |= {"in the plane, (σ_xx + σ_yy)/2": p.lateral, "across, σ_zz": p.stress[:, 2, 2]}
        for (name, values), colour in zip(lines.items(), colours(len(lines)), strict=True):
            ax.plot(p.places, values, "o-", ms=4, lw=1, color=colour, label=name)
        ax.axhline(0, color="0.7", lw=0.6)
        ax.set(xlabel=p.axis, ylabel="GPa", title=title)
        ax.legend(frameon=False, fontsize="small")
        few_ticks(ax, "x")
    save_figure(figure, path)


def draw_expansion(members: Sequence[ThermalExpansion], measured: Mapping[float, float], path: Path) -> None:
    """Linear expansion and mean Grüneisen parameter over temperature: the members' mean and spread, PNG.

    Args:
        members: one or several models' results at the same temperatures.
        measured: temperature in K -> linear expansion in 1/K.
        path: PNG file.
    """
    figure = new_figure(8.0, 3.2)
    left, right = figure.subplots(1, 2)
    t = members[0].temperatures
    for ax, values in ((left, [1e6 * m.expansion / 3 for m in members]), (right, [m.gruneisen for m in members])):
        table = np.array(values)
        mean, spread = table.mean(0), table.std(0, ddof=1) if len(table) > 1 else np.zeros(len(t))
        ax.plot(t, mean, color=COLOURS[0], label=f"{len(members)} potential{'s' * (len(members) > 1)}")
        ax.fill_between(t, mean - spread, mean + spread, color=COLOURS[0], alpha=0.25)
        ax.axhline(0, color="0.7", lw=0.6)
        ax.set_xlabel("temperature, K")
    left.plot(list(measured), [1e6 * v for v in measured.values()], "o", ms=4, color=COLOURS[1], label="measured")
    left.set_ylabel("linear expansion, 10⁻⁶/K")
    left.legend(frameon=False)
    right.set_ylabel("Grüneisen parameter")
    save_figure(figure, path)


def draw_dislocations(curves: Mapping[str, tuple[EnergyCurve, float]], path: Path) -> None:
    """Energies within radii, logarithmic, beside lines with the slopes of elasticity, PNG.

    Args:
        curves: name -> curve and the prefactor of elasticity, eV/Å.
        path: PNG file.
    """
    figure = new_figure(5.4, 3.8)
    ax = figure.subplots()
    for (name, (curve, k)), colour in zip(curves.items(), colours(len(curves)), strict=True):
        logs = np.log(curve.radii)
        line = curve.energies.mean() + k * (logs - logs.mean())
        ax.plot(curve.radii, curve.energies, ".", ms=4, color=colour, label=f"{name}: {curve.slope:.3f}")
        ax.plot(curve.radii, line, color=colour, lw=1, label=f"elasticity: {k:.3f} eV/Å")
    ax.set(xscale="log", xlabel="radius, Å", ylabel="energy within the radius, eV/Å")
    ax.legend(frameon=False, fontsize="small")
    save_figure(figure, path)


def _side_view(ax: Axes, shown: Reconstruction) -> None:
    """Upper half of a slab along y; bonds of the face are its dimers."""
    p = shown.atoms.positions
    upper = p[:, 2] > p[:, 2].mean()
    ax.scatter(p[upper, 0], p[upper, 2], s=60, c=p[upper, 2], cmap="Blues", edgecolor="#333")
    for d in shown.dimers:
        a, b = (p[k] for k in d.atoms)
        if upper[d.atoms[0]] and abs(a[0] - b[0]) < 1.1 * d.length:
            ax.plot([a[0], b[0]], [a[2], b[2]], color=COLOURS[1], lw=2)
    ax.set_aspect("equal")
    ax.margins(0.08, 0.4)
    ax.set(xlabel="x, Å", ylabel="z, Å")
