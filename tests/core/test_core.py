"""The compiled core beside the torch code that defines it: its parts at a density of no symmetry, then whole fields."""

from __future__ import annotations

import ctypes
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from ase.build import molecule
from engines import torch_alone
from torch import Tensor

from nddo_ml import NDDO, Systems
from nddo_ml.core.library import library
from nddo_ml.core.parameters import COLUMNS, CORE_RADIUS_COLUMN, RADIUS_COLUMN
from nddo_ml.core.solve import CoreResult, solve
from nddo_ml.elements import atomic_masses
from nddo_ml.energy.core_repulsion import core_repulsion
from nddo_ml.energy.functional import electronic_energy, energy_weights, flat_integrals
from nddo_ml.energy.properties import coulson_charges, dipole_moment
from nddo_ml.integrals.build import build_integrals
from nddo_ml.integrals.layout import build_layout
from nddo_ml.integrals.one_center import from_radial
from nddo_ml.methods.occupation import occupations
from nddo_ml.methods.parameters import Parameters
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.solve import SCFOptions

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled core was not built")

# symbols and positions (Å), chosen for the branches that they take: pairs of all widths, N–H and O–H, boron's
# Gaussians, metals with cores of their own, helium's p orbitals, pairs without diatomic parameters, axes, either order
# of a light metal and its partner; for PM7 the additions to C–C, O–H and Si–O, mean parameters, d orbitals that are
# averaged, and distances from within to beyond 7 Å, where integrals become those of point charges
_GEOMETRIES = {
    "AM1": ["CH3CONH2", "BH", "HCl"],
    "MNDO/d": ["PH3", "Na2", "SO2", "HCl", "MgCH", "HAl"],
    "PM6": ["CH3SH", "SiO", "HeH", "HeCl", "FeCl2", "ZnS", "C2H6"],
    "PM3": ["CH3CONH2"],
    "PM7": ["CH3CONH2", "SiO", "HeH", "HeCl", "FeCl2", "ZnS", "FeHe", "apart", "metals apart"],
}
_BUILT = {
    "BH": ("BHF", [[0, 0, 0], [1.2, 0, 0], [-0.2, 1.3, 0.1]]),
    "HeCl": ("HeClH", [[0, 0, 0], [0.4, 1.9, 0.3], [0.4, 3.2, 0.2]]),
    "HeH": ("HeH", [[0, 0, 0], [0.1, 0.9, 0.3]]),
    "FeCl2": ("FeCl2O", [[0, 0, 0], [2.1, 0.3, 0], [-2.1, 0.4, 0.2], [0.1, -1.9, 0.4]]),
    "MgCH": ("MgCH", [[0, 0, 0], [2.0, 0.2, 0], [2.6, 1.1, 0.1]]),
    "HAl": ("HAl", [[0, 0, 0], [0.2, 1.6, 0.3]]),
    "FeHe": ("FeHeNi", [[0, 0, 0], [0.3, 1.9, 0.2], [2.2, 0.1, 0.3]]),
    "apart": ("CSHOHH", [[0, 0, 0], [1.8, 0.1, 0], [0, 0, 1.1], [6.6, 0.2, 0.4], [7.1, 1, 0.5], [9.0, 0, 0]]),
    "metals apart": ("FeNiClHe", [[0, 0, 0], [5.2, 3.9, 1.1], [2, 0.3, 0], [7.2, 5.5, 0.3]]),
    "ZnS": ("ZnSH", [[0, 0, 0], [0, 0, 2.1], [0.9, 0.1, 2.9]]),
}


def _systems(method: str) -> Systems:
    from ase import Atoms

    frames = []
    for name in _GEOMETRIES[method]:
        atoms = Atoms(*_BUILT[name]) if name in _BUILT else molecule(name)
        atoms.rattle(0.05, seed=1)
        frames.append(atoms)
    return Systems.from_ase(frames)


def _density(systems: Systems, model: NDDO, spins: int) -> Tensor:
    """Symmetric matrices without any other property, zero in padded rows."""
    layout = build_layout(systems.system_idx, model.parameters_of(systems).width, systems.n_systems)
    p = torch.randn(systems.n_systems, spins, layout.size, layout.size, dtype=torch.float64, generator=_generator())
    real = layout.real_rows
    return 0.3 * (p + p.transpose(2, 3)) * (real[:, None, :, None] & real[:, None, None, :])


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def _core(systems: Systems, model: NDDO, density: Tensor, **options: bool) -> CoreResult:
    open_shell = torch.full((systems.n_systems,), density.shape[1] == 2)
    n_occupied = occupations(systems, model.method)
    return solve(
        systems, model.method, n_occupied, open_shell, model.scf_options, guess=density, iterate=False, **options
    )


