"""Trainings begun wrongly: one sentence with key and line; data that stopped a training; two in one folder."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st

from nddo_ml import NNP, InputError, save_model
from nddo_ml.cli import main
from nddo_ml.datasets.checks import UnitsWarning
from nddo_ml.datasets.dataset import Source, load_dataset
from nddo_ml.datasets.write_n2p2_data import write_n2p2_data
from nddo_ml.training.config import line_of, read_config
from nddo_ml.training.run import load_training_data, train
from nddo_ml.training.state import alone_in
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

GOOD = """\
seed = 1
output = "run"
model = {kind = "nnp", size = "small", cutoff = 3.0, hidden = [4]}
data = {train = ["d.extxyz"], validation_fraction = 0.25}
loss = {energy = 10.0, forces = 1.0}
phases = [{optimizer = "adam", epochs = 1, batch = 4, lr = 0.001}]
"""
MODEL, DATA = 'kind = "nnp"', 'train = ["d.extxyz"]'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (MODEL, "kind = []", r"line 3: model.kind must be 'nnp', 'nddo', 'delta' or 'start'; got \[\]"),
        (MODEL, 'kind = "nddo"', r"line 3: model.hidden is unknown; there are method"),
        (MODEL, 'kind = "delta"', r"line 3: model.base is needed and not given"),
        ("hidden = [4]", "hidden = [4, 0]", r"line 3: model.hidden.1 must be greater than or equal to 1; got 0"),
        ("cutoff = 3.0", 'cutoff = "no"', r"line 3: model.cutoff must be a number or 'auto'; got 'no'"),
        ("cutoff = 3.0", "cutoff = true", r"line 3: model.cutoff must be a number or 'auto'; got True"),
        (DATA, f"{DATA}, validation = 1e+300", r"line 4: data.validation must be files: .*got 1e\+300"),
        (DATA, f"{DATA}, group_weights = {{a = -1}}", r"line 4: data.group_weights.a must be .*got -1"),
        (DATA, "train = [{patt = 'd.extxyz'}]", r"line 4: data.train.0.patt is unknown; there are path"),
        (DATA, "train = [{path = 'd.extxyz', weight = 'x'}]", r"line 4: data.train.0.weight must be a number"),
        (DATA, "train = [{path = 'd.extxyz', energy_unit = 'Ry'}]", r"line 4: data.train.0 is wrong: .*energy_unit"),
        ("{energy = 10.0, forces = 1.0}", '"auto"', r"line 5: loss must be a table; got 'auto'"),
        ("energy = 10.0", "energy = inf", r"line 5: loss.energy must be a finite number; got inf"),
        ("epochs = 1", "epochs = 1.5", r"line 6: phases.0.epochs must be a whole number; got 1.5"),
        ("lr = 0.001", "lr = -1", r"line 6: phases.0.lr must be greater than 0; got -1"),
        ("{optimizer", "1, {optimizer", r"line 6: phases.0 must be a table; got 1"),
        ("seed = 1", "seed = -1", r"line 1: seed must be greater than or equal to 0; got -1"),
        ("seed = 1", "card = -0.5", r"line 1: card must be a table; got -0.5"),
        ("seed = 1", "\n\ncard = {day = 2026-01-01}", r"line 3: card.day must be plain data"),
        ("seed = 1", 'device = "gpu"', r"line 1: device must be cpu, cuda"),
        ("seed = 1", "after = {}", r"line 1: after goes on from a hybrid"),
        ("seed = 1", "sead = 1", r"line 1: sead is unknown; there are data"),
        ("seed = 1", "# café\nseed = é", r"not valid TOML"),
        ("seed = 1", "seed = " + "[" * 3000, r"nested too deeply"),
    ],
)
def test_one_sentence_with_key_and_line(old, new, message, tmp_path):
    (tmp_path / "bad.toml").write_text(GOOD.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_config(tmp_path / "bad.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("# é\nseed=1".encode("latin-1"), r"line 1: expected text in UTF-8; got the byte 0xe9"),
        (b"seed = 1\n\x9aY\r\xde", r"line 2: expected text in UTF-8; got the byte 0x9a"),
        (b"seed = 1\x00", "not valid TOML"),
        (b"seed = " + b"9" * 5000, "not valid TOML"),
    ],
)
def test_files_that_are_no_text(data, message, tmp_path):
    (tmp_path / "bad.toml").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_config(tmp_path / "bad.toml")


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    (tmp_path / "good.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert read_config(tmp_path / "good.toml").phases[0].batch == 4


def test_what_is_set_on_the_command_line_is_named(tmp_path):
    (tmp_path / "good.toml").write_text(GOOD)
    for overrides, message in (
        ({"phases.0.lr": -1}, r"with phases.0.lr from the command line: phases.0.lr must be greater than 0"),
        ({"phases.7.lr": 1}, r"phases has entries 0 to 0; got '7'"),
        ({"seed.x": 1}, r"line 1: seed is 1, which has no 'x'"),
    ):
        with pytest.raises(InputError, match=message):
            read_config(tmp_path / "good.toml", overrides)


@given(
    st.lists(
        st.sampled_from(["", "# x = 1", "a = 1", "b = '''\n\n'''", "[c]", "d = [\n1,\n2]"]), max_size=6, unique=True
    )
)
def test_line_of_a_key(statements):
    text = "\n".join([*statements, "[table]", "key = 1"])
    assert line_of(text, ("table", "key")) == text.count("\n") + 1
    assert line_of(text, ("table",)) == text.count("\n")
    assert line_of(text, ("nowhere",)) is None


def _trained(folder: Path, frames, **overrides):
    write(folder / "d.extxyz", frames)
    (folder / "good.toml").write_text(GOOD)
    given = {"data.train": str(folder / "d.extxyz"), "output": str(folder / "run"), **overrides}
    return train(read_config(folder / "good.toml", given)).model


def test_cells_whose_forces_vanish_by_symmetry(tmp_path):
    """An equation of state of fcc aluminium; energies of ASE's EMT."""
    frames = []
    for a in np.linspace(3.8, 4.3, 12):
        atoms = bulk("Al", a=a)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    assert isinstance(_trained(tmp_path, frames), NNP)


