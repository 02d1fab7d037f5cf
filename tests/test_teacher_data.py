"""The shipped labels of teacher networks, and how they are packed and unpacked."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

ROOT = Path(__file__).parent.parent
DATA = ROOT / "recipes" / "data" / "teacher_labels.npz.xz"


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"teachers_{name}", ROOT / "recipes" / "teachers" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def block() -> dict[str, np.ndarray]:
    """Two molecules, three structures, two of which have a second label, as run.py writes them."""
    water, methanol = molecule("H2O"), molecule("CH3OH")
    torn = water.copy()
    torn.positions[1] *= 4.0
    frames = [water, methanol, torn]
    atoms = np.array([len(a) for a in frames], dtype=np.int16)
    rng = np.random.default_rng(0)
    return {
        "smiles": np.array(["O", "CO"]),
        "molecule": np.array([0, 1, 0], dtype=np.int16),
        "kind": np.array(["conf", "scan", "disp"]),
        "charge": np.zeros(3, dtype=np.int8),
        "atoms": atoms,
        "numbers": np.concatenate([a.numbers for a in frames]).astype(np.uint8),
        "positions": np.round(np.concatenate([a.positions for a in frames]) * 1000).astype(np.int32),
        "energy": np.array([-1.0, -2.0, -3.0]),
        "energy_spread": np.array([0.1, 0.2, 0.3], dtype=np.float32),
        "forces_spread": np.zeros(3, dtype=np.float32),
        "forces": rng.integers(-30000, 30000, (int(atoms.sum()), 3)).astype(np.int32),
        "charges": rng.integers(-5000, 5000, int(atoms.sum())).astype(np.int16),
        "second_frame": np.array([0, 1], dtype=np.int16),
        "second_energy": np.array([-10.0, -20.0]),
        "second_spread": np.array([0.01, 0.02], dtype=np.float32),
        "second_forces": rng.integers(-30000, 30000, (int(atoms[:2].sum()), 3)).astype(np.int32),
    }


def test_packed_labels_come_out_as_they_went_in(tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    pack, unpack, given = recipe("pack"), recipe("unpack"), block()
    np.testing.assert_array_equal(pack.whole(given), [True, True, False])  # of the last a hydrogen has left
    both = pack.joined([pack.chosen(given, np.array([False, True, False])), pack.chosen(given, pack.whole(given))])
    (tmp_path / "packed").write_bytes(pack.written(both))
    packed = unpack.arrays_of(tmp_path / "packed")
    frames, seconds = (unpack.structures(packed, level) for level in ("aimnet2", "aiqm2"))
    assert [a.info["smiles"] for a in frames] == ["CO", "O", "CO"]
    assert [a.info["mol"] for a in frames] == [1, 2, 3]
    assert [a.get_potential_energy() for a in frames] == [-2.0, -1.0, -2.0]
    assert [a.get_potential_energy() for a in seconds] == [-20.0, -10.0, -20.0]
    np.testing.assert_allclose(frames[1].positions, molecule("H2O").positions, atol=6e-4)
    np.testing.assert_allclose(frames[1].get_forces(), given["forces"][:3] / 1e4, atol=6e-4)
    np.testing.assert_allclose(frames[1].get_charges(), given["charges"][:3] / 1e4, atol=6e-4)
    np.testing.assert_allclose(seconds[0].get_forces(), given["second_forces"][3:] / 1e4, atol=6e-4)
    np.testing.assert_allclose(seconds[1].get_forces(), given["second_forces"][:3] / 1e4, atol=6e-4)


def test_shipped_labels_are_consistent() -> None:
    packed = recipe("unpack").arrays_of(DATA)
    ends = np.cumsum(packed["atoms"])
    assert ends[-1] == len(packed["numbers"]) == len(packed["forces"]) == len(packed["charges"])
    assert packed["atoms"][packed["second_frame"]].sum() == len(packed["second_forces"])
    starts = ends - packed["atoms"]
    net = np.add.reduceat(packed["forces"].astype(int), starts, axis=0) / 1000
    assert np.abs(net).max() < 0.05  # eV/Å, of rounding
    total = np.add.reduceat(packed["charges"].astype(int), starts) / 1000
    np.testing.assert_allclose(total, packed["charge"], atol=0.05)
    assert set(np.unique(packed["numbers"])) <= {1, 6, 7, 8, 9, 15, 16, 17, 35, 53}
    assert np.isfinite(packed["energy"]).all()


@pytest.mark.parametrize("path", sorted(DATA.parent.glob("teacher_*.npz.xz")), ids=lambda path: path.name.split(".")[0])
def test_shipped_labels_have_no_molecule_of_the_benchmarks(path: Path) -> None:
    pytest.importorskip("rdkit")
    from nddo_ml.generate.exclusion import Exclusion, skeletons_of_atoms

    lines = (ROOT / "recipes" / "teachers" / "excluded.txt").read_text().splitlines()
    excluded = Exclusion(s for s in lines if s and not s.startswith("#"))
    assert "c1ccc2[nH]ccc2c1" in excluded
    packed = recipe("unpack").arrays_of(path)
    assert [s for s in packed["smiles"] if s in excluded] == []
    if "path" in packed["kind"]:  # reactants, too
        frames = recipe("energies").unpacked(packed)
        assert [a.info["smiles"] for a in frames if not excluded.skeletons.isdisjoint(skeletons_of_atoms(a))] == []


def test_energies_are_packed_and_unpacked():
    energies = recipe("energies")
    frames = [molecule("CH3OH"), molecule("H2O"), molecule("CH3OH")]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=k)
        atoms.info = {"smiles": "O" if len(atoms) == 3 else "CO", "kind": "conf"}
        atoms.calc = SinglePointCalculator(atoms, energy=-100.0 - k)
    again = energies.unpacked(energies.packed(frames))
    assert [a.get_potential_energy() for a in again] == [-100.0, -101.0, -102.0]
    assert [a.info["group"] for a in again] == ["s0", "s1", "s0"]
    for one, other in zip(frames, again, strict=True):
        assert str(one.symbols) == str(other.symbols)
        assert np.allclose(one.get_all_distances(), other.get_all_distances(), atol=2e-4)
