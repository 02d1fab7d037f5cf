"""Models that ask the compiled core, beside the same models by torch alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
import torch
from ase import units
from ase.build import molecule
from ase.md.verlet import VelocityVerlet
from engines import torch_alone
from hybrid_models import hybrid
from torch import Tensor

from nddo_ml import NDDO, NDDOCalculator, Prediction, Systems
from nddo_ml.core.library import library
from nddo_ml.environments.born import GeneralizedBorn
from nddo_ml.environments.charges import PointCharges
from nddo_ml.environments.field import UniformField
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.models.open import open_model
from nddo_ml.scf.solve import SCFOptions
from nddo_ml.units import CODATA_2018

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled core was not built")

_NAMES = ["CH3CONH2", "NO2", "H2O", "C6H6", "CH3CH2OH", "C2H3"]
_TIGHT = SCFOptions(tolerance=1e-9)


def _by_torch(model: NDDO, systems: Systems) -> Prediction:
    with torch_alone():
        return model(systems, forces=True)


def _assert_equal(one: Prediction, other: Prediction) -> None:
    for name in ("energy", "electronic_energy", "core_energy", "heat_of_formation"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-8)
    for name in ("forces", "charges", "dipole"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-7)


def test_methods() -> None:
    model, systems = NDDO("AM1", scf=_TIGHT), Systems.from_ase([molecule(n) for n in _NAMES])
    _assert_equal(model(systems, forces=True), _by_torch(model, systems))


def test_hybrid() -> None:
    """Derivatives by parameters and pair factors go through the networks."""
    model = open_model("hybrid-chno")
    assert isinstance(model, NDDO)
    model.scf_options = replace(_TIGHT, solution="first")
    systems = Systems.from_ase([molecule(n) for n in _NAMES])
    _assert_equal(model(systems, forces=True), _by_torch(model, systems))


@pytest.mark.parametrize("label", ["energy", "charges", "dipole", "forces"])
def test_gradients_of_a_training(label: str) -> None:
    """A loss by the networks' weights, closed and open shells together, some of the systems without the label."""
    model = hybrid(AtomFeatures.default(["H", "C", "N", "O"], 3.5)).train()
    systems = Systems.from_ase([molecule(n) for n in ("CH3OH", "CH3", "HCN")])

    def slopes() -> list[Tensor]:
        value = getattr(model(systems, forces=label == "forces"), label)
        value[: len(value) // 2 + 1].square().sum().backward()
        found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        return found

    found = slopes()
    with torch_alone():
        expected = slopes()
    assert max(float(g.abs().max()) for g in expected) > 1e-3
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["charges", "field", "solvent"])
@pytest.mark.parametrize("name", ["PM6", "hybrid-chno"])
def test_surroundings(kind: str, name: str) -> None:
    """Potential, reaction and forces on both sides; closed and open shells, d orbitals, corrections by networks."""
    sites = torch.tensor([[2.9, 0.2, 0.4], [3.4, 0.9, 0.1]], dtype=torch.float64)
    kinds = {
        "charges": PointCharges.of([-0.8, 0.5], sites, radius=[0.0, 0.3]),
        "field": UniformField.of((0.3, -0.2, 0.5)),
        "solvent": GeneralizedBorn("water"),
    }
    model = open_model(name)
    assert isinstance(model, NDDO)
    model.scf_options = replace(_TIGHT, solution="first")
    systems = Systems.from_ase([molecule(n) for n in ("CH3SH" if name == "PM6" else "CH3OH", "CH3", "H2O")])
    one = model(systems, forces=True, environment=kinds[kind])
    with torch_alone():
        other = model(systems, forces=True, environment=kinds[kind])
    _assert_equal(one, other)
    if kind == "charges":
        torch.testing.assert_close(one.environment_forces, other.environment_forces, rtol=0, atol=1e-8)


