"""Infrared spectra of dynamics: areas and places of bands by hand and by normal modes, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import molecule

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.cli import main
from nddo_ml.workflows.dynamics import K_B, Motion, first_state, run
from nddo_ml.workflows.infrared import dynamic_spectrum
from nddo_ml.workflows.normal_modes import normal_modes
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.second_derivatives import second_derivatives


def area(spectrum, low: float, high: float) -> float:
    inside = (spectrum.wavenumbers > low) & (spectrum.wavenumbers < high)
    return float(np.trapezoid(spectrum.absorption[inside], spectrum.wavenumbers[inside]))


def test_a_swinging_dipole_by_hand() -> None:
    """μ = a cos ωt along x: the area is N_A/(12 ε_0 c²) ω² a²/2 over k_B T, whatever the resolution; SI by hand."""
    a, wavenumber, temperature = 0.03, 1500.0, 300.0
    omega = 2 * np.pi * wavenumber * 2.99792458e10  # 1/s
    time = np.arange(8000) * 1e-15
    moment = np.zeros((8000, 3))
    moment[:, 0] = a * np.cos(omega * time)
    si = (a * 1.602176634e-19 * 1e-10 * omega) ** 2 / 2 / (1.380649e-23 * temperature)  # C²/kg
    expected = 6.02214076e23 / (12 * 8.8541878128e-12 * 2.99792458e8**2) * si / 1000  # km/mol
    for resolution in (8.0, 30.0):
        found = dynamic_spectrum(moment, 1.0, temperature, resolution)
        assert area(found, 1200, 1800) == pytest.approx(expected, rel=5e-3)
        assert found.wavenumbers[found.absorption.argmax()] == pytest.approx(wavenumber, abs=resolution)


def test_paths_are_averaged_and_turning_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    paths = rng.normal(size=(3, 400, 3)).cumsum(axis=1)
    turned = paths @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    all_three = dynamic_spectrum(paths, 1.0, 300.0, 200.0).absorption
    single = np.mean([dynamic_spectrum(p, 1.0, 300.0, 200.0).absorption for p in paths], axis=0)
    np.testing.assert_allclose(all_three, single, rtol=1e-9)
    np.testing.assert_allclose(dynamic_spectrum(turned, 1.0, 300.0, 200.0).absorption, all_three, rtol=1e-9)


@pytest.mark.slow
def test_a_cold_molecule_has_the_intensities_of_its_normal_modes() -> None:
    """Water moved along each mode with the energy that k_B T gives it: areas are the modes' intensities."""
    model = NDDO("AM1")
    systems = optimize(Systems.from_ase(molecule("H2O")), model, fmax=1e-4).systems
    modes = normal_modes(systems, second_derivatives(model, systems, dipoles=True)[0])
    motion = Motion(0.2, 5.0)  # of steps of 0.5 fs stretches swing 3 % too wide
    for k in range(3):
        speed = (K_B * motion.temperature * 2) ** 0.5  # ½ Q̇² = k_B T, half of it kinetic in the mean
        start = first_state(systems, motion, torch.tensor([0]))
        velocities = modes.modes[k] * speed * 0.09822694750253231  # Å/fs
        _, samples = run(
            systems,
            model,
            motion,
            type(start)(0, start.positions, velocities, start.moving),
            torch.tensor([0]),
            10000,
            5,
        )
        dipoles = np.array([s.dipole[0].numpy() for s in samples])
        found = dynamic_spectrum(dipoles, 1.0, motion.temperature, 20.0)
        at = float(modes.frequencies[k])
        assert area(found, at - 100, at + 100) == pytest.approx(float(modes.intensities[k]), rel=0.03)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="sixteen"):
        dynamic_spectrum(np.zeros((3, 3)), 1.0, 300.0)
    with pytest.raises(InputError, match="positive interval"):
        dynamic_spectrum(np.zeros((20, 3)), 0.0, 300.0)


def command(tmp_path, *options: str) -> int | str | None:
    path = tmp_path / "water.xyz"
    molecule("H2O").write(path)
    with pytest.raises(SystemExit) as left:
        main(["md", str(path), "--infrared", str(tmp_path / "ir.png"), *options])
    return left.value.code


def test_command(tmp_path, capsys) -> None:
    assert not command(tmp_path, "--steps", "40", "--every", "2", "--replicas", "2")
    assert (tmp_path / "ir.png").stat().st_size > 1000
    assert command(tmp_path, "--steps", "40", "--every", "20")
    assert "at most 3.7 fs apart" in " ".join(capsys.readouterr().err.split())
    assert command(tmp_path, "--steps", "40", "--every", "2", "--model", "nnp-chno")
    assert "dipole moments" in " ".join(capsys.readouterr().err.split())
