"""Thermochemistry of an ideal gas of rigid rotors and harmonic oscillators.

McQuarrie & Simon, Molecular Thermodynamics (1999), ch. 4; Grimme, Chem. Eur. J. 18, 9955 (2012) for low modes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units

from nddo_ml.errors import InputError
from nddo_ml.workflows.symmetry_number import is_linear, symmetry_number

ATMOSPHERE = 101_325.0  # Pa
ROOM = 298.15  # K
GRIMME_WAVENUMBER = 100.0  # cm⁻¹, at which a mode is half a vibration, half a rotation
_GRIMME_EXPONENT = 4
_AVERAGE_INERTIA = 1e-44  # kg m², that bounds the inertia of a rotation that takes a low mode's place
_R = units.kB  # eV/K, a molecule's


@dataclass(frozen=True)
class Thermochemistry:
    """What motion adds to the energy of a molecule at some temperatures."""

    temperature: np.ndarray  # [n] K
    zero_point: float  # eV, ½ Σ hν
    enthalpy: np.ndarray  # [n] eV, H − E with the zero-point energy: translation, rotation, vibration, kT
    entropy: np.ndarray  # [n] eV/K
    heat_capacity: np.ndarray  # [n] eV/K, at constant pressure
    symmetry_number: int

    @property
    def gibbs(self) -> np.ndarray:
        """``G − E = (H − E) − T S``, [n] eV."""
        return self.enthalpy - self.temperature * self.entropy


def thermochemistry(
    atoms: Atoms,
    frequencies: Sequence[float] | np.ndarray,
    *,
    multiplicity: int = 1,
    temperatures: Sequence[float] = (ROOM,),
    pressure: float = ATMOSPHERE,
    symmetry: int | None = None,
    quasi_harmonic: bool = False,
) -> Thermochemistry:
    """Enthalpy, entropy and heat capacity by the rigid rotor and the harmonic oscillator.

    Imaginary modes (negative frequencies) are left out, as a saddle point's motion along its path must be. With
    ``quasi_harmonic`` the entropy of a mode is ``w S_vib + (1 − w) S_rot``, ``w = 1/(1 + (ω_0/ω)⁴)``, ω_0 = 100 cm⁻¹,
    where S_rot is that of a free rotation with the mode's frequency.

    Args:
        atoms: the molecule, with its masses.
        frequencies: [modes] cm⁻¹, without translations and rotations.
        multiplicity: 2S + 1, whose logarithm is the entropy of the electrons.
        temperatures: [n] K.
        pressure: Pa.
        symmetry: the rotational symmetry number; left out, it is detected.
        quasi_harmonic: Grimme's entropy of low modes.

    Raises:
        InputError: a temperature, a pressure or a symmetry number that is not positive.
    """
    t = np.asarray(temperatures, dtype=float)
    if not (t > 0).all() or not pressure > 0:
        raise InputError(f"temperatures and pressure must be positive; got {t.tolist()} K and {pressure} Pa")
    if symmetry is not None and symmetry < 1:
        raise InputError(f"a symmetry number must be at least 1; got {symmetry}")
    sigma = symmetry_number(atoms) if symmetry is None else symmetry
    modes = np.asarray(frequencies, dtype=float)
    quantum = modes[modes > 0] * units.invcm  # eV
    axes, turning = _rotation(atoms, t, sigma)
    x = quantum[:, None] / (_R * t)
    entropy = _R * (x / np.expm1(x) - np.log1p(-np.exp(-x)))
    if quasi_harmonic:
        weight = 1 / (1 + (GRIMME_WAVENUMBER * units.invcm / quantum) ** _GRIMME_EXPONENT)
        entropy = weight[:, None] * entropy + (1 - weight)[:, None] * _free_rotation(quantum, t)
    zero_point = 0.5 * float(quantum.sum())
    degrees = 3 + len(axes)
    return Thermochemistry(
        t,
        zero_point,
        zero_point + (quantum[:, None] / np.expm1(x)).sum(axis=0) + (0.5 * degrees + 1) * _R * t,
        _translation(atoms, t, pressure) + turning + entropy.sum(axis=0) + _R * np.log(multiplicity),
        _R * ((x**2 * np.exp(x) / np.expm1(x) ** 2).sum(axis=0) + 0.5 * degrees + 1),
        sigma,
    )


def _translation(atoms: Atoms, t: np.ndarray, pressure: float) -> np.ndarray:
    """``S = k [ln((2π m k T/h²)^(3/2) k T/p) + 5/2]`` (Sackur and Tetrode), eV/K."""
    mass = atoms.get_masses().sum() * units._amu
    kt = units._k * t
    volume = (2 * np.pi * mass * kt / units._hplanck**2) ** 1.5 * kt / pressure
    return _R * (np.log(volume) + 2.5)


def _rotation(atoms: Atoms, t: np.ndarray, sigma: int) -> tuple[np.ndarray, np.ndarray]:
    """Moments of inertia about the axes of rotation, and ``k (ln q_rot + f/2)`` with f of them, eV/K."""
    moments = np.sort(atoms.get_moments_of_inertia()) * units._amu * 1e-20
    if len(atoms) == 1:
        return np.zeros(0), np.zeros_like(t)
    q = 8 * np.pi**2 * units._k * t / units._hplanck**2  # 1/(kg m²)
    if is_linear(atoms):
        return moments[1:], _R * (np.log(moments[-1] * q / sigma) + 1)
    return moments, _R * (np.log(np.sqrt(np.pi * moments.prod()) * q**1.5 / sigma) + 1.5)


def _free_rotation(quantum: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Entropy of rotations with the frequencies of vibrations, [modes, n] eV/K.

    ``k [½ + ln √(8π³ μ' k T/h²)]``, ``μ' = μ B/(μ + B)``, ``μ = h/(8π² ν)`` (Grimme 2012, Eqs. 3–6).
    """
    frequency = quantum * units._e / units._hplanck  # Hz
    inertia = units._hplanck / (8 * np.pi**2 * frequency)
    bounded = inertia * _AVERAGE_INERTIA / (inertia + _AVERAGE_INERTIA)
    return _R * (0.5 + 0.5 * np.log(8 * np.pi**3 * bounded[:, None] * units._k * t / units._hplanck**2))
