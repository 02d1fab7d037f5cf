"""Labelled structures: formats, subsets of labels, units, and errors that name file and frame."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write
from nnp_models import DATA

from nddo_ml import InputError
from nddo_ml.datasets.checks import UnitsWarning, check_dataset
from nddo_ml.datasets.dataset import Source, from_frames, load_dataset, split
from nddo_ml.datasets.zeros import fit_zeros, to_common_zero
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV


def labelled(name="H2O", energy=-1.0, seed=0, **more):
    atoms = molecule(name)
    atoms.rattle(0.05, seed=seed)
    forces = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, **more)
    return atoms


def test_extxyz_with_stress_and_groups():
    data = load_dataset([DATA / "mlearn_si" / "train_sample.extxyz"])
    first = read(DATA / "mlearn_si" / "train_sample.extxyz", "0")
    assert len(data) == 8
    assert data.present == ("energy", "forces", "stress")
    assert set(data.groups) == {"Surface", "Elastic"}
    assert data.elements == (14,)
    np.testing.assert_allclose(data.labels.values["stress"][0], first.get_stress(voigt=False))
    np.testing.assert_allclose(data.labels.values["forces"][:24], first.get_forces())
    assert data.origins[2].endswith("train_sample.extxyz, frame 2")


def test_any_subset_of_labels(tmp_path):
    only_energy, none = molecule("H2O"), molecule("CH4")
    only_energy.info["energy"] = -3.0
    with_charges = labelled("CO", dipole=np.array([0.0, 0.1, 0.2]), charges=np.array([0.1, -0.1]))
    data = from_frames([only_energy, with_charges, none])
    assert data.present == ("energy", "forces", "dipole", "charges")
    assert data.labels.weights["energy"].tolist() == [1.0, 1.0, 0.0]
    assert data.labels.weights["dipole"].tolist() == [0.0, 1.0, 0.0]
    assert data.labels.values["charges"].tolist() == [0, 0, 0, 0.1, -0.1, 0, 0, 0, 0, 0]


def test_keys_units_weights_and_group(tmp_path):
    atoms = molecule("H2O")
    atoms.info.update(REF_energy=-1.0, weight=2.0)
    atoms.arrays["REF_forces"] = np.ones((3, 3))
    file = tmp_path / "a.extxyz"
    write(file, atoms)
    keys = {"energy": "REF_energy", "forces": "REF_forces"}
    data = load_dataset([Source(str(file), keys, "hartree", "bohr", weight=3.0, group="water")])
    assert float(data.labels.values["energy"]) == pytest.approx(-HARTREE_EV)
    assert float(data.labels.values["forces"][0, 0]) == pytest.approx(HARTREE_EV / BOHR_ANGSTROM)
    np.testing.assert_allclose(data.systems.positions, atoms.positions * BOHR_ANGSTROM)
    assert float(data.labels.weights["energy"]) == 6.0
    assert data.groups == ("water",)


def test_ase_database(tmp_path):
    frames = [labelled(seed=k, energy=-k) for k in range(3)]
    with connect(tmp_path / "a.db") as database:
        for f in frames:
            database.write(f, config_type="md", data={"dipole": np.array([0.0, 0.0, 0.5])})
    data = load_dataset([tmp_path / "a.db"])
    assert data.present == ("energy", "forces", "dipole")
    np.testing.assert_allclose(data.labels.values["energy"], [0, -1, -2])
    np.testing.assert_allclose(data.labels.values["forces"][3:6], frames[1].get_forces())
    assert data.groups == ("md",) * 3


def test_hdf5(tmp_path):
    rng = np.random.default_rng(0)
    base = molecule("CH4")
    positions = base.positions + rng.normal(scale=0.02, size=(4, 5, 3))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("CH4")
        group["atomic_numbers"] = base.numbers
        group["coordinates"] = positions
        group["wb97x.energy"] = np.array([-1.0, -2.0, np.nan, -4.0])
        group["forces"] = rng.normal(size=(4, 5, 3))
    data = load_dataset([Source(str(tmp_path / "a.h5"), {"energy": "wb97x.energy"}, energy_unit="hartree")])
    assert data.labels.weights["energy"].tolist() == [1, 1, 0, 1]
    assert data.labels.weights["forces"].tolist() == [1, 1, 1, 1]
    assert float(data.labels.values["energy"][3]) == pytest.approx(-4 * HARTREE_EV)
    assert data.groups == ("CH4",) * 4


def test_batches_by_index():
    frames = [labelled(n, energy=k) for k, n in enumerate(("H2O", "CO", "CH4", "H2"))]
    data = from_frames(frames)
    some = data.select([2, 0])
    assert some.systems.atoms_per_system.tolist() == [5, 3]
    np.testing.assert_allclose(some.labels.values["forces"][5:], frames[0].get_forces())
    assert some.labels.values["energy"].tolist() == [2.0, 0.0]
    assert data.composition[2].tolist() == [4, 1, 0]


def test_split_holds_out_a_part_of_every_group():
    data = load_dataset([DATA / "mlearn_si" / "train_sample.extxyz"])
    train, valid = split(data, 0.25, seed=3)
    assert sorted(train.origins + valid.origins) == sorted(data.origins)
    assert len(valid) == 2
    again = split(data, 0.25, seed=3)[1]
    assert again.origins == valid.origins
    with pytest.raises(InputError, match="fraction"):
        split(data, 1.5, seed=0)


def test_reference_energies_of_several_levels():
    atoms = {1: -13.0, 6: -1030.0, 8: -2040.0}
    frames, shifted = [], []
    for k, name in enumerate(("H2O", "CO", "CH4", "H2", "C2H2")):
        f = labelled(name, seed=k)
        f.calc.results["energy"] = sum(atoms[z] for z in f.numbers)
        frames.append(f)
        g = labelled(name, seed=k)
        g.calc.results["energy"] = sum(0.5 * atoms[z] + 1.0 for z in g.numbers)
        shifted.append(g)
    data = from_frames(frames + shifted)
    data = type(data)(data.systems, data.labels, data.groups, data.origins, ("a",) * 5 + ("b",) * 5)
    found = fit_zeros(data, data.labels.values["energy"])
    assert found["a"] == pytest.approx(atoms)
    assert found["b"] == pytest.approx({z: 0.5 * e + 1.0 for z, e in atoms.items()})
    common = to_common_zero(data, found, found["a"])
    np.testing.assert_allclose(common.labels.values["energy"][5:], data.labels.values["energy"][:5])


def test_zeros_weigh_structures_by_one_over_their_size():
    """Of H2 at −1 eV an atom and H4 at −2 eV an atom: Σ E / Σ N."""
    frames = [Atoms("H2", [[0, 0, 0], [0, 0, 0.8]]), Atoms("H4", [[0, 0, k] for k in range(4)])]
    for frame, energy in zip(frames, (-2.0, -8.0), strict=True):
        frame.calc = SinglePointCalculator(frame, energy=energy)
    data = from_frames(frames)
    (found,) = fit_zeros(data, data.labels.values["energy"]).values()
    assert found == pytest.approx({1: -10 / 6})


def _bad(change, tmp_path, frame=1):
    frames = [labelled(seed=k) for k in range(3)]
    change(frames[frame])
    write(tmp_path / "bad.extxyz", frames)
    return [tmp_path / "bad.extxyz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: a.calc.results["forces"].__setitem__((2, 1), np.nan),
            r"frame 1: forces of atom 2 \(H\) must be",
        ),
        (lambda a: a.calc.results.update(energy=np.inf), r"frame 1: energy must be finite; got inf"),
        (
            lambda a: a.positions.__setitem__((0, 0), np.nan),
            r"frame 1: atom 0 \(O\): coordinates must be finite",
        ),
        (lambda a: a.positions.__setitem__(1, a.positions[2]), r"frame 1: .*on one spot"),
        (lambda a: a.info.update(weight=-1.0), r"frame 1: weight must be a number from 0"),
        (lambda a: a.info.update(stress=np.ones(9)), r"frame 1: a stress is given but the cell"),
        (lambda a: a.info.update(dipole=np.ones(2)), r"frame 1: dipole must have shape \[3\]; got \[2\]"),
    ],
)
def test_bad_frames_are_named(change, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(_bad(change, tmp_path))
    assert "bad.extxyz" in str(caught.value)


def test_inconsistent_cells(tmp_path):
    good = bulk("Si")
    good.info["energy"] = -10.0
    file = tmp_path / "cell.extxyz"
    write(file, [good, good])
    text = file.read_text().splitlines()
    flat = 'Lattice="0 2.7 2.7 0 2.7 2.7 2.7 2.7 0" pbc="T T T" Properties=species:S:1:pos:R:3 energy=1'
    rest = [line.replace(line, flat) if line.startswith("Lattice") and k > 3 else line for k, line in enumerate(text)]
    file.write_text("\n".join(rest) + "\n")
    with pytest.raises(InputError, match=r"cell.extxyz, frame 1: .*(volume|dependent|lattice vector)"):
        load_dataset([file])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.xyz: no such file"):
        load_dataset([tmp_path / "nowhere.xyz"])
    (tmp_path / "broken.xyz").write_text("3\nProperties=species:S:1:pos:R:3\nH 0 0 0\n")
    with pytest.raises(InputError, match=r"broken.xyz, frame 0: line 3: expected a structure of 3 atoms; got 1"):
        load_dataset([tmp_path / "broken.xyz"])
    (tmp_path / "broken.h5").write_text("not HDF5")
    with pytest.raises(InputError, match=r"broken.h5: cannot be read as HDF5"):
        load_dataset([tmp_path / "broken.h5"])
    with pytest.raises(InputError, match="energy_unit must be one of"):
        Source("a.xyz", energy_unit="rydberg")
    with pytest.raises(InputError, match="keys must name labels"):
        Source("a.xyz", keys={"enrgy": "x"})
    write(tmp_path / "water.xyz", molecule("H2O"))
    with pytest.raises(InputError, match=r"water.xyz: no structure has 'q', named as its charges"):
        load_dataset([Source(str(tmp_path / "water.xyz"), keys={"charges": "q"})])


def trajectory(energy=1.0, force=1.0, length=1.0):
    """Successive water geometries in a harmonic well, labels multiplied by unit factors."""
    rng = np.random.default_rng(5)
    base, x, frames = molecule("H2O"), np.zeros((3, 3)), []
    for _ in range(12):
        x = x + rng.normal(scale=0.03, size=(3, 3))
        atoms = base.copy()
        atoms.positions += x
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(energy * (10.0 * (x * x).sum() - 14.0)), forces=-20.0 * x * force
        )
        atoms.positions *= length
        frames.append(atoms)
    return from_frames(frames, "water.xyz")


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ({"length": 1 / BOHR_ANGSTROM}, "positions in bohr"),
        ({"energy": 1 / HARTREE_EV}, "energies in hartree"),
        ({"force": BOHR_ANGSTROM / HARTREE_EV}, "forces in hartree/bohr"),
        ({"force": 23.06}, "forces in kcal/mol"),
        ({"force": -1.0}, "gradients instead of forces"),
    ],
)
def test_suspected_units(factors, words):
    with pytest.warns(UnitsWarning, match=f"water.xyz.*{words}"):
        assert check_dataset(trajectory(**factors))


def test_total_energies_in_hartree_are_suspected():
    atoms = molecule("CH3OH")
    atoms.info["energy"] = -115.7
    with pytest.warns(UnitsWarning, match="all electrons in hartree"):
        check_dataset(from_frames([atoms]))


def test_stress_in_gpa_is_suspected():
    cell = bulk("Si", cubic=True)
    cell.info.update(energy=-43.0, stress=np.diag([5.0, 5.0, 5.0]).ravel())
    with pytest.warns(UnitsWarning, match="GPa"):
        check_dataset(from_frames([cell]))


def test_good_data_raise_no_doubt():
    assert check_dataset(trajectory()) == []
    for name in ("mlearn_si/train_sample.extxyz", "acac/train_sample.extxyz"):
        assert check_dataset(load_dataset([DATA / name])) == []


def test_empty_list():
    with pytest.raises(InputError, match="at least one structure"):
        load_dataset([])
    assert Atoms("H").info == {}
    assert torch.is_tensor(trajectory().composition)


@pytest.mark.parametrize("suffix", ["json", "db"])
def test_charges_of_a_database_are_those_it_was_written_with(suffix: str, tmp_path: Path) -> None:
    """ASE shows a row's pair ``charge`` as the sum of its initial charges."""
    with connect(tmp_path / f"a.{suffix}") as database:
        for charge in (-1, 1):
            database.write(Atoms("OH", [[0, 0, 0], [0, 0, 0.96]]), charge=charge)
    assert load_dataset([tmp_path / f"a.{suffix}"]).systems.charge.tolist() == [-1, 1]