_CASES = [(method, spins) for method in _GEOMETRIES for spins in (1, 2)]


@pytest.mark.parametrize(("method", "spins"), _CASES)
def test_hamiltonian_and_fock_matrix(method: str, spins: int) -> None:
    model, systems = NDDO(method), _systems(method)
    parameters = model.parameters_of(systems)
    layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
    builder = FockBuilder.from_integrals(build_integrals(systems.positions, layout, parameters))
    density = _density(systems, model, spins)
    hamiltonian = _core(systems, model, torch.zeros_like(density)).scf.fock
    torch.testing.assert_close(hamiltonian[:, 0], builder.h_core, rtol=0, atol=1e-11)
    found = _core(systems, model, density).scf.fock
    torch.testing.assert_close(found, builder.fock(density), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("method", "spins"), _CASES)
def test_energy_and_derivatives(method: str, spins: int) -> None:
    """By positions and by every parameter, at a frozen density."""
    model, systems = NDDO(method), _systems(method)
    positions = systems.positions.clone().requires_grad_()
    parameters, leaves = _with_leaves(model.parameters_of(systems))
    layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
    integrals = build_integrals(positions, layout, parameters)
    density = _density(systems, model, spins)
    weights = energy_weights(integrals, density)
    electronic = electronic_energy(integrals, weights)
    core = core_repulsion(systems.numbers, parameters, model.method, integrals)
    pairs = zip(flat_integrals(integrals), weights.detached().flat, strict=True)
    total = sum((i * w).sum() for i, w in pairs) + core.sum()
    by_position, *by_leaf = torch.autograd.grad(total, [positions, *leaves.values()], materialize_grads=True)
    found = _core(systems, model, density, forces=True, by_parameter=True)
    torch.testing.assert_close(found.electronic, electronic.detach(), rtol=1e-13, atol=1e-10)
    torch.testing.assert_close(found.core, core.detach(), rtol=1e-13, atol=1e-11)
    torch.testing.assert_close(found.gradient, by_position, rtol=1e-12, atol=1e-10)
    assert found.by_parameter is not None
    expected = torch.zeros_like(found.by_parameter)
    expected[:, COLUMNS["radial"]] = found.by_parameter[:, COLUMNS["radial"]]
    for name, value in zip(leaves, by_leaf, strict=True):
        expected[:, COLUMNS[name]] = value
    own = parameters.multipoles.own_core[:, None]
    same = (torch.where(own, t, _folded(t)) for t in (found.by_parameter, expected))
    torch.testing.assert_close(*same, rtol=1e-11, atol=1e-10)
    _check_radial(found, density, parameters, systems, weights.one_center)


def _folded(derivatives: Tensor) -> Tensor:
    """Radii beside cores are those of the orbitals where an atom's core has none of its own: their derivatives add."""
    folded, first = derivatives.clone(), RADIUS_COLUMN
    for into, column in ((first, CORE_RADIUS_COLUMN), (first + 1, first + 7), (first + 2, first + 8)):
        folded[:, into] += folded[:, column]
        folded[:, column] = 0
    return folded


def _check_radial(
    found: CoreResult, density: Tensor, p: Parameters, systems: Systems, weights: tuple[Tensor, ...]
) -> None:
    layout = build_layout(systems.system_idx, p.width, systems.n_systems)
    for group, weight in zip(layout.atom_groups, weights, strict=True):
        radial = torch.zeros(len(group.atoms), 17, dtype=torch.float64, requires_grad=True)
        total = (from_radial(radial, group.width) * weight).sum()
        (expected,) = torch.autograd.grad(total, radial)
        rows = found.by_parameter[group.atoms]
        torch.testing.assert_close(rows[:, COLUMNS["radial"]], expected, rtol=1e-11, atol=1e-10)


def _with_leaves(p: Parameters) -> tuple[Parameters, dict[str, Tensor]]:
    """Parameters whose differentiable fields are leaves; one-centre integrals through their radial parameters."""
    names = [n for n in COLUMNS if n not in ("radial", "core_charge", "populations")]
    own = {f.name for f in fields(p)}
    leaves = {n: getattr(p if n in own else p.multipoles, n).clone().requires_grad_() for n in names}
    multipoles = replace(p.multipoles, **{n: t for n, t in leaves.items() if n not in own})
    return replace(p, multipoles=multipoles, **{n: t for n, t in leaves.items() if n in own}), leaves


@pytest.mark.parametrize("method", list(_GEOMETRIES))
def test_charges_and_dipole(method: str) -> None:
    model, systems = NDDO(method), _systems(method)
    parameters = model.parameters_of(systems)
    layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
    density = _density(systems, model, 2)
    charges = coulson_charges(layout, parameters, density.sum(dim=1))
    masses = atomic_masses(systems.numbers, torch.float64)
    dipole = dipole_moment(layout, parameters, density.sum(dim=1), systems.positions, charges, masses)
    found = _core(systems, model, density)
    torch.testing.assert_close(found.charges, charges, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.dipole, dipole, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 30, 61])