def _waters_and_lone_atoms():
    """Molecules of springs, whose energies and forces agree, and lone atoms; energies about those of all electrons."""
    random, frames = np.random.default_rng(1), []
    zero = {1: -11.0, 6: -121.0, 7: -202.0, 8: -316.0}
    for z, energy in zero.items():
        atoms = molecule("H")
        atoms.numbers[:] = z
        atoms.set_initial_magnetic_moments(None)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((1, 3)))
        frames.append(atoms)
    for k in range(30):
        atoms = molecule(("H2O", "NH3", "CH4")[k % 3])
        n = len(atoms)
        i, j = np.triu_indices(n, 1)
        rest = atoms.get_all_distances()[i, j]
        atoms.positions += random.normal(scale=0.06, size=(n, 3))
        vectors = atoms.positions[i] - atoms.positions[j]
        length = np.linalg.norm(vectors, axis=1)
        pull = -20.0 * ((length - rest) / length)[:, None] * vectors
        forces = np.zeros((n, 3))
        np.add.at(forces, i, pull)
        np.add.at(forces, j, -pull)
        energy = 10.0 * float(((length - rest) ** 2).sum()) + sum(zero[z] for z in atoms.numbers) - 3.0 * (n - 1)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("order", [1, -1, None])
def test_lone_atoms_raise_no_doubt_whatever_the_order(order, tmp_path):
    frames = _waters_and_lone_atoms()
    if order is None:
        frames = [frames[k] for k in np.random.default_rng(2).permutation(len(frames))]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitsWarning)
        _trained(tmp_path, frames[::order])


def test_wrong_units_are_doubted_whatever_the_order(tmp_path):
    """The same energies in hartree; shuffled frames have no similar neighbour in the file."""
    frames = _waters_and_lone_atoms()
    frames = [frames[k] for k in np.random.default_rng(2).permutation(len(frames))]
    for atoms in frames:
        atoms.calc.results["energy"] /= 27.211386
    with pytest.warns(UnitsWarning, match="hartree"):
        _trained(tmp_path, frames)


