"""Coulomb matrices of Gaussian charges: lattice constants, independence of the splitting, derivatives, batches."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from ase.build import bulk, molecule

from nddo_ml import InputError, Systems
from nddo_ml.electrostatics.coulomb import COULOMB, coulomb_matrices
from nddo_ml.electrostatics.lattice import lattice_matrix
from nddo_ml.electrostatics.rows import AtomRows
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

ALL = torch.ones(3, dtype=torch.bool)
SLAB = torch.tensor([True, True, False])


def random_cell(seed: int = 0, n: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    cell = torch.tensor([[4.1, 0.2, -0.3], [0.9, 3.8, 0.1], [-0.4, 0.7, 5.2]], dtype=torch.float64)
    positions = torch.rand(n, 3, generator=g, dtype=torch.float64) @ cell
    return positions, cell, 0.3 + torch.rand(n, generator=g, dtype=torch.float64)


def matrix(systems: Systems, widths: torch.Tensor) -> torch.Tensor:
    return coulomb_matrices(systems, AtomRows.of(systems), widths)[0]


@pytest.mark.parametrize(
    ("structure", "constant", "cubic"),
    [
        # by nearest distance: Borwein & Borwein, Pi and the AGM (1987); OEIS A085469, A181152, A182566
        ("rocksalt", 1.7475645946331821906, False),
        ("cesiumchloride", 1.7626747730709883, True),
        ("zincblende", 1.6380550533887893, False),
    ],
)
def test_madelung_constants(structure: str, constant: float, cubic: bool) -> None:
    atoms = bulk("NaCl", structure, a=5.0, cubic=cubic)
    systems = Systems.from_ase(atoms)
    width = 0.05  # Å, so that charges do not overlap
    widths = torch.full((2,), width, dtype=torch.float64)
    charges = torch.tensor([1.0, -1.0], dtype=torch.float64)
    energy = 0.5 * float(charges @ matrix(systems, widths) @ charges) / COULOMB - 1 / (math.sqrt(math.pi) * width)
    nearest = {"rocksalt": 0.5, "cesiumchloride": 0.5 * 3**0.5, "zincblende": 0.25 * 3**0.5}[structure] * 5.0
    assert -energy * nearest == pytest.approx(constant, abs=1e-8)


@pytest.mark.parametrize("pbc", [ALL, SLAB])
def test_the_splitting_does_not_matter(pbc: torch.Tensor) -> None:
    positions, cell, widths = random_cell()
    one, other = (lattice_matrix(positions, cell, pbc, widths, splitting=s) for s in (0.25, 0.8))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    torch.testing.assert_close(one, one.T, rtol=0, atol=1e-13)


def test_a_slab_is_a_crystal_with_much_vacuum_but_for_its_dipole() -> None:
    """The correction of Yeh & Berkowitz for a thick vacuum, on a neutral slab of point-like charges."""
    positions, cell, widths = random_cell()
    charges = torch.tensor([1.0, -0.4, -0.6, 0.7, -0.7], dtype=torch.float64)
    thick = cell.clone()
    thick[2] = 2.0 * torch.linalg.cross(cell[0], cell[1])
    normal = thick[2] / thick[2].norm()
    slab = charges @ lattice_matrix(positions, thick, SLAB, widths) @ charges
    crystal = charges @ lattice_matrix(positions, thick, ALL, widths) @ charges
    dipole = charges @ positions @ normal
    volume = torch.linalg.det(thick).abs()
    torch.testing.assert_close(crystal + 4 * math.pi * dipole**2 / volume, slab, rtol=0, atol=1e-9)


def test_a_large_cell_is_a_molecule() -> None:
    atoms = molecule("CH3OH")
    widths = torch.full((len(atoms),), 0.5, dtype=torch.float64)
    charges = torch.tensor([0.2, -0.6, 0.1, 0.4, 0.0, -0.1], dtype=torch.float64)
    alone = charges @ matrix(Systems.from_ase(atoms), widths) @ charges
    found = []
    for length in (20.0, 40.0):
        boxed = atoms.copy()
        boxed.set_cell([length] * 3)
        boxed.pbc = True
        found.append(float(charges @ matrix(Systems.from_ase(boxed), widths) @ charges - alone))
    # the images' dipoles: 1/L³, here with the boundary of a cubic crystal
    assert found[0] / found[1] == pytest.approx(8.0, rel=0.05)
    assert abs(found[1]) < 1e-3


def test_units_are_ev_and_angstrom() -> None:
    """Two unit charges a bohr apart, narrow enough to be points: one hartree."""
    systems = Systems.build([1, 1], torch.tensor([[0.0, 0, 0], [0, 0, BOHR_ANGSTROM]], dtype=torch.float64))
    widths = torch.full((2,), 0.03, dtype=torch.float64)
    assert float(matrix(systems, widths)[0, 1]) == pytest.approx(HARTREE_EV, abs=1e-9)


def test_a_batch_is_its_systems() -> None:
    positions, cell, _ = random_cell()
    crystal = Systems.build([1] * 5, positions, cell=cell[None], pbc=ALL[None]).to_ase()[0]
    frames = [molecule("H2O"), crystal, molecule("CH4")]
    systems = Systems.from_ase(frames)
    widths = 0.4 + 0.02 * systems.numbers.double()
    together = coulomb_matrices(systems, AtomRows.of(systems), widths)
    for k, one in enumerate(systems):
        n = one.n_atoms
        alone = coulomb_matrices(one, AtomRows.of(one), widths[systems.system_idx == k])[0]
        torch.testing.assert_close(together[k, :n, :n], alone, rtol=0, atol=1e-12)
        assert not bool(together[k, n:].any())


@pytest.mark.parametrize("pbc", [ALL, SLAB])
def test_derivatives_are_those_of_the_sum(pbc: torch.Tensor) -> None:
    positions, cell, widths = random_cell(n=3)
    charges = torch.tensor([0.5, -0.7, 0.4], dtype=torch.float64)  # charged

    def energy(p: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return charges @ lattice_matrix(p, c, pbc, widths) @ charges

    both = (positions.requires_grad_(), cell.requires_grad_())
    assert torch.autograd.gradcheck(energy, both, eps=1e-5, atol=1e-7)
    assert torch.autograd.gradgradcheck(partial(energy, c=cell.detach()), both[:1], eps=1e-5, atol=1e-6)


def test_one_periodic_direction_is_refused() -> None:
    atoms = molecule("H2O")
    atoms.set_cell([5.0, 0, 0])
    atoms.pbc = [True, False, False]
    systems = Systems.from_ase([molecule("H2O"), atoms])
    with pytest.raises(InputError, match="system 1: electrostatics are for molecules, slabs and crystals; got one per"):
        coulomb_matrices(systems, AtomRows.of(systems), torch.ones(6, dtype=torch.float64))