def test_eigenvalues(n: int) -> None:
    rng = np.random.default_rng(n)
    a = rng.normal(size=(n, n))
    a = np.round(a + a.T, 1)  # with equal eigenvalues where n is small
    if n > 3:
        a[: n // 2, n // 2 :] = a[n // 2 :, : n // 2] = 0
    ld = (n + 3) // 4 * 4
    work, vectors, values = np.zeros((n, ld)), np.zeros((n, ld)), np.zeros(n)
    work[:, :n] = a
    pointers = (x.ctypes.data_as(ctypes.c_void_p) for x in (work, values, vectors))
    first, second, third = pointers
    compiled = library()
    assert compiled is not None
    size, lead = ctypes.c_int64(n), ctypes.c_int64(ld)
    assert compiled.nddo_core_eigen(size, first, lead, second, third)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(a), atol=1e-12 * n)
    q = vectors[:, :n]
    np.testing.assert_allclose(q @ q.T, np.eye(n), atol=1e-13 * n)
    np.testing.assert_allclose(q @ a @ q.T, np.diag(values), atol=1e-12 * n)


@pytest.mark.parametrize(("method", "uhf"), [("AM1", False), ("AM1", True), ("MNDO/d", False), ("PM6", False)])
def test_fields_take_the_same_path(method: str, uhf: bool) -> None:
    """Same energies, same number of iterations."""
    names = ["CH3CONH2", "C6H6", "SO2", "H2O", "CH3SH", "C2H4", "HCl"]
    options = SCFOptions(solution="first")
    model, systems = NDDO(method, uhf=uhf, scf=options), Systems.from_ase([molecule(n) for n in names])
    expected = _torch_field(model, systems)
    n_occupied = occupations(systems, model.method)
    found = solve(systems, model.method, n_occupied, torch.full((len(names),), uhf), options)
    assert bool(found.solved.all())
    torch.testing.assert_close(found.electronic, expected[0], rtol=0, atol=1e-9)
    assert torch.equal(found.scf.iterations, expected[1])


@pytest.mark.parametrize(("descent", "solved"), [(0, [False, True, True]), (200, [True, True, True])])
def test_what_is_called_solved_has_the_residual_asked_for(descent: int, solved: list[bool]) -> None:
    """One stretch of the loop leaves acetamide at 3e-8, from which Newton steps lead on, where there may be any."""
    systems = Systems.from_ase([molecule(n) for n in ("CH3CONH2", "SO2", "H2O")])
    options = SCFOptions(solution="first", max_iterations=1, max_descent=descent, tolerance=1e-10)
    model = NDDO("AM1", scf=options)
    found = solve(systems, model.method, occupations(systems, model.method), torch.zeros(3, dtype=torch.bool), options)
    assert found.solved.tolist() == solved
    assert float(found.scf.residual[found.solved].max()) <= options.tolerance


@pytest.mark.parametrize(("name", "uhf"), [("ClF3", False), ("N2O", True)])
def test_newton_steps_are_those_of_torch(name: str, uhf: bool) -> None:
    """Step by step; a step that would raise the energy is not taken and leaves the residual as it is."""
    atoms = molecule(name)
    atoms.positions *= 1.5
    systems, path = Systems.from_ase(atoms), []
    for steps in range(9):
        options = SCFOptions(max_iterations=0, max_descent=steps, probe=False)
        model = NDDO("AM1", uhf=uhf, scf=options)
        found = solve(systems, model.method, occupations(systems, model.method), torch.tensor([uhf]), options)
        with torch_alone():
            expected = model(systems, on_failure="mask").scf
        path.append((float(found.scf.residual), float(expected.residual)))
    ours, torchs = torch.tensor(path, dtype=torch.float64).T
    torch.testing.assert_close(ours, torchs, rtol=0.03, atol=1e-6)
    assert bool(((torchs.diff() == 0) & (torchs[1:] > 0.1)).any())


def _torch_field(model: NDDO, systems: Systems) -> tuple[Tensor, Tensor]:
    from nddo_ml.scf.loop import field_energy as electronic_energy
    from nddo_ml.scf.solve import solve_scf

    field = model.hamiltonian(systems)
    builder = FockBuilder.from_integrals(field.integrals)
    n_occupied = occupations(systems, model.method)[:, : 2 if model.uhf else 1]
    scf = solve_scf(builder, field.parameters.shell_populations, n_occupied, model.scf_options)
    return electronic_energy(builder, scf.density, scf.fock), scf.iterations