def test_a_molecule_does_not_know_its_batch() -> None:
    model, frames = NDDO("PM6"), [molecule(n) for n in _NAMES if n not in ("NO2", "C2H3")]
    batch = model(Systems.from_ase(frames), forces=True)
    alone = [model(Systems.from_ase(frame), forces=True) for frame in frames]
    assert torch.equal(batch.energy, torch.cat([p.energy for p in alone]))
    assert torch.equal(batch.forces, torch.cat([p.forces for p in alone]))


def test_large_batches_are_worked_on_in_parts() -> None:
    """Molecules of different sizes and spins, with a start and without."""
    model, few = NDDO("AM1"), Systems.from_ase([molecule(n) for n in _NAMES])
    many = few.select(torch.arange(6).repeat(60))
    expected = model(few, forces=True)
    for start in (None, expected.scf.density.repeat(60, 1, 1, 1)):
        found = model(many, forces=True, start=start)
        torch.testing.assert_close(found.energy, expected.energy.repeat(60), rtol=0, atol=1e-8)
        torch.testing.assert_close(found.forces, expected.forces.repeat(60, 1), rtol=0, atol=1e-5)


def test_start_from_a_density() -> None:
    model, systems = NDDO("AM1"), Systems.from_ase([molecule(n) for n in _NAMES])
    first = model(systems)
    again = model(systems, start=first)
    torch.testing.assert_close(again.energy, first.energy, rtol=0, atol=1e-8)
    assert int(again.scf.iterations.max()) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["AM1", "hybrid-chno"])
def test_energy_is_conserved(name: str) -> None:
    """NVE of acetamide at 300 K for 1 ps: the energy's slope is below 0.1 meV/atom/ps."""
    atoms = molecule("CH3CONH2")
    atoms.calc = NDDOCalculator(open_model(name))
    spread = np.sqrt(units.kB * 300 * atoms.get_masses())[:, None]
    atoms.set_momenta(spread * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    dynamics, energies = VelocityVerlet(atoms, 0.25 * units.fs), []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()), interval=10)
    dynamics.run(4000)
    slope = np.polyfit(0.0025 * np.arange(len(energies)), energies, 1)[0]
    assert abs(slope) / len(atoms) < 1e-4


@pytest.mark.parametrize("name", ["hybrid-chno", "PM6-D3H4"])
def test_forces_do_not_depend_on_the_mode_of_gradients(name: str) -> None:
    model = open_model(name)
    with_graphs = model(molecule("CH3OH"), forces=True).forces
    with torch.no_grad():
        without = model(molecule("CH3OH"), forces=True).forces
    assert torch.equal(with_graphs, without)


def test_the_first_batches_of_several_threads() -> None:
    """Each thread may find the core's tables missing and make its own: they must live as long as they are read."""
    systems = Systems.from_ase([molecule(n) for n in _NAMES])
    for k in range(6):
        model = NDDO("AM1")
        constants = replace(CODATA_2018, hartree_ev=CODATA_2018.hartree_ev * (1 + 1e-12 * k))
        model.method = replace(model.method, info=replace(model.method.info, constants=constants))
        together = Barrier(4)

        def energies(_: int, model: NDDO = model, together: Barrier = together) -> Tensor:
            together.wait()
            return torch.stack([model(systems).energy for _ in range(3)])

        with ThreadPoolExecutor(4) as pool:
            found = torch.stack(list(pool.map(energies, range(4))))
        torch.testing.assert_close(found, found[:1, :1].expand_as(found), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["AM1", "hybrid-chno", "hybrid", "nnp-chno"])
def test_large_batches_are_single_molecules(name: str) -> None:
    """Arrays of a large batch are laid out otherwise than small ones: numpy reuses the memory of temporary ones."""
    model, one = open_model(name), molecule("CH3CH2OH")
    few, many = (model(Systems.from_ase([one] * n), forces=True) for n in (1, 200))
    torch.testing.assert_close(many.energy, few.energy.expand(200), rtol=0, atol=1e-8)
    torch.testing.assert_close(many.forces.view(200, -1, 3), few.forces.expand(200, -1, 3), rtol=0, atol=1e-7)
