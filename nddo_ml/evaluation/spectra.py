"""Spectra as figures: lines and what they look like when broadened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nddo_ml.evaluation.figures import colours, new_figure, save_figure
from nddo_ml.units import EV_NM
from nddo_ml.workflows.infrared import DynamicSpectrum

SHOWN = 8  # spectra in one figure
_POINTS = 2000


@dataclass(frozen=True)
class Lines:
    """A spectrum of sharp lines."""

    name: str
    positions: np.ndarray  # [lines]
    strengths: np.ndarray  # [lines], areas


def lorentzian(x: np.ndarray, lines: Lines, width: float) -> np.ndarray:
    """``Σ_k S_k (w/2π)/[(x − x_k)² + w²/4]`` with the full width w at half height."""
    away = x[:, None] - lines.positions
    return (lines.strengths * (width / (2 * np.pi)) / (away**2 + 0.25 * width**2)).sum(axis=1)


def infrared(spectra: Sequence[Lines], path: Path, width: float = 16.0) -> None:
    """Infrared spectra, one above the other, wavenumbers falling to the right as chemists draw them.

    Args:
        spectra: positions cm⁻¹, strengths km/mol; the first eight are drawn.
        path: PNG file.
        width: cm⁻¹, of the Lorentzians.
    """
    shown = spectra[:SHOWN]
    highest = max((float(s.positions.max()) for s in shown if len(s.positions)), default=3500.0)
    x = np.linspace(0, max(1000.0, 1.08 * highest), _POINTS)
    figure = new_figure(6.4, 1.0 + 1.7 * len(shown))
    axes = figure.subplots(len(shown), 1, squeeze=False, sharex=True)[:, 0]
    for ax, lines, colour in zip(axes, shown, colours(len(shown)), strict=True):
        ax.plot(x, lorentzian(x, lines, width), color=colour, lw=1.2)
        ax.fill_between(x, lorentzian(x, lines, width), color=colour, alpha=0.12, lw=0)
        sticks = ax.twinx()
        sticks.vlines(lines.positions, 0, lines.strengths, color=colour, lw=0.8, alpha=0.6)
        sticks.set_ylim(0, 1.15 * max([*lines.strengths, 1.0]))
        sticks.set_ylabel("km/mol", fontsize="small")
        ax.set_ylim(bottom=0)
        ax.set_yticks([])
        ax.set_ylabel("absorption", fontsize="small")
        ax.set_title(lines.name, loc="left", fontsize="small")
    axes[0].set_xlim(x[-1], x[0])
    axes[-1].set_xlabel("wavenumber, cm⁻¹")
    save_figure(figure, path)


def draw_dynamic_infrared(spectra: Mapping[str, DynamicSpectrum], path: Path, highest: float = 4000.0) -> None:
    """Infrared spectra of dynamics by name, one above the other as :func:`infrared` has them, to a PNG file."""
    shown = list(spectra.items())[:SHOWN]
    figure = new_figure(6.4, 1.0 + 1.7 * len(shown))
    axes = figure.subplots(len(shown), 1, squeeze=False, sharex=True)[:, 0]
    for ax, (name, spectrum), colour in zip(axes, shown, colours(len(shown)), strict=True):
        ax.plot(spectrum.wavenumbers, spectrum.absorption, color=colour, lw=1.2)
        ax.fill_between(spectrum.wavenumbers, spectrum.absorption, color=colour, alpha=0.12, lw=0)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("km/mol cm", fontsize="small")
        ax.set_title(name, loc="left", fontsize="small")
    axes[0].set_xlim(highest, 0)
    axes[-1].set_xlabel("wavenumber, cm⁻¹")
    save_figure(figure, path)


def absorption(spectra: Sequence[Lines], path: Path, width: float = 0.4) -> None:
    """Absorption spectra over the wavelength, one above the other.

    Args:
        spectra: positions eV, strengths oscillator strengths; the first eight are drawn.
        path: PNG file.
        width: eV, of the Lorentzians.
    """
    shown = spectra[:SHOWN]
    lowest = min((float(s.positions.min()) for s in shown if len(s.positions)), default=2.0)
    highest = max((float(s.positions.max()) for s in shown if len(s.positions)), default=6.0)
    energy = np.linspace(max(0.8 * lowest, lowest - 2 * width), highest + width, _POINTS)
    figure = new_figure(6.4, 1.0 + 1.7 * len(shown))
    axes = figure.subplots(len(shown), 1, squeeze=False, sharex=True)[:, 0]
    for ax, lines, colour in zip(axes, shown, colours(len(shown)), strict=True):
        bands = lorentzian(energy, lines, width)
        ax.plot(EV_NM / energy, bands, color=colour, lw=1.2)
        ax.fill_between(EV_NM / energy, bands, color=colour, alpha=0.12, lw=0)
        ax.set_ylim(bottom=0)
        ax.set_yticks([])
        ax.set_ylabel("absorption", fontsize="small")
        sticks = ax.twinx()
        sticks.vlines(EV_NM / lines.positions, 0, lines.strengths, color=colour, lw=0.9, alpha=0.7)
        sticks.set_ylim(0, 1.15 * max([*lines.strengths, 1e-3]))
        sticks.set_ylabel("f", fontsize="small")
        ax.set_title(lines.name, loc="left", fontsize="small")
    axes[-1].set_xlabel("wavelength, nm")
    save_figure(figure, path)
