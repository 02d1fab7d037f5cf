"""Large molecules, whose integrals the core holds while torch iterates."""

from __future__ import annotations

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from engines import torch_alone

from nddo_ml import NDDO, Prediction, Systems
from nddo_ml.core import solve
from nddo_ml.core.library import library
from nddo_ml.environments.field import UniformField
from nddo_ml.models import by_torch
from nddo_ml.scf import density, loop
from nddo_ml.scf.solve import SCFOptions

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled core was not built")


@pytest.fixture(autouse=True)
def _all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solve, "LARGEST", 6)


def _assert_equal(one: Prediction, other: Prediction) -> None:
    for name, tolerance in (("energy", 1e-8), ("forces", 1e-7), ("charges", 1e-7), ("dipole", 1e-7)):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("method", "names"), [("PM7", ["CH3SH", "H2", "SO2"]), ("AM1", ["NO2", "H2", "CH3CH2OH"])])
def test_as_torch_alone(method: str, names: list[str]) -> None:
    """Closed and open shells in a batch with smaller ones, in a field."""
    model, field = NDDO(method, scf=SCFOptions(tolerance=1e-9)), UniformField.of((0.1, 0.0, 0.2))
    systems = Systems.from_ase([molecule(n) for n in names])
    found = model(systems, forces=True, environment=field)
    with torch_alone():
        _assert_equal(found, model(systems, forces=True, environment=field))
    again = model(systems, forces=True, environment=field, start=found)
    _assert_equal(again, found)
    assert int(again.scf.iterations.max()) <= 4


def test_response_and_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newton steps need the response of the Fock matrix: from a density that the loop does not see."""
    atoms = Atoms("H2OH2", [[0, 0, 0], [2.4, 0, 0], [0, 0, 1.6], [0, 1.9, 0], [2.4, 1.7, 0]])
    model, systems = NDDO("AM1", scf=SCFOptions(tolerance=1e-9, max_iterations=0)), Systems.from_ase(atoms)
    with torch_alone():
        expected = model(systems, forces=True)
    monkeypatch.delattr(by_torch, "solve_scf")  # of what the core leaves
    _assert_equal(model(systems, forces=True), expected)


def test_overlaps_of_distant_atoms_are_left_out() -> None:
    """Exactly: nothing changes at 1e-9 eV on either side of the distance from which they are."""
    model = NDDO("AM1", scf=SCFOptions(tolerance=1e-9))
    for distance in (9.5, 11.5, 16.0, 17.5):
        systems = Systems.from_ase(
            Atoms("COOH2", [[0, 0, 0], [1.2, 0, 0], [0, 0, distance], [-0.6, 0.9, 0], [-0.6, -0.9, 0]])
        )
        found = model(systems, forces=True)
        with torch_alone():
            _assert_equal(found, model(systems, forces=True))


def test_products_in_single_precision_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above 300 orbitals far from the solution; also halves of the density, and seldom another origin."""
    chain = Atoms("OH2" * 60, [[2.9 * k + x, y, 0] for k in range(60) for x, y in ((0, 0), (0.96, 0), (-0.24, 0.93))])
    chain.rotate(30, "y")
    model, systems = NDDO("PM3", scf=SCFOptions(tolerance=1e-8)), Systems.from_ase(chain)
    found = model(systems, forces=True)
    for module in (density, loop):
        monkeypatch.setattr(module, "LARGE", 10_000)
    expected = model(systems, forces=True)
    _assert_equal(found, expected)
    assert abs(int(found.scf.iterations) - int(expected.scf.iterations)) <= 1
    square = found.scf.density @ found.scf.density
    torch.testing.assert_close(square, found.scf.density, rtol=0, atol=1e-12)
