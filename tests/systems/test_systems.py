"""Systems: what it accepts, what it refuses and in which words, and that selecting keeps everything together."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from nddo_ml import NDDO, InputError, Systems


def three() -> Systems:
    return Systems.from_ase([molecule("H2O"), molecule("CH3"), molecule("CO2")])


def test_from_ase_is_flat_and_complete():
    systems = three()
    assert systems.n_systems == 3
    assert systems.n_atoms == 10
    assert systems.atoms_per_system.tolist() == [3, 4, 3]
    assert systems.system_idx.tolist() == [0] * 3 + [1] * 4 + [2] * 3
    assert systems.positions.dtype == torch.float64
    np.testing.assert_array_equal(systems.positions[3:7].numpy(), molecule("CH3").positions)


def test_lowest_multiplicity_follows_from_the_electrons():
    assert three().multiplicity.tolist() == [1, 2, 1]
    assert Systems.from_ase(molecule("H2O"), charge=1).multiplicity.tolist() == [2]
    assert Systems.build(torch.tensor([1]), torch.zeros(1, 3)).multiplicity.tolist() == [2]


def test_charge_and_multiplicity_from_info_scalars_and_lists():
    atoms = molecule("O2")
    atoms.info.update(charge=-1, multiplicity=4)
    systems = Systems.from_ase([atoms, molecule("N2")])
    assert systems.charge.tolist() == [-1, 0]
    assert systems.multiplicity.tolist() == [4, 1]
    assert Systems.from_ase([atoms, atoms], charge=2, multiplicity=1).charge.tolist() == [2, 2]
    assert Systems.from_ase([atoms, atoms], charge=[1, 2], multiplicity=[2, 3]).charge.tolist() == [1, 2]
    with pytest.raises(InputError, match=r"system 1: multiplicity 4 .* does not fit 14 electrons"):
        Systems.from_ase([atoms, atoms], charge=[1, 2])


def test_to_ase_and_back():
    systems = three()
    again = Systems.from_ase(systems.to_ase())
    for name in ("numbers", "positions", "system_idx", "charge", "multiplicity", "cell", "pbc"):
        assert torch.equal(getattr(systems, name), getattr(again, name)), name


def test_select_reorders_systems_of_mixed_atoms():
    systems = three()
    order = torch.randperm(10, generator=torch.manual_seed(0))
    mixed = Systems.build(systems.numbers[order], systems.positions[order], systems.system_idx[order], [0, 1, -2])
    chosen = mixed.select(torch.tensor([2, 0]))
    assert chosen.charge.tolist() == [-2, 0]
    assert chosen.system_idx.tolist() == [0] * 3 + [1] * 3
    for new, old in enumerate([2, 0]):
        assert torch.equal(chosen.positions[chosen.system_idx == new], mixed.positions[mixed.system_idx == old])
        assert torch.equal(chosen.numbers[chosen.system_idx == new], mixed.numbers[mixed.system_idx == old])


def test_dtype_follows_and_can_be_changed():
    systems = Systems.from_ase(bulk("Si"), dtype=torch.float32)
    assert systems.positions.dtype == systems.cell.dtype == torch.float32
    double = systems.to(dtype=torch.float64)
    assert double.positions.dtype == double.cell.dtype == torch.float64
    assert double.numbers.dtype == torch.int64


def test_with_positions_keeps_the_rest():
    systems = three()
    moved = systems.with_positions(systems.positions + 1.0)
    assert moved.numbers is systems.numbers
    assert not torch.equal(moved.positions, systems.positions)


WATER = molecule("H2O")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"positions": torch.zeros(2, 3)}, r"shape \[3, 3\].*got \[2, 3\]"),
        ({"positions": torch.zeros(3, 3, dtype=torch.int64)}, "floating point"),
        ({"positions": torch.full((3, 3), torch.nan)}, r"system 0, atom 0 \(O\).*finite"),
        ({"positions": torch.zeros(3, 3)}, "on one spot"),
        ({"numbers": torch.tensor([8, 1, 0])}, r"atom 2 .*1\.\.118"),
        ({"system_idx": torch.tensor([0, 0])}, "system_idx must have shape"),
        ({"system_idx": torch.tensor([0, 0, 2])}, r"systems \[1\] have none"),
        ({"charge": [0, 1]}, r"one number or one a system \(1\)"),
        ({"charge": 0.5}, "whole number"),
        ({"multiplicity": 0}, "at least 1"),
        ({"cell": torch.zeros(2, 3, 3, dtype=torch.float64)}, "cell and pbc must have shapes"),
        ({"pbc": torch.tensor([[True, False, False]])}, "lattice vector longer than zero"),
    ],
)
def test_what_is_refused(arguments, words):
    given = {"numbers": torch.tensor(WATER.numbers), "positions": torch.tensor(WATER.positions)} | arguments
    with pytest.raises(InputError, match=words):
        Systems.build(**given)


def test_empty_input():
    with pytest.raises(InputError, match="empty list"):
        Systems.from_ase([])
    with pytest.raises(InputError, match="system 1: expected at least one atom"):
        Systems.from_ase([WATER, Atoms()])


def test_atoms_on_one_spot_are_found_far_along_x_and_only_within_a_system():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 50, (200, 3))
    x[150] = x[20] + [0.0, 0.0, 0.01]
    with pytest.raises(InputError, match=r"system 1, atoms 20 \(H\) and 150 \(H\) are"):
        Systems.from_ase([WATER, Atoms("H200", x)])
    Systems.from_ase([WATER, WATER])  # the same place in another system is no matter


@pytest.mark.parametrize("value", ["a", 0.5, None, float("nan")])
def test_info_that_is_no_whole_number(value):
    atoms = molecule("H2O")
    atoms.info["charge"] = value
    with pytest.raises(InputError, match=r"info\['charge'\] must be a whole number"):
        Systems.from_ase(atoms)


def test_a_system_may_be_selected_several_times():
    systems = Systems.from_ase([molecule("H2O"), molecule("NH3"), molecule("CH4")])
    chosen, atoms = systems.select_with_atoms(torch.tensor([2, 0, 2]))
    assert chosen.atoms_per_system.tolist() == [5, 3, 5]
    assert torch.equal(chosen.positions, systems.positions[atoms])
    single = NDDO("AM1")(systems).energy
    torch.testing.assert_close(NDDO("AM1")(chosen).energy, single[[2, 0, 2]], rtol=0, atol=1e-8)
    assert systems.select(torch.tensor([False, True, True])).atoms_per_system.tolist() == [4, 5]
    with pytest.raises(InputError, match="a mask of 3 systems"):
        systems.select(torch.tensor([True, True]))


@pytest.mark.parametrize("index", [[], [3], [-1], [[0]]])
def test_systems_that_are_not_there_cannot_be_selected(index):
    systems = Systems.from_ase([molecule("H2O"), molecule("NH3"), molecule("CH4")])
    with pytest.raises(InputError, match="expected"):
        systems.select(torch.tensor(index, dtype=torch.int64))


def test_places_within_systems_that_are_interleaved():
    one = torch.tensor([1, 1, 1, 8])
    systems = Systems.build(
        one, torch.rand(4, 3, dtype=torch.float64) * 9, torch.tensor([1, 0, 1, 0]), multiplicity=[1, 2]
    )
    assert systems.places.tolist() == [0, 0, 1, 1]


def test_systems_are_a_sequence():
    systems = three()
    assert len(systems) == 3
    assert [one.formula(0) for one in systems] == ["H2O", "CH3", "CO2"]
    assert systems[1].numbers.tolist() == [6, 1, 1, 1]
    assert systems[-1].formula(0) == "CO2"
    assert [s.formula(0) for s in systems[1:]] == ["CH3", "CO2"]
    assert [s.formula(0) for s in systems[[2, 0]]] == ["CO2", "H2O"]
    assert systems[torch.tensor([True, False, True])].multiplicity.tolist() == [1, 1]
    with pytest.raises(IndexError):
        systems[3]
    with pytest.raises(InputError, match="one or more systems"):
        systems[3:]


def test_representations_are_short():
    methoxide = Systems.from_ase([molecule("CH3O")] * 8, charge=-1, multiplicity=1)
    assert repr(methoxide) == "Systems(8 systems: " + "CH3O −1, " * 5 + "…; 40 atoms, float64)"
    assert repr(three()) == "Systems(3 systems: H2O, CH3, CO2; 10 atoms, float64)"


def test_notebooks_show_a_table_and_a_view():
    html = Systems.from_ase([molecule("H2O")] * 30)._repr_html_()
    assert html.count("<tr>") == 21
    assert "… and 10 more" in html
    assert "3dmol" in html.lower()


def test_without_the_viewer_there_is_the_table(monkeypatch):
    monkeypatch.setattr("nddo_ml.display.find_spec", lambda name: None)
    html = three()._repr_html_()
    assert html.startswith("<table>")
    assert "<td>CO2</td>" in html
    assert "3dmol" not in html.lower()
