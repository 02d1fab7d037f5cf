"""One protocol: what every kind of model must do, asked of each."""

from __future__ import annotations

import pickle
from copy import deepcopy
from dataclasses import fields
from typing import Any

import pytest
import torch
from ase import Atoms
from ase.build import molecule
from finite_differences import force_from_energies
from kinds import KINDS, Kind
from scipy.spatial.transform import Rotation

from nddo_ml import InputError, Prediction, Systems, load_model, save_model
from nddo_ml.errors import SCFConvergenceError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.extrapolation import ExtrapolationError
from nddo_ml.models.prediction import PER_ATOM
from nddo_ml.scf.solve import SCFOptions

ENERGY = 1e-6  # eV, by which results of one model may differ
FORCE = 1e-4  # eV/Å
INTERNAL = {"scf", "shift_size"}  # fields of a Prediction that are no properties


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def model(kind: Kind) -> AbstractModel:
    return kind.model


@pytest.fixture
def systems(kind: Kind) -> Systems:
    return Systems.from_ase(list(kind.frames))


def same(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def in_cell(atoms: Atoms) -> Atoms:
    boxed = atoms.copy()
    boxed.set_cell([[6.1, 0.0, 0.0], [0.8, 6.4, 0.0], [0.2, -0.5, 6.8]])
    boxed.pbc = True
    return boxed


def test_a_batch_is_its_systems(kind: Kind, model: AbstractModel, systems: Systems) -> None:
    together = model(systems, forces=True)
    for k, atoms in enumerate(kind.frames):
        alone = model(atoms, forces=True)
        same(alone.energy[0], together.energy[k], ENERGY)
        same(alone.forces, together.forces[systems.system_idx == k], FORCE)


def test_the_order_of_atoms_and_systems_does_not_matter(model: AbstractModel, systems: Systems) -> None:
    order = torch.randperm(systems.n_atoms, generator=torch.Generator().manual_seed(3))
    mixed = Systems.build(systems.numbers[order], systems.positions[order], systems.system_idx[order])
    before, after = model(systems, forces=True), model(mixed, forces=True)
    same(after.energy, before.energy, ENERGY)
    same(after.forces, before.forces[order], FORCE)


def test_threads_change_nothing(model: AbstractModel, systems: Systems) -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(model(systems, forces=True))
    finally:
        torch.set_num_threads(before)
    same(found[1].energy, found[0].energy, 1e-9)
    same(found[1].forces, found[0].forces, 1e-8)


def test_turning_turns_the_forces(model: AbstractModel, systems: Systems) -> None:
    turn = torch.as_tensor(Rotation.from_euler("xyz", [0.4, 1.1, -0.7]).as_matrix())
    before, after = model(systems, forces=True), model(systems.with_positions(systems.positions @ turn.T), forces=True)
    same(after.energy, before.energy, ENERGY)
    same(after.forces, before.forces @ turn.T, FORCE)


def test_forces_are_derivatives_of_the_energy(kind: Kind, model: AbstractModel) -> None:
    one = Systems.from_ase(kind.frames[0])
    forces = model(one, forces=True).forces
    for atom, axis in ((0, 2), (one.n_atoms - 1, 0)):
        expected = force_from_energies(model, one, atom, axis, step=1e-3)
        assert float(forces[atom, axis]) == pytest.approx(expected, abs=2e-4)


def test_stress_is_given_or_refused_in_one_sentence(kind: Kind, model: AbstractModel) -> None:
    boxed = Systems.from_ase(in_cell(kind.frames[0]))
    if not model.capabilities.periodic:
        with pytest.raises(InputError, match=r"system 0 is periodic: .* molecules only; expected pbc = False"):
            model(boxed)
        with pytest.raises(InputError, match=r"stress was asked for: .* molecules only"):
            model(Systems.from_ase(kind.frames[0]), stress=True)
        return
    stress = model(boxed, stress=True).stress[0]
    volume, step = float(torch.linalg.det(boxed.cell[0]).abs()), 1e-4
    for i, j in ((0, 0), (1, 2)):
        energies = []
        for sign in (-1, 1):
            strain = torch.eye(3, dtype=torch.float64)
            strain[i, j] += sign * step
            energies.append(float(model(boxed.with_positions(boxed.positions @ strain, boxed.cell @ strain)).energy))
        assert float(stress[i, j]) == pytest.approx((energies[1] - energies[0]) / (2 * step * volume), abs=1e-5)


def test_an_unknown_element_is_named_with_its_place(kind: Kind, model: AbstractModel) -> None:
    alien = "Og"
    far = kind.frames[1] + Atoms([alien], [[9.0, 9.0, 9.0]])
    with pytest.raises(InputError, match=rf"system 1, atom {len(far) - 1}: .* has no element {alien}; it has "):
        model([kind.frames[0], far])


@pytest.mark.parametrize("wrong", ["H2O", 3, [molecule("H2O"), "CH4"]])
def test_other_input_is_refused(model: AbstractModel, wrong: Any) -> None:
    with pytest.raises(InputError, match="expected Systems, ASE Atoms or a list of these; got"):
        model(wrong)


def test_a_later_call_may_start_from_an_earlier_one(model: AbstractModel, systems: Systems) -> None:
    first = model(systems)
    assert (first.scf is not None) == model.capabilities.density
    again = model(systems, start=first)
    same(again.energy, first.energy, ENERGY)
    if first.scf is None:
        return
    assert int(again.scf.iterations.sum()) < int(first.scf.iterations.sum())
    same(model(systems, start=first.scf.density).energy, first.energy, ENERGY)
    with pytest.warns(DeprecationWarning, match="guess= is now start="):
        model(systems, guess=first.scf.density)
    with pytest.raises(InputError, match=r"a starting density must have shape \[3, spin, M, M\]"):
        model(systems, start=first.scf.density[:2])
    with pytest.raises(InputError, match="a starting density needs"):
        model(systems, start=first.scf.density[..., :3, :3])
    with pytest.raises(InputError, match="a prediction with a density"):
        model(systems, start=Prediction(first.energy))


def failing(model: AbstractModel) -> AbstractModel:
    """The same model, so that it fails where it can."""
    broken = deepcopy(model)
    if model.capabilities.density:
        broken.scf_options = SCFOptions(max_iterations=0, max_descent=0, probe=False)
    else:
        broken.extrapolation_margin = 0.0
    return broken


def test_failures_are_raised_or_masked(kind: Kind, model: AbstractModel) -> None:
    squeezed = kind.frames[1].copy()
    squeezed.positions *= 0.7
    batch = [kind.frames[0], squeezed]
    with pytest.raises((SCFConvergenceError, ExtrapolationError)):
        failing(model)(batch)
    masked = failing(model)(batch, forces=True, on_failure="mask")
    failed = masked.energy.isnan()
    assert bool(failed[1])
    assert bool(masked.forces[len(batch[0]) :].isnan().all())
    with pytest.raises(InputError, match=r'on_failure must be "raise" or "mask"; got \'hide\''):
        model(batch, on_failure="hide")


def test_dtype_is_kept(model: AbstractModel, systems: Systems) -> None:
    single, double = model(systems.to(dtype=torch.float32), forces=True), model(systems, forces=True)
    for prediction, dtype in ((single, torch.float32), (double, torch.float64)):
        assert {value.dtype for value in prediction.given.values()} == {dtype}
    relative = (single.energy.double() / double.energy - 1).abs()
    assert float(relative.max()) < 1e-5
    same(single.forces.double(), double.forces, 0.05)


def test_capabilities_are_true(kind: Kind, model: AbstractModel, systems: Systems) -> None:
    known = model.capabilities
    assert known.elements == model.elements
    assert known.periodic == model.periodic
    prediction = model(systems, forces=True)
    if known.periodic and not any("Dispersion" in type(term).__name__ for term in model.terms):
        prediction = model([in_cell(atoms) for atoms in kind.frames], forces=True, stress=True)
    given = {f.name for f in fields(prediction) if getattr(prediction, f.name) is not None} - INTERNAL
    assert given >= known.properties - {"stress"}
    assert given - {"stress"} <= known.properties
    for name, value in prediction.given.items():
        assert value.shape[0] == (systems.n_atoms if name in PER_ATOM else systems.n_systems)
    assert (prediction.scf is not None) == known.density
    found = model.extrapolation(systems, margin=-0.5)
    assert bool(found) == known.training_range


def test_charge_and_spin_count_or_are_refused(kind: Kind, model: AbstractModel) -> None:
    neutral, known = kind.frames[0], model.capabilities
    ion = Systems.from_ase(neutral, charge=1)
    triplet = Systems.from_ase(neutral, multiplicity=3)
    if known.charge and known.spin:
        assert float(model(ion).energy) > float(model(neutral).energy) + 1
        assert float(model(triplet).energy) > float(model(neutral).energy) + 1
        return
    for other, said in ((ion, "charge 1 and multiplicity 2"), (triplet, "charge 0 and multiplicity 3")):
        said = said.split(" and ")[-1] if known.charge else said
        with pytest.raises(InputError, match=rf"system 0 has {said}, of which {model.name} knows nothing; set its"):
            model(other)
        told = deepcopy(model)
        told.ignore_charge_and_spin = True
        if known.charge and other is ion:
            same(told(other).charges.sum(), torch.tensor(1.0, dtype=torch.float64), 1e-12)
        else:
            same(told(other).energy, model(neutral).energy, ENERGY)


def test_isolated_atoms_are_the_zero_of_energy(model: AbstractModel, systems: Systems) -> None:
    water = next(one for one in systems if one.formula(0) == "H2O")
    zeros = model.isolated_energies([1, 8, 117])
    assert set(zeros) == {1, 8}
    for number, energy in zeros.items():
        alone = Atoms([number], info={"multiplicity": model.ground_state_multiplicity(number)})
        if model.capabilities.spin:
            assert float(model(alone).energy) == pytest.approx(energy, abs=ENERGY)
    apart = 2 * zeros[1] + zeros[8]
    same(model.atomization_energies(water), apart - model(water).energy, ENERGY)


def test_copies_and_files_are_the_same_model(model: AbstractModel, systems: Systems, tmp_path) -> None:
    expected = model(systems, forces=True)
    save_model(model, tmp_path / "model.pt")
    copies = (deepcopy(model), pickle.loads(pickle.dumps(model)), load_model(tmp_path / "model.pt"))
    for copy in copies:
        found = copy(systems, forces=True)
        same(found.energy, expected.energy, 1e-9)
        same(found.forces, expected.forces, 1e-8)
        assert copy.capabilities == model.capabilities
        assert copy.terms == model.terms
        assert copy.name == model.name


def test_representations_are_short(model: AbstractModel, systems: Systems) -> None:
    assert model.name in repr(model)
    assert len(repr(model)) < 200
    prediction = model(systems, forces=True)
    assert len(repr(prediction).splitlines()) < 15
    assert len(repr(prediction)) < 1000
    assert f"{float(prediction.energy[0]):.6g}" in repr(prediction)
    assert f"{float(prediction.energy[0]):.6g}" in prediction._repr_html_()


def test_training_and_evaluation_agree(model: AbstractModel, systems: Systems) -> None:
    trained = deepcopy(model).train()
    found = trained(systems, forces=True)
    same(found.energy.detach(), model(systems).energy, ENERGY)
    if any(p.requires_grad for p in trained.parameters()):
        assert found.energy.requires_grad


def test_the_parent_of_a_hybrid_is_its_method(model: AbstractModel, systems: Systems) -> None:
    parent = model.parent
    if parent is None:
        return
    assert parent.parent is None
    assert bool(parent(systems).energy.isfinite().all())


def test_unrestricted_where_there_are_electrons(model: AbstractModel, systems: Systems) -> None:
    chosen = deepcopy(model)
    if not model.capabilities.unrestricted:
        with pytest.raises(InputError, match="has no electrons; unrestricted fields are"):
            chosen.unrestrict()
        return
    chosen.unrestrict()
    assert chosen(systems).scf.density.shape[1] == 2
