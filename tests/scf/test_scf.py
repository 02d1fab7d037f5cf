"""The self-consistent field: batches, guesses, failures, invariances, properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from reference_data import entries, to_systems

from nddo_ml import NDDO, InputError, SCFConvergenceError, Systems
from nddo_ml.energy.properties import bond_orders, spin_populations
from nddo_ml.integrals.build import build_integrals
from nddo_ml.integrals.layout import build_layout
from nddo_ml.methods.parameters import parameters_of
from nddo_ml.methods.tables import load_method
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.solve import SCFOptions
from nddo_ml.threads import map_threads

pytestmark = pytest.mark.usefixtures("engine")


def mixed(count: int) -> list[dict]:
    """Reference entries of AM1 that differ in size, elements, charge and multiplicity, and converge to one solution."""
    plain = [e for e in entries("sp_methods") if e["method"] == "AM1" and not e.get("lower")]
    plain = [e for e in plain if "g2:" in e["id"] or "qm9" in e["id"] or "_" in e["id"]]
    return [plain[k % len(plain)] for k in range(count)]


def check_batch(count: int, every: int = 1) -> None:
    systems = to_systems(mixed(count))
    model = NDDO("AM1")
    energy = model(systems).energy
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(systems.n_systems, generator=generator)
    shuffled = systems.select(order)
    atoms = torch.randperm(systems.n_atoms, generator=generator)
    scattered = Systems(
        shuffled.numbers[atoms],
        shuffled.positions[atoms],
        shuffled.system_idx[atoms],
        *(shuffled.charge, shuffled.multiplicity, shuffled.cell, shuffled.pbc),
    )
    assert float((model(scattered).energy - energy[order]).abs().max()) < 1e-9
    single = torch.cat([model(systems.select(torch.tensor([k]))).energy for k in range(0, count, every)])
    assert float((single - energy[::every]).abs().max()) < 1e-9


def test_batch_equals_shuffled_batch_and_single_runs() -> None:
    check_batch(60, every=4)


@pytest.mark.slow
def test_batch_of_500_equals_single_runs() -> None:
    check_batch(500)


def test_energies_do_not_depend_on_the_frame() -> None:
    atoms = molecule("CH3CH2OH")
    turned = atoms.copy()
    turned.rotate(71.0, (1.0, 2.0, 3.0))
    turned.translate((5.0, -3.0, 1.0))
    swapped = atoms[list(reversed(range(len(atoms))))]
    prediction = NDDO("PM3")(Systems.from_ase([atoms, turned, swapped]), forces=True)
    assert torch.allclose(prediction.energy, prediction.energy[0].expand(3), atol=1e-10, rtol=0)
    assert torch.allclose(prediction.dipole.norm(dim=1), prediction.dipole[0].norm().expand(3), atol=1e-7)
    n = len(atoms)
    assert torch.allclose(prediction.forces[:n], prediction.forces[2 * n :].flip(0), atol=1e-6)


def builder_of(frames: list[Atoms]) -> tuple[FockBuilder, Systems]:
    systems = Systems.from_ase(frames)
    parameters = parameters_of(systems, load_method("AM1"))
    layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
    return FockBuilder.from_integrals(build_integrals(systems.positions, layout, parameters)), systems


@pytest.mark.parametrize("spins", [1, 2])
def test_compiled_fock_matrix_equals_the_definition(spins: int) -> None:
    builder, _ = builder_of([molecule(name) for name in ("C6H6", "CH3SH", "H2", "HCl")])
    layout = builder.layout
    torch.manual_seed(0)
    density = torch.randn(layout.n_systems, spins, layout.size, layout.size, dtype=torch.float64)
    real = layout.real_rows[:, None, :, None] & layout.real_rows[:, None, None, :]
    density = (density + density.transpose(2, 3)) * real
    assert torch.allclose(builder.compiled(density), builder.vectorized(density), atol=1e-10)


def test_selected_builder_equals_the_builder_of_the_selection() -> None:
    frames = [molecule(name) for name in ("H2O", "CH4", "C2H4")]
    builder, _ = builder_of(frames)
    part, _ = builder_of([frames[0], frames[2]])
    chosen = builder.select(torch.tensor([0, 2]))
    size = part.layout.size
    assert torch.allclose(chosen.h_core[:, :size, :size], part.h_core)
    assert all(torch.equal(a, b) for a, b in zip(chosen.two_center, part.two_center, strict=True))


def test_starting_density_saves_iterations() -> None:
    atoms = molecule("C6H6")
    model = NDDO("AM1")
    cold = model(Systems.from_ase(atoms))
    warm = model(Systems.from_ase(atoms), start=cold.scf.density)
    assert int(warm.scf.iterations) < int(cold.scf.iterations) / 2
    assert torch.allclose(cold.energy, warm.energy, atol=1e-9)
    with pytest.raises(InputError, match="starting density must have shape"):
        model(Systems.from_ase(atoms), start=cold.scf.density[0])


def test_uhf_of_a_closed_shell_equals_rhf_and_stretched_h2_dissociates() -> None:
    near, far = Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), Atoms("H2", [[0, 0, 0], [0, 0, 8.0]])
    restricted, unrestricted = NDDO("AM1"), NDDO("AM1", uhf=True)
    systems = Systems.from_ase([near, far])
    closed, open_ = restricted(systems), unrestricted(systems)
    assert float((closed.energy - open_.energy)[0].abs()) < 1e-8
    atom = restricted(Systems.from_ase(Atoms("H"))).energy
    assert float((open_.energy[1] - 2 * atom).abs()) < 1e-5
    assert float(open_.scf.spin_squared[1]) == pytest.approx(1.0, abs=1e-4)
    assert float(closed.energy[1] - open_.energy[1]) > 1.0


def test_spin_of_a_triplet() -> None:
    prediction = NDDO("AM1")(Systems.from_ase(molecule("O2"), multiplicity=3))
    scf = prediction.scf
    assert 2.0 <= float(scf.spin_squared) < 2.1
    layout = build_layout(torch.zeros(2, dtype=torch.int64), torch.tensor([4, 4]), 1)
    spins = spin_populations(layout, scf.density[:, 0] - scf.density[:, 1])
    assert torch.allclose(spins, torch.ones(2, dtype=torch.float64), atol=1e-6)


def test_charges_dipoles_and_bond_orders() -> None:
    frames = [molecule("C2H4"), molecule("H2O")]
    prediction = NDDO("AM1")(Systems.from_ase(frames))
    total = torch.zeros(2, dtype=torch.float64).index_add(0, Systems.from_ase(frames).system_idx, prediction.charges)
    assert float(total.abs().max()) < 1e-9
    width = load_method("AM1").width[Systems.from_ase(frames).numbers]
    layout = build_layout(Systems.from_ase(frames).system_idx, width, 2)
    orders = bond_orders(layout, prediction.scf.total_density)
    assert float(orders[0, 0, 1]) == pytest.approx(2.0, abs=0.05)
    assert float(orders[1, 0, 1]) == pytest.approx(0.96, abs=0.05)
    assert torch.equal(orders, orders.transpose(1, 2))
    assert float(prediction.scf.lumo[0] - prediction.scf.homo[0]) > 5


def test_failure_is_named_or_masked() -> None:
    systems = Systems.from_ase([molecule("H2"), molecule("C6H6")])
    model = NDDO("AM1", scf=SCFOptions(max_iterations=1, max_descent=0, tolerance=1e-13))
    with pytest.raises(SCFConvergenceError, match="system 1") as caught:
        model(systems)
    assert caught.value.systems == [1]
    masked = model(systems, forces=True, on_failure="mask")
    assert masked.scf.converged.tolist() == [True, False]
    assert not torch.isnan(masked.energy[0])
    assert torch.isnan(masked.energy[1])
    assert bool(torch.isnan(masked.forces[2:]).all())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"multiplicity": 2}, "multiplicity 2 .* does not fit 10 electrons"),
        ({"multiplicity": 1, "charge": 1}, "multiplicity 1 .* does not fit 9 electrons"),
        ({"charge": 20, "multiplicity": 1}, "leaves -10 electrons"),
    ],
)
def test_impossible_spin_and_charge(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NDDO("AM1")(Systems.from_ase(molecule("H2O"), **change))


def test_other_wrong_input() -> None:
    with pytest.raises(InputError, match="unknown method 'AM7'"):
        NDDO("AM7")
    with pytest.raises(InputError, match="AM1 has no element Fe"):
        NDDO("AM1")(Systems.from_ase(Atoms("FeH", [[0, 0, 0], [0, 0, 1.5]]), multiplicity=2))
    cell = molecule("H2O")
    cell.set_cell([5, 5, 5])
    cell.pbc = True
    with pytest.raises(InputError, match="molecules only"):
        NDDO("AM1")(Systems.from_ase(cell))


def test_distant_neutral_fragments_do_not_interact() -> None:
    water = molecule("H2O")
    pair = water.copy()
    other = water.copy()
    other.translate((200.0, 0.0, 0.0))
    pair += other
    energies = NDDO("AM1")(Systems.from_ase([water, pair])).energy
    assert float((energies[1] - 2 * energies[0]).abs()) < 1e-6


def test_threads_change_nothing() -> None:
    frames = [molecule(name) for name in g2.names[:60] if set(molecule(name).get_chemical_symbols()) <= set("HCNOF")]
    systems = Systems.from_ase(frames)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = NDDO("AM1")(systems, forces=True)
        torch.set_num_threads(2)
        together = NDDO("AM1")(systems, forces=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.allclose(alone.energy, together.energy, atol=1e-9)
    assert map_threads(lambda k: k * k, [1, 2, 3], torch.device("cpu")) == [1, 4, 9]


def test_single_precision_and_devices() -> None:
    atoms = [molecule("H2O"), molecule("CH4")]
    reference = NDDO("AM1")(Systems.from_ase(atoms), forces=True)
    loose = NDDO("AM1", scf=SCFOptions(tolerance=1e-3))(Systems.from_ase(atoms, dtype=torch.float32), forces=True)
    assert loose.energy.dtype == torch.float32
    assert np.allclose(loose.energy.numpy(), reference.energy.numpy(), rtol=1e-5)
    for device in ["cuda"] if torch.cuda.is_available() else []:
        there = NDDO("AM1")(Systems.from_ase(atoms, device=device), forces=True)
        assert there.energy.device.type == device
        assert torch.allclose(there.energy.cpu(), reference.energy, atol=1e-8)
        assert torch.allclose(there.forces.cpu(), reference.forces, atol=1e-5)
