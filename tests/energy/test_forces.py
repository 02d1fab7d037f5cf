"""Forces against central differences of the energy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from nddo_ml import NDDO, Systems
from nddo_ml.integrals.rotate import local_frames, orbital_rotation, product_rotation, rotate_blocks
from nddo_ml.scf.solve import SCFOptions

STEP = 2e-3  # Å
TIGHT = SCFOptions(tolerance=1e-10, probe=False)
pytestmark = pytest.mark.usefixtures("engine")


def numerical_forces(model: NDDO, atoms: Atoms, **state: int) -> np.ndarray:
    """Five-point differences; all displaced geometries are one batch."""
    frames = []
    for i in range(len(atoms)):
        for k in range(3):
            for n in (-2, -1, 1, 2):
                frame = atoms.copy()
                frame.positions[i, k] += n * STEP
                frames.append(frame)
    energy = model(Systems.from_ase(frames, **state)).energy.view(len(atoms), 3, 4)
    slope = (energy[..., 0] - 8 * energy[..., 1] + 8 * energy[..., 2] - energy[..., 3]) / (12 * STEP)
    return -slope.numpy()


def rotated(atoms: Atoms, axis: int, sign: int) -> Atoms:
    """A diatomic along ± an axis."""
    direction = np.zeros(3)
    direction[axis] = sign
    return Atoms(atoms.symbols, [[0, 0, 0], direction * atoms.get_distance(0, 1)])


CASES = {
    "water": (molecule("H2O"), {}),
    "thiol": (molecule("CH3SH"), {}),
    "linear": (molecule("HCN"), {}),
    "acetylene": (molecule("C2H2"), {}),
    "radical": (molecule("CH3"), {"multiplicity": 2}),
    "triplet": (molecule("O2"), {"multiplicity": 3}),
    "cation": (molecule("H2O"), {"charge": 1, "multiplicity": 2}),
    "anion": (molecule("OH"), {"charge": -1, "multiplicity": 1}),
    "formamide": (molecule("CH3CONH2"), {}),
    **{f"CO along {'+-'[s < 0]}{'xyz'[k]}": (rotated(molecule("CO"), k, s), {}) for k in range(3) for s in (1, -1)},
}


@pytest.mark.parametrize("name", CASES)
def test_forces_equal_differences(name: str) -> None:
    atoms, state = CASES[name]
    atoms = atoms.copy()
    if "along" not in name and name not in ("linear", "acetylene"):
        atoms.rattle(0.05, seed=3)
    model = NDDO("AM1", scf=TIGHT)
    forces = model(Systems.from_ase(atoms, **state), forces=True).forces
    assert forces is not None
    assert np.abs(forces.numpy() - numerical_forces(model, atoms, **state)).max() < 1e-6
    assert float(forces.sum(dim=0).abs().max()) < 1e-9


@pytest.mark.parametrize("method", ["MNDO", "PM3", "RM1"])
def test_other_methods(method: str) -> None:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    model = NDDO(method, scf=TIGHT)
    forces = model(Systems.from_ase(atoms), forces=True).forces
    assert forces is not None
    assert np.abs(forces.numpy() - numerical_forces(model, atoms)).max() < 1e-6


@pytest.mark.parametrize(("method", "symbols"), [("AM1", "BF"), ("AM1", "LiH"), ("PM3", "NaCl"), ("MNDO", "KCl")])
def test_special_core_terms(method: str, symbols: str) -> None:
    atoms = Atoms(symbols, [[0, 0, 0], [0.3, 1.2, 1.1]])
    model = NDDO(method, scf=TIGHT)
    forces = model(Systems.from_ase(atoms), forces=True).forces
    assert forces is not None
    assert np.abs(forces.numpy() - numerical_forces(model, atoms)).max() < 1e-6


@pytest.mark.parametrize("widths", [(4, 4), (4, 1), (9, 4), (9, 9), (1, 1)])
@pytest.mark.parametrize("products", [True, False])
def test_torque_equals_the_differentiated_rotation(widths: tuple[int, int], products: bool) -> None:
    torch.manual_seed(0)
    size = [w * (w + 1) // 2 if products else w for w in widths]
    weight = torch.randn(5, *size, dtype=torch.float64)
    vectors = torch.randn(5, 3, dtype=torch.float64)
    vectors[0], vectors[1] = torch.tensor([0.0, 0, 2]), torch.tensor([-1.0, 0, 0])
    # an axially symmetric local block, as all integrals are: (ss|, (zz| and the like along the pair only
    local = torch.zeros(5, *size, dtype=torch.float64)
    local[:, 0, 0] = torch.rand(5)
    gradients = []
    for fast in (True, False):
        v = vectors.clone().requires_grad_()
        r = v.norm(dim=1)
        direction = v / r[:, None]
        block = local * r[:, None, None]
        if fast:
            turned = rotate_blocks(block, direction, widths, products=products)
        else:
            matrices = [orbital_rotation(local_frames(direction), w) for w in widths]
            matrices = [product_rotation(m) for m in matrices] if products else matrices
            turned = matrices[0] @ block @ matrices[1].transpose(1, 2)
        gradients.append(torch.autograd.grad((turned * weight).sum(), v)[0])
    assert torch.allclose(gradients[0], gradients[1], atol=1e-12)
