"""Excited states against MOPAC's CIS of all orbitals."""

from __future__ import annotations

import json

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from finite_differences import force_from_energies
from places import REFERENCES

from nddo_ml import NDDO, InputError, SCFOptions, Systems
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.fock_many import coulomb, exchange
from nddo_ml.workflows.excited_states import excited_states, lowest_eigenpairs
from nddo_ml.workflows.excited_surface import ExcitedState

RECORDS = json.loads((REFERENCES / "cis.json").read_text())["records"]


@pytest.mark.parametrize("method", ["AM1", "PM3", "RM1"])
def test_states_are_those_of_mopac(method: str) -> None:
    model = NDDO(method)
    for record in (r for r in RECORDS if r["method"] == method):
        systems = Systems.from_ase(Atoms(record["symbols"], record["positions"]))
        singlets = excited_states(model, systems, 1000)
        triplets = excited_states(model, systems, 1000, triplets=True)
        for found, key in ((singlets, "singlets"), (triplets, "triplets")):
            expected = torch.tensor(record[key], dtype=torch.float64)
            torch.testing.assert_close(found.energies[: len(expected)], expected, rtol=0, atol=1e-4)
        # degenerate states share their transition dipoles in any way
        total = float(singlets.dipoles.square().sum())
        assert total == pytest.approx(sum(record["dipoles"]), abs=2e-4 * len(record["dipoles"]))
        lengths = singlets.dipoles.square().sum(dim=1) / 0.52917721**2  # bohr²
        strengths = 2 / 3 * singlets.energies / 27.2113862 * lengths
        torch.testing.assert_close(singlets.strengths, strengths, rtol=1e-6, atol=1e-9)


def test_davidson_finds_what_diagonalisation_finds() -> None:
    systems, model = Systems.from_ase(molecule("C6H6")), NDDO("AM1")
    for triplets in (False, True):
        whole = excited_states(model, systems, 6, triplets=triplets, explicit=True)
        lowest = excited_states(model, systems, 6, triplets=triplets, explicit=False)
        torch.testing.assert_close(lowest.energies, whole.energies, rtol=0, atol=1e-8)
        assert float(lowest.strengths.sum()) == pytest.approx(float(whole.strengths.sum()), abs=1e-6)


def test_davidson_of_any_matrix() -> None:
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(80, 80, generator=generator, dtype=torch.float64)
    matrix = torch.diag(torch.linspace(1, 40, 80, dtype=torch.float64)) + 0.2 * (noise + noise.T)
    values, vectors = lowest_eigenpairs(lambda x: matrix @ x, matrix.diagonal(), 5)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrix)[:5], rtol=0, atol=1e-9)
    torch.testing.assert_close(matrix @ vectors, vectors * values, rtol=0, atol=1e-5)


def test_coulomb_and_exchange_of_many_densities_are_those_of_the_field() -> None:
    systems, model = Systems.from_ase(molecule("CH3Cl")), NDDO("PM6")
    density = model(systems).scf.density[0]
    builder = FockBuilder.from_integrals(model.hamiltonian(systems).integrals)
    field = builder.two_electron(density[None])[0]
    torch.testing.assert_close(2 * coulomb(builder, density) - exchange(builder, density), field)


def test_states_do_not_depend_on_orientation() -> None:
    atoms, model = molecule("H2CO"), NDDO("PM6")
    one = excited_states(model, Systems.from_ase(atoms), 5)
    atoms.rotate(70, (1, -2, 3))
    other = excited_states(model, Systems.from_ase(atoms[[3, 1, 0, 2]]), 5)
    torch.testing.assert_close(one.energies, other.energies, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.strengths, other.strengths, rtol=0, atol=1e-6)


def test_open_shells_are_refused() -> None:
    with pytest.raises(InputError, match="closed shells"):
        excited_states(NDDO("AM1"), Systems.from_ase(molecule("CH3")), 2)


@pytest.mark.parametrize(
    ("method", "name", "state", "triplets"),
    [("AM1", "H2CO", 1, False), ("PM7", "CH3SH", 2, True), ("PM6", "C2H4", 1, False)],
)
def test_forces_of_excited_states_are_differences_of_their_energies(method, name, state, triplets) -> None:
    atoms = molecule(name)
    atoms.rattle(0.05, seed=3)
    model = ExcitedState(NDDO(method, scf=SCFOptions(tolerance=1e-10)), state, triplets=triplets)
    systems = Systems.from_ase([atoms, molecule("H2O")])
    forces = model(systems, forces=True).forces
    for atom, axis in ((0, 0), (1, 2), (3, 1), (len(atoms), 2)):
        numbers = systems[0] if atom < len(atoms) else systems[1]
        expected = force_from_energies(model, numbers, atom % len(atoms), axis, step=3e-5)
        assert float(forces[atom, axis]) == pytest.approx(expected, abs=1e-6)
