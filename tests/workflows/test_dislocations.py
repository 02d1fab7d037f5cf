"""Dislocations: prefactors of isotropic elasticity, and a potential's energies that follow its elasticity."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from nnp_models import DATA

from nddo_ml import NDDO, InputError, NDDOCalculator, load_model
from nddo_ml.workflows.crystal_axes import turned
from nddo_ml.workflows.dislocations import cylinder, elastic_prefactor, energy_curve, prefactor, relaxed
from nddo_ml.workflows.solids import elastic_constants, relax


def isotropic(shear: float, poisson: float) -> np.ndarray:
    lame = 2 * shear * poisson / (1 - 2 * poisson)
    c = np.diag([2 * shear] * 3 + [shear] * 3)
    c[:3, :3] += lame
    return c


def test_prefactors_of_isotropic_elasticity() -> None:
    """μb²/4π of a screw, 1/(1 − ν) times it of an edge (Hirth & Lothe, Theory of Dislocations); mixed ones add."""
    c = isotropic(60.0, 0.22)
    screw, edge = (elastic_prefactor(c, np.array(b)) for b in ([0, 0, 3.0], [3.0, 0, 0]))
    assert screw == pytest.approx(60 * units.GPa * 9 / (4 * np.pi), rel=1e-9)
    assert edge == pytest.approx(screw / 0.78, rel=1e-9)
    mixed = elastic_prefactor(c, 3.0 * np.array([np.sin(1.0), 0, np.cos(1.0)]))
    assert mixed == pytest.approx(edge * np.sin(1.0) ** 2 + screw * np.cos(1.0) ** 2, rel=1e-9)


def test_prefactor_of_a_cubic_screw() -> None:
    """Along ⟨110⟩, a twofold axis, it is √(C44 (C11 − C12)/2) b²/4π."""
    c = np.diag([165.7] * 3 + [79.6] * 3)
    c[:3, :3] += 63.9 * (1 - np.eye(3))
    axes = np.array([[0, 0, 1], [1, 1, 0], [1, -1, 0]]) / np.array([[1], [2**0.5], [2**0.5]])
    shear = np.sqrt(79.6 * (165.7 - 63.9) / 2) * units.GPa
    found = elastic_prefactor(turned(c, axes), np.array([0, 0, 3.84]))
    assert found == pytest.approx(shear * 3.84**2 / (4 * np.pi), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["screw", "60°"])
def test_a_local_potential_has_the_energy_of_elasticity(kind: str) -> None:
    """A field laid on costs what clamped constants say; relaxed, what relaxed ones say: two numbers 15 % apart."""
    pytest.importorskip("matscipy")
    model = load_model(DATA / "mlearn_si" / "model.pt")
    calculator = NDDOCalculator(model)
    cell = relax(bulk("Si", a=5.47), calculator)
    lattice = (4 * cell.get_volume()) ** (1 / 3)
    clamped, free = (elastic_constants(cell, calculator, internal=x).constants for x in (False, True))
    laid_on = cylinder("Si", lattice, clamped, kind, 18.0)
    stiff = energy_curve(model, laid_on, laid_on.displaced, 23.0)
    made = cylinder("Si", lattice, free, kind, 18.0)
    soft = energy_curve(model, made, relaxed(model, made, force=0.03), 15.0)
    assert stiff.slope == pytest.approx(prefactor(laid_on, clamped), rel=0.04)
    assert soft.slope == pytest.approx(prefactor(made, free), rel=0.07)
    assert soft.core < stiff.core
    assert prefactor(made, free) < 0.9 * prefactor(made, clamped)


def test_cylinders() -> None:
    """The screw's Burgers vector lies along its line and is one period; the 60° one at 60° to it; the rim is held."""
    pytest.importorskip("matscipy")
    c = isotropic(60.0, 0.22)
    screw, mixed = (cylinder("Si", 5.43, c, kind, 12.0, 6.0) for kind in ("screw", "60°"))
    assert np.abs(screw.burgers) == pytest.approx([0, 0, screw.line])
    assert abs(mixed.burgers[2]) / np.linalg.norm(mixed.burgers) == pytest.approx(0.5)
    assert screw.displaced.constraints[0].get_indices().tolist() == np.flatnonzero(screw.distance > 12.0).tolist()
    assert screw.distance.max() < 18.5
    with pytest.raises(InputError, match="dislocations are screw, 60°; got 'edge'"):
        cylinder("Si", 5.43, c, "edge")
    with pytest.raises(InputError, match="energies within radii need atomic energies, which AM1 does not give"):
        energy_curve(NDDO("AM1"), screw, screw.displaced, 10.0)
