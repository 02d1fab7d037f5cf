"""Orbitals in space: files opened by an independent reader, numbers of electrons, potentials far away."""

from __future__ import annotations

from math import gamma
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import read, write
from ase.io.cube import read_cube

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.cli import main
from nddo_ml.integrals.gaussians import fitted_gaussians, slater_norm
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV
from nddo_ml.workflows.orbitals import Orbitals, grid_around


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(a) for a in arguments])
    return int(left.value.code or 0)


@pytest.mark.parametrize(("name", "method", "electrons"), [("CH3Cl", "PM6", 14), ("NO2", "AM1", 17)])
def test_density_has_all_electrons(name: str, method: str, electrons: int) -> None:
    atoms = molecule(name)
    found = Orbitals.of(NDDO(method), Systems.from_ase(atoms))
    points, _ = grid_around(atoms.positions, 0.16, 4.0)
    volume = (0.16 / BOHR_ANGSTROM) ** 3
    assert float(found.density_on(points).sum()) * volume == pytest.approx(electrons, abs=0.05)
    spin = electrons % 2
    assert float(found.density_on(points, (1, -1)).sum()) * volume * spin == pytest.approx(spin, abs=0.05)


def test_potential_far_away_is_that_of_the_dipole() -> None:
    atoms, model = molecule("CH3Cl"), NDDO("PM6")
    systems = Systems.from_ase(atoms)
    found = Orbitals.of(model, systems)
    far = np.array([[0.0, 0.0, 60.0], [0.0, 0.0, -60.0]])
    potential = found.potential_on(far)
    expected = HARTREE_EV * BOHR_ANGSTROM * float(model(systems).dipole[0, 2]) / 60**2
    assert 0.5 * float(potential[0] - potential[1]) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("n", "l"), [(1, 0), (2, 0), (2, 1), (3, 2), (4, 0), (5, 1), (6, 1)])
def test_gaussians_are_nearly_slaters(n: int, l: int) -> None:
    exponents, coefficients = fitted_gaussians(n, l)
    r = np.linspace(1e-3, 80, 80_000)
    norms = np.sqrt(2 * (2 * exponents) ** (l + 1.5) / gamma(l + 1.5))
    fitted = (norms * coefficients * r[:, None] ** l * np.exp(-exponents * r[:, None] ** 2)).sum(axis=1)
    slater = slater_norm(n, 1.0) * r ** (n - 1) * np.exp(-r)
    assert float((r**2 * fitted * slater).sum() * (r[1] - r[0])) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("name", "method"), [("CH3Cl", "PM6"), ("NO2", "AM1")])
def test_molden_file_read_by_pyscf(name: str, method: str, tmp_path: Path) -> None:
    molden = pytest.importorskip("pyscf.tools.molden")
    write(tmp_path / "in.xyz", molecule(name))
    out = tmp_path / "out.molden"
    assert call("orbitals", tmp_path / "in.xyz", "--model", method, "--molden", out) == 0
    mol, energies, coefficients, occupations, *_ = molden.load(str(out))
    spins = [coefficients] if isinstance(coefficients, np.ndarray) else coefficients
    overlap = mol.intor("int1e_ovlp")
    for c in spins:
        np.testing.assert_allclose(c.T @ overlap @ c, np.eye(c.shape[1]), atol=2e-4)
    scf = NDDO(method)(Systems.from_ase(molecule(name))).scf
    levels = [energies] if isinstance(coefficients, np.ndarray) else energies
    expected = scf.orbital_energies[0]
    np.testing.assert_allclose(np.array(levels) * HARTREE_EV, expected.numpy(), atol=1e-4)
    assert float(np.sum(occupations)) == pytest.approx(float(scf.total_density[0].trace()), abs=1e-6)


@pytest.mark.parametrize("what", ["homo", "lumo+1", "density", "esp", "2"])
def test_cubes_read_by_ase(what: str, tmp_path: Path) -> None:
    write(tmp_path / "in.xyz", molecule("H2O"))
    out = tmp_path / "out.cube"
    assert call("orbitals", tmp_path / "in.xyz", "--cube", out, "--of", what, "--spacing", 0.5) == 0
    with out.open() as file:
        found = read_cube(file)
    np.testing.assert_allclose(found["atoms"].positions, read(tmp_path / "in.xyz").positions, atol=1e-4)
    assert np.isfinite(found["data"]).all()
    assert float(np.abs(found["data"]).max()) > 0.01


def test_an_orbital_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in.xyz", molecule("H2O"))
    assert call("orbitals", tmp_path / "in.xyz", "--cube", tmp_path / "out.cube", "--of", "lumo+9") == 2
    assert "one of 6 orbitals" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(InputError, match="one molecule at a time"):
        Orbitals.of(NDDO("AM1"), Systems.from_ase([molecule("H2O"), molecule("H2")]))
    with pytest.raises(InputError, match="spacing"):
        grid_around(torch.zeros(1, 3).numpy(), 0.0, 1.0)