def test_groups_are_left_out_of_everything(tmp_path):
    random, frames = np.random.default_rng(0), []
    for k in range(12):
        atoms = molecule("H2O" if k < 8 else "CH4")
        atoms.positions += random.normal(scale=0.02, size=(len(atoms), 3))
        atoms.info["group"] = "water" if k < 8 else "methane"
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - k, forces=random.normal(size=(len(atoms), 3)))
        frames.append(atoms)
    model = _trained(tmp_path, frames, **{"data.exclude_groups": ["methane"], "data.check_units": False})
    assert model.elements == {1, 8}
    (tmp_path / "only").mkdir()
    only = _trained(tmp_path / "only", frames[:8], **{"data.check_units": False})
    assert torch.equal(model.scaler.sigma, only.scaler.sigma)
    config = read_config(tmp_path / "good.toml", {"data.train": str(tmp_path / "d.extxyz"), "data.groups": ["water"]})
    assert len(load_training_data(config)) == 8
    for wrong, message in (
        ({"data.groups": ["ice"]}, "no structure is of group 'ice'"),
        ({"data.groups": 3}, "a list"),
    ):
        with pytest.raises(InputError, match=message):
            _trained(tmp_path, frames, **wrong)
    with pytest.raises(InputError, match="no structure is left"):
        _trained(tmp_path, frames, **{"data.exclude_groups": ["water", "methane"]})


