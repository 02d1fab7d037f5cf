"""Infrared absorption from dynamics: the spectrum of the dipole moment along a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import units

from nddo_ml.errors import InputError
from nddo_ml.workflows.dynamics import K_B
from nddo_ml.workflows.normal_modes import INTENSITY

WAVENUMBER_FS = 1e15 / (100 * 299792458.0)  # cm⁻¹ of a frequency of 1/fs


@dataclass(frozen=True)
class DynamicSpectrum:
    """A classical infrared spectrum."""

    wavenumbers: np.ndarray  # [n] cm⁻¹
    absorption: np.ndarray  # [n] km/mol per cm⁻¹: its area is an intensity as normal modes have it


def dynamic_spectrum(
    dipoles: np.ndarray | Sequence[Sequence[Sequence[float]]],
    interval: float,
    temperature: float,
    resolution: float = 10.0,
) -> DynamicSpectrum:
    """``A(ν) = N_A/(12 ε_0 c² k_B T) S(ν)``, S the spectral density of the dipole moment's velocity.

    S is the Fourier transform of the autocorrelation of dμ/dt (Wiener and Khinchin), by Welch's method: paths are cut
    into overlapping pieces as long as the resolution needs, windowed by Hann, and averaged. For harmonic motion the
    area of a band is its intensity, ``N_A/(12 ε_0 c²) |∂μ/∂Q|²``, since dQ/dt has the mean square k_B T; this is the
    harmonic quantum correction.
    Ramírez et al., J. Chem. Phys. 121, 3973 (2004); Thomas et al., Phys. Chem. Chem. Phys. 15, 6608 (2013).

    Args:
        dipoles: [paths, n, 3] or [n, 3] e·Å, at even times.
        interval: fs between them; bands above 1/(2 interval) would be folded back.
        temperature: K, of the path: its mean kinetic energy where that differs from what was asked for.
        resolution: cm⁻¹.

    Raises:
        InputError: fewer than sixteen times, or numbers that are not positive or finite.
    """
    from scipy.signal import welch  # takes a moment, and only spectra need it

    moments = np.atleast_3d(np.asarray(dipoles, dtype=float).T).T
    if moments.shape[1] < 16 or not np.isfinite(moments).all():
        raise InputError(f"expected finite dipole moments at sixteen times at least; got {list(np.shape(dipoles))}")
    if not min(interval, temperature, resolution) > 0:
        raise InputError(
            "expected a positive interval, temperature and resolution; got "
            f"{interval} fs, {temperature} K, {resolution} 1/cm"
        )
    piece = min(moments.shape[1], round(WAVENUMBER_FS / (resolution * interval)))
    frequency, density = welch(moments, 1 / interval, nperseg=piece, axis=1, detrend="constant")
    velocity = (2 * np.pi * frequency) ** 2 * density.mean(axis=0).sum(axis=1)  # (e·Å/fs)² fs
    scale = INTENSITY / (K_B * temperature) / units.fs**2 / WAVENUMBER_FS
    return DynamicSpectrum(frequency * WAVENUMBER_FS, scale * velocity)
