"""PM6's constant of triple bonds stops no relaxation and makes no minimum in a curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write

from nddo_ml import NDDO, Systems
from nddo_ml.cli import main
from nddo_ml.compare.scan import scan
from nddo_ml.models.constant import constant_energy
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.coordinates import Coordinate
from nddo_ml.workflows.optimize import optimize


def ethyne(bond: float) -> Atoms:
    """Linear, C–H 1.06 Å."""
    x = np.array([-bond / 2, bond / 2, -bond / 2 - 1.06, bond / 2 + 1.06])
    return Atoms("C2H2", [(v, 0, 0) for v in x])


@pytest.mark.parametrize("bond", [1.25, 1.28, 1.30, 1.35])
def test_relaxations_from_both_sides_of_the_step(bond: float) -> None:
    """MOPAC 22 (PM6 PRECISE GNORM=0.01) from 1.21 Å: 1.2028 Å, 56.746 kcal/mol, of which the constant is 12.

    From 1.30 Å MOPAC ends at the same bond with 44.746: it counts the triple bonds of the first geometry.
    """
    found = optimize(Systems.from_ase(ethyne(bond)), NDDO("PM6"), fmax=0.005, trajectory=True)
    x = found.systems.positions
    assert bool(found.converged)
    assert float((x[0] - x[1]).norm()) == pytest.approx(1.2028, abs=2e-4)
    assert float(found.prediction.heat_of_formation) == pytest.approx(56.746, abs=2e-3)
    last = found.trajectories[0][-1]
    assert last.get_potential_energy() == pytest.approx(float(found.prediction.energy))


def test_minima_on_both_sides_keep_their_heats() -> None:
    """Butatriene's middle bond, 1.274 Å, is beyond the step, and its heat has no constant.

    MOPAC 22 (PM6 PRECISE GNORM=0.01) from a middle bond of 1.30 Å: 64.833 kcal/mol, 1.2739 Å.
    """
    hydrogens = [(x, y, 0.0) for x in (-2.5, 2.55) for y in (0.93, -0.93)]
    atoms = Atoms("C4H4", [(-1.9, 0, 0), (-0.6, 0, 0), (0.65, 0, 0), (1.95, 0, 0), *hydrogens])
    found = optimize(Systems.from_ase(atoms), NDDO("PM6"), fmax=0.003)
    x = found.systems.positions
    assert bool(found.converged)
    assert float((x[1] - x[2]).norm()) == pytest.approx(1.2739, abs=5e-4)
    assert float(found.prediction.heat_of_formation) == pytest.approx(64.833, abs=2e-3)
    assert float(constant_energy(NDDO("PM6"), found.systems)) == 0


def test_a_curve_has_one_minimum_and_is_the_integral_of_the_forces(tmp_path, capsys) -> None:
    model = NDDO("PM6")
    values = np.linspace(1.15, 1.45, 31)
    curve = scan([model], ethyne(1.2), Coordinate("bond", (0, 1)), values.tolist())[0]
    energy = curve.relative("minimum").numpy()
    assert (np.diff(np.sign(np.diff(energy))) != 0).sum() == 1
    assert curve.without_constant
    bare = NDDO("PM6")(Systems.from_ase(curve.frames)).energy - curve.answers.energy
    np.testing.assert_allclose(bare * EV_KCAL_MOL, np.where(values < 1.27, 12.0, 0.0), atol=1e-4)
    write(tmp_path / "ethyne.xyz", ethyne(1.2))
    arguments = ["--bond", "0", "1", "--from", "1.2", "--to", "1.3", "--steps", "3", "-m", "PM6"]
    with pytest.raises(SystemExit):
        main(["scan", str(tmp_path / "ethyne.xyz"), *arguments])
    assert "PM6: without the constant of triple bonds" in capsys.readouterr().out


def test_free_energy_of_the_calculator_has_the_forces_as_its_derivative() -> None:
    """ASE's free energy is the one that fits the forces, also across the step at 1.27 Å."""
    energies = []
    for shift in (-1e-4, 1e-4):
        atoms = ethyne(1.27 + shift)
        atoms.calc = NDDOCalculator(NDDO("PM6"))
        energies.append((atoms.get_potential_energy(force_consistent=True), atoms.get_potential_energy()))
    atoms = ethyne(1.27)
    atoms.calc = NDDOCalculator(NDDO("PM6"))
    forces = atoms.get_forces()[:, 0]
    slope = (energies[1][0] - energies[0][0]) / 2e-4
    assert slope == pytest.approx(float(forces @ [1, -1, 1, -1]) / 2, rel=1e-3)
    step = (energies[0][1] - energies[0][0]) - (energies[1][1] - energies[1][0])
    assert step * EV_KCAL_MOL == pytest.approx(12.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_constants_of_a_batch_are_those_of_single_molecules(dtype: torch.dtype) -> None:
    model = NDDO("PM6")
    frames = [ethyne(1.2), ethyne(1.3), Atoms("OHH", [(0, 0, 0.1), (0, 0.76, -0.5), (0, -0.76, -0.5)])]
    together = constant_energy(model, Systems.from_ase(frames, dtype=dtype))
    assert together.dtype == dtype
    alone = [float(constant_energy(model, Systems.from_ase(f, dtype=dtype))) for f in frames]
    assert together.tolist() == alone
    assert together.tolist()[1:] == [0, 0]
    assert float(constant_energy(NDDO("AM1"), Systems.from_ase(frames)).abs().max()) == 0