def test_two_trainings_in_one_folder(tmp_path):
    """The second is refused, also from another process; a killed one leaves no lock."""
    hold = "import sys, time; from pathlib import Path; from nddo_ml.training.state import alone_in\n"
    hold += "with alone_in(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        at_work = rf"another training is at work there \(process {process.pid} on"
        with pytest.raises(InputError, match=at_work), alone_in(tmp_path):
            pass
        process.kill()
        process.wait()
    with alone_in(tmp_path):
        pass


def test_atoms_on_one_spot_through_the_boundary(tmp_path):
    frames = []
    for k in range(8):
        atoms = bulk("Si", a=5.4)
        atoms.set_positions([[0, 0, 0], [2.3 + 0.05 * k, 0.1, 0]])
        atoms.set_cell([6, 6, 6])
        if k == 6:
            atoms.positions[1] = [5.99, 0, 0]
        atoms.info["energy"] = -10.0
        frames.append(atoms)
    write(tmp_path / "d.extxyz", frames)
    with pytest.raises(InputError, match=r"d.extxyz, frame 6.*atoms? 0 .*1.*one spot"):
        load_dataset([tmp_path / "d.extxyz"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cell", np.zeros((2, 3, 3)), r"cell must be numbers of shape \[6, 3, 3\]"),
        ("energy", np.zeros(5), "energy must be numbers in 6 rows"),
        ("energy", np.array(b"x"), "energy must be numbers"),
        ("species", np.zeros((2, 2)), "expected a list of elements"),
        ("coordinates", np.zeros((6, 2, 2)), r"positions must be numbers of shape \[n, 2, 3\]"),
        ("forces", np.zeros((6, 5, 3)), r"forces must have shape \[2, 3\]"),
    ],
)
def test_hdf5_of_wrong_shapes(name, value, message, tmp_path):
    with h5py.File(tmp_path / "e.h5", "w") as file:
        arrays = {"species": np.array([1, 1]), "coordinates": np.arange(36.0).reshape(6, 2, 3), "energy": np.zeros(6)}
        for key, array in {**arrays, name: value}.items():
            file[f"m/{key}"] = array
    with pytest.raises(InputError, match=message):
        load_dataset([tmp_path / "e.h5"])


def test_infinite_charge_and_counts_without_atoms(tmp_path):
    head = 'Properties=species:S:1:pos:R:3 energy=-1.0 pbc="F F F"'
    (tmp_path / "inf.extxyz").write_text(f"1\n{head} charge=inf\nH 0 0 0\n")
    (tmp_path / "many.xyz").write_text(f"4000000000\n{head}\nH 0 0 0\n")
    with pytest.raises(InputError, match=r"inf.extxyz, frame 0: .*(charge|infinity)"):
        load_dataset([tmp_path / "inf.extxyz"])
    with pytest.raises(InputError, match=r"many.xyz, frame 0: line 3: expected a structure of 4000000000 atoms"):
        load_dataset([tmp_path / "many.xyz"])


N2P2 = """\
begin
comment a water in a box, made up in the documented format of n2p2
lattice 10.0 0.0 0.0
lattice 0.0 10.0 0.0
lattice 0.0 0.0 10.0
atom 0.0 0.0 0.2 O -0.8 0.0 0.0 0.0 -0.3
atom 0.0 1.4 -0.9 H 0.4 0.0 0.0 0.1 0.15
atom 0.0 -1.4 -0.9 H 0.4 0.0 0.0 -0.1 0.15
energy -76.5
charge 0.0
end
begin
atom 0.0 0.0 0.0 H 0.0 0.0 0.0 0.0 0.0
energy -0.5
end
"""


def test_n2p2_data(tmp_path):
    (tmp_path / "input.data").write_text(N2P2)
    data = load_dataset([Source(str(tmp_path / "input.data"), energy_unit="hartree", length_unit="bohr")])
    assert len(data) == 2
    assert data.systems.pbc.all(1).tolist() == [True, False]
    assert data.systems.cell[0, 0, 0] == pytest.approx(5.29177210903)
    assert data.labels.values["energy"].tolist() == pytest.approx([-76.5 * 27.211386245988, -0.5 * 27.211386245988])
    assert float(data.labels.values["forces"][0, 2]) == pytest.approx(-0.3 * 27.211386245988 / 0.529177210903)
    assert data.labels.values["charges"][:3].tolist() == [-0.8, 0.4, 0.4]
    assert data.labels.weights["charges"].tolist() == [1, 0]
    write_n2p2_data(data, tmp_path / "again.data")
    again = load_dataset([tmp_path / "again.data"])
    for name in ("energy", "forces", "charges"):
        assert torch.allclose(again.labels.values[name], data.labels.values[name], atol=1e-7)
    assert torch.allclose(again.systems.positions, data.systems.positions)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("energy -76.5", "energy nan", r"line 9: expected 1 finite numbers after 'energy'; got 'nan'"),
        ("lattice 0.0 0.0 10.0\n", "", r"line 10: expected 3 lines 'lattice'"),
        ("O -0.8 0.0", "Oo -0.8 0.0", r"line 6: expected an element's symbol; got 'Oo'"),
        ("-0.3\n", "\n", r"line 6: expected 'atom' with x y z"),
        ("charge 0.0\nend", "charge 0.0", r"line 11: expected 'end' before the next 'begin'"),
        ("charge 0.0", "spin 0.0", r"line 10: expected atom, .*got 'spin'"),
        ("energy -0.5\nend\n", "energy -0.5\n", r"expected 'end' before the file ends"),
    ],
)
def test_n2p2_data_that_is_wrong(old, new, message, tmp_path):
    (tmp_path / "input.data").write_text(N2P2.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        load_dataset([tmp_path / "input.data"])


def test_n2p2_data_in_a_training_and_an_evaluation(tmp_path, capsys):
    """Energies of the same structures in eV and Å, and in hartree and bohr in n2p2's format, have the same errors."""
    frames = [atoms for atoms in _waters_and_lone_atoms() if len(atoms) > 1]
    model = _trained(tmp_path, frames, **{"data.check_units": False})
    save_model(model, tmp_path / "m.pt")
    data = load_dataset([tmp_path / "d.extxyz"])
    atomic = {**data.labels.values, "energy": data.labels.values["energy"] / HARTREE_EV}
    atomic["forces"] = data.labels.values["forces"] / HARTREE_EV * BOHR_ANGSTROM
    systems = data.systems.with_positions(data.systems.positions / BOHR_ANGSTROM)
    labels = replace(data.labels, values=atomic)
    write_n2p2_data(replace(data, systems=systems, labels=labels), tmp_path / "input.data")
    found = []
    for arguments in (["d.extxyz"], ["input.data", "--energy-unit", "hartree", "--length-unit", "bohr"]):
        with pytest.raises(SystemExit):
            main(["evaluate", str(tmp_path / "m.pt"), str(tmp_path / arguments[0]), *arguments[1:], "--json", "-"])
        found.append(json.loads(capsys.readouterr().out)["labels"])
    for label in ("energy", "forces"):
        assert found[0][label]["mae"] == pytest.approx(found[1][label]["mae"], rel=1e-6)
    units = {"path": str(tmp_path / "input.data"), "energy_unit": "hartree", "length_unit": "bohr"}
    (tmp_path / "again").mkdir()
    again = _trained(tmp_path / "again", frames, **{"data.train": [units], "data.check_units": False})
    assert torch.allclose(again.scaler.sigma, model.scaler.sigma, rtol=1e-6)
