"""Scans: coordinates and what moves with them, curves of models, relaxation, and the command."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from command import call
from nnp_models import make_nnp

from nddo_ml import NDDO, InputError, Systems, save_model
from nddo_ml.compare.scan import AlongCurve, fragments, relaxed_scan, rigid_scan, scan
from nddo_ml.workflows.coordinates import Coordinate, scan_of
from nddo_ml.workflows.fragments import bonds, connected, side_of

ETHANE = molecule("C2H6")  # C C H H H H H H; hydrogens 2–4 at atom 0, 5–7 at atom 1


def water_dimer() -> Atoms:
    first, second = molecule("H2O"), molecule("H2O")
    second.positions += [0.0, 0.3, 3.0]
    return first + second


def test_bonds_and_sides():
    assert len(bonds(ETHANE)) == 7
    assert connected(bonds(ETHANE), 3) == set(range(8))
    assert side_of(ETHANE, 0, 1) == {1, 5, 6, 7}
    assert side_of(molecule("C6H6"), 0, 1) is None
    assert side_of(water_dimer(), 0, 3) == {3, 4, 5}


@pytest.mark.parametrize(
    ("kind", "atoms", "values"),
    [("bond", (0, 1), (1.2, 5.0)), ("angle", (0, 1, 5), (80.0, 180.0)), ("torsion", (2, 0, 1, 5), (0.0, 75.0, 330.0))],
)
def test_rigid_scans_reach_their_values(kind, atoms, values):
    """Both sides keep their inner distances, and what does not move stays where it is."""
    coordinate = Coordinate(kind, atoms)
    moving = coordinate.moving(ETHANE)
    staying = [i for i in range(8) if i not in moving]
    for value, frame in zip(values, rigid_scan(ETHANE, coordinate, values), strict=True):
        assert coordinate.value(frame) == pytest.approx(value, abs=1e-5)
        assert frame.info["scan_value"] == value
        np.testing.assert_allclose(frame.positions[staying], ETHANE.positions[staying])
        for part in (moving, staying):
            before, after = ETHANE[part].get_all_distances(), frame[part].get_all_distances()
            np.testing.assert_allclose(after, before, atol=1e-9)


def test_what_moves():
    assert Coordinate("bond", (0, 1)).moving(ETHANE) == [1, 5, 6, 7]
    assert Coordinate("bond", (1, 0)).moving(ETHANE) == [0, 2, 3, 4]
    assert Coordinate("torsion", (2, 0, 1, 5)).moving(ETHANE) == [1, 5, 6, 7]
    assert Coordinate("angle", (0, 1, 5)).moving(ETHANE) == [5]
    assert Coordinate("bond", (0, 4)).moving(water_dimer()) == [3, 4, 5]


def test_an_angle_can_leave_a_line():
    bent = rigid_scan(molecule("CO2"), Coordinate("angle", (1, 0, 2)), [120.0])[0]
    assert bent.get_angle(1, 0, 2) == pytest.approx(120.0)


@pytest.mark.parametrize(
    ("kind", "atoms", "name", "message"),
    [
        ("torsion", (0, 1, 2, 3), "C6H6", "part of a ring"),
        ("bond", (0, 1), "C6H6", "part of a ring"),
        ("bond", (2, 3), "C2H6", "one molecule and have no bond"),
        ("bond", (0, 8), "C2H6", "no atom 8; expected indices from 0 to 7"),
        ("torsion", (2, 0, 1, 3), "C2H6", "different sides"),
        ("torsion", (2, 0, 1, 2), "C2H6", "4 different atoms"),
        ("torsion", (3, 0, 1, 2), "C2H2", "on a line"),
        ("bond", (0, 1, 2), "C2H6", "2 different atoms"),
        ("bend", (0, 1), "C2H6", "a coordinate is bond, angle, torsion"),
    ],
)
def test_coordinates_that_make_no_sense(kind, atoms, name, message):
    with pytest.raises(InputError, match=message):
        rigid_scan(molecule(name), Coordinate(kind, atoms), [1.0])


def test_refuses_other_zeros_and_distances():
    with pytest.raises(InputError, match="must be positive"):
        rigid_scan(ETHANE, Coordinate("bond", (0, 1)), [0.0])
    with pytest.raises(InputError, match="fragments"):
        scan([NDDO("AM1")], ETHANE, Coordinate("bond", (0, 1)), [1.5], relative_to="infinity")
    with pytest.raises(InputError, match="need a bond"):
        fragments(ETHANE, Coordinate("torsion", (2, 0, 1, 5)))
    charged = ETHANE.copy()
    charged.info["charge"] = 2
    with pytest.raises(InputError, match="neutral"):
        fragments(charged, Coordinate("bond", (0, 1)))


def test_a_bond_comes_apart_into_radicals():
    """Unrestricted, the energy far out is that of two methyl radicals; every point is the lowest solution found."""
    values = [1.5, 2.5, 4.0, 8.0, 16.0]
    curve = scan([NDDO("PM3", uhf=True)], ETHANE, Coordinate("bond", (0, 1)), values, relative_to="fragments")[0]
    relative = curve.relative("fragments")
    assert [a.info["multiplicity"] for a in fragments(ETHANE, Coordinate("bond", (0, 1)))] == [2, 2]
    assert float(relative[0]) < -2.0
    assert abs(float(relative[-1])) < 1e-3
    single = NDDO("PM3", uhf=True)(Systems.from_ase(curve.frames)).energy
    assert bool((curve.answers.energy <= single + 1e-5).all())


def test_curves_of_several_models():
    frames = [water_dimer(), molecule("CH4")]
    potential = make_nnp(("H", "C", "O"), frames, cutoff=4.0)
    curves = scan(
        [NDDO("AM1"), potential], water_dimer(), Coordinate("bond", (0, 3)), [2.8, 5.0, 20.0], relative_to="fragments"
    )
    assert [c.answers.name for c in curves] == ["AM1", "NNP"]
    far = [float(c.relative("fragments")[-1]) for c in curves]
    assert far == pytest.approx([0.0, 0.0], abs=1e-2)
    assert float(curves[1].relative("last")[1]) == pytest.approx(0.0, abs=1e-12)  # beyond the cut-off
    assert curves[1].answers.extrapolations is not None


def test_the_curve_takes_lower_solutions_from_neighbours():
    values = [1.4, 2.0, 3.0, 5.0]
    model = NDDO("AM1", uhf=True)
    frames = rigid_scan(molecule("N2"), Coordinate("bond", (0, 1)), values)
    systems = Systems.from_ase(frames)
    along = AlongCurve(model)(systems, forces=True)
    assert bool((along.energy <= model(systems).energy + 1e-5).all())
    assert along.forces.shape == (8, 3)
    assert AlongCurve(model)(Systems.from_ase(frames[0])).energy.shape == (1,)


def test_relaxed_torsion():
    coordinate = Coordinate("torsion", (2, 0, 1, 5))
    made = relaxed_scan(ETHANE, coordinate, [60.0, 0.0], NDDO("AM1"), fmax=0.02)
    assert made.relaxed == [True, True]
    assert [coordinate.value(a) % 360 for a in made.frames] == pytest.approx([60.0, 0.0], abs=1e-3)
    energy = NDDO("AM1")(Systems.from_ase(made.frames)).energy
    barrier = float(energy[1] - energy[0]) * 23.06
    assert 0.8 < barrier < 2.0  # AM1's barrier of ethane is 1.3 kcal/mol
    unrelaxed = relaxed_scan(ETHANE, coordinate, [0.0], NDDO("AM1"), fmax=1e-4, max_steps=1)
    assert unrelaxed.relaxed == [False]


def test_scan_of_frames():
    frames = rigid_scan(ETHANE, Coordinate("bond", (0, 1)), [1.5, 1.6])
    assert scan_of(frames) == ("bond 0–1, Å", [1.5, 1.6])
    assert scan_of(frames[:1]) is None
    assert scan_of([*frames, ETHANE]) is None


def test_labels_do_not_follow_the_atoms():
    atoms = ETHANE.copy()
    atoms.info.update(energy=-3.0, charge=0, multiplicity=1)
    frame = rigid_scan(atoms, Coordinate("bond", (0, 1)), [2.0])[0]
    assert set(frame.info) == {"charge", "multiplicity", "scan_coordinate", "scan_value"}


def test_command(tmp_path, capsys):
    write(tmp_path / "e.xyz", ETHANE)
    save_model(make_nnp(frames=[ETHANE, molecule("CH3OH")]), tmp_path / "p.pt")
    outputs = ["--json", "-", "--output", tmp_path / "s.xyz", "--figure", tmp_path / "s.png"]
    arguments = ["--torsion", 2, 0, 1, 5, "--from", 60, "--to", 0, "--steps", 3, "-m", "AM1", "-m", tmp_path / "p.pt"]
    assert call("scan", tmp_path / "e.xyz", *arguments, *outputs) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"] == [60.0, 30.0, 0.0]
    assert found["atoms"] == [2, 0, 1, 5]
    assert found["models"][0]["relative_energy_kcal_mol"][0] == 0.0
    assert found["models"][0]["extrapolates"] is None
    assert isinstance(found["models"][1]["extrapolates"], list)
    frames = read(tmp_path / "s.xyz", ":")
    assert [a.info["energy_AM1"] for a in frames] == pytest.approx(found["models"][0]["energy_eV"])
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    assert call("compare", tmp_path / "s.xyz", "-m", "AM1", "--figures", tmp_path / "f") == 0
    assert (tmp_path / "f" / "curve.png").is_file()
    assert "relative to the first frame" in capsys.readouterr().out


def test_command_relaxed(tmp_path, capsys):
    write(tmp_path / "w.xyz", molecule("H2O"))
    arguments = ["--angle", 1, 0, 2, "--from", 100, "--to", 110, "--steps", 2, "--relaxed"]
    assert call("scan", tmp_path / "w.xyz", *arguments, "-m", "AM1", "-m", "PM3", "--output", tmp_path / "s.xyz") == 0
    frames = read(tmp_path / "s.xyz", ":")
    assert [("energy_AM1" in a.info, "energy_PM3" in a.info) for a in frames] == [(True, False)] * 2 + [
        (False, True)
    ] * 2
    assert frames[0].get_angle(1, 0, 2) == pytest.approx(100, abs=1e-3)
    assert call("scan", tmp_path / "w.xyz", *arguments, "-m", "AM1", "--fmax", "1e-5", "--max-steps", 1) == 1
    assert "not relaxed" in capsys.readouterr().err


def test_command_refuses(tmp_path, capsys):
    write(tmp_path / "b.xyz", molecule("C6H6"))
    scan_range = ["--from", 0, "--to", 90, "--steps", 2, "-m", "AM1"]
    assert call("scan", tmp_path / "b.xyz", "--torsion", 0, 1, 2, 3, *scan_range) == 2
    assert "part of a ring" in capsys.readouterr().err
    assert call("scan", tmp_path / "b.xyz", *scan_range) == 2
    assert "expected one of --bond, --angle, --torsion" in capsys.readouterr().err
