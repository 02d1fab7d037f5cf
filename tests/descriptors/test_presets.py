"""Automatic sets, and n2p2's input.nn: units, order, every type, the way back, errors."""

from pathlib import Path

import pytest
import torch

from bp_descriptors import SymmetryFunctions
from bp_descriptors.presets import read_n2p2

SILICON = Path(__file__).parents[1] / "data" / "mlearn_si" / "n2p2_model" / "input.nn"
MIXED = """
elements O H  # a comment
cutoff_type 2
#symfunction_short H 2 H 99 0 12
symfunction_short O  3 O H  0.07 -1 4.0 10.0
symfunction_short O  3 H H  0.07  1 1.0 10.0
symfunction_short H  2 O    0.1   0.9 12.0
symfunction_short H  2 H    0.1   0.9 12.0
symfunction_short H  2 H    0.1   0.0 12.0
symfunction_short H  2 H    0.05  1.9 12.0
symfunction_short H  2 H    0.2   0.0 11.0
symfunction_short H  9 O O  0.01  1 2.0 12.0 0.5
symfunction_short H  13     0.02  0.3 -1 3.0 12.0
symfunction_short H  12     0.02  0.3 12.0
symfunction_short O  3 H O  0.07  1 4.0 10.0
"""


@pytest.fixture
def input_nn(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "input.nn").write_text(text)
        return tmp_path / "input.nn"

    return write


def test_silicon_set_is_in_scaling_order():
    """The order that scaling.data and the weights assume: eta, zeta, lambda; the file has lambda first."""
    functions = SymmetryFunctions.from_n2p2(SILICON).functions["Si"]
    assert len(functions) == 27
    assert [f.kind for f in functions] == ["G2"] * 3 + ["G4"] * 24
    shapes = [(f.zeta, f.lambda_) for f in functions[3:11]]
    assert shapes == [(z, s) for z in (1.0, 2.0, 4.0, 16.0) for s in (-1.0, 1.0)]
    bohr = 0.529177210903
    assert functions[0].cutoff.radius == pytest.approx(10.3934937 * bohr, rel=1e-14)
    assert functions[0].eta == pytest.approx(0.01 / bohr**2, rel=1e-14)
    assert functions[0].r_s == pytest.approx(7.5589045 * bohr, rel=1e-14)


def test_types_order_and_units(input_nn):
    sf = SymmetryFunctions.from_n2p2(input_nn(MIXED), length_unit="angstrom")
    assert sf.elements == ["H", "O"]
    assert sf.labels["H"] == [
        "G2 H-(H) eta=0.2 r_s=0 cutoff=11 tanh3",
        "G2 H-(H) eta=0.05 r_s=1.9 cutoff=12 tanh3",
        "G2 H-(H) eta=0.1 r_s=0 cutoff=12 tanh3",
        "G2 H-(H) eta=0.1 r_s=0.9 cutoff=12 tanh3",
        "G2 H-(O) eta=0.1 r_s=0.9 cutoff=12 tanh3",
        "G5 H-(O,O) eta=0.01 r_s=0.5 zeta=2 lambda=1 cutoff=12 tanh3",
        "W2 H-(*) eta=0.02 r_s=0.3 cutoff=12 tanh3",
        "W4 H-(*) eta=0.02 r_s=0.3 zeta=3 lambda=-1 cutoff=12 tanh3",
    ]
    assert sf.labels["O"] == [
        "G4 O-(H,H) eta=0.07 r_s=0 zeta=1 lambda=1 cutoff=10 tanh3",
        "G4 O-(H,O) eta=0.07 r_s=0 zeta=4 lambda=-1 cutoff=10 tanh3",
        "G4 O-(H,O) eta=0.07 r_s=0 zeta=4 lambda=1 cutoff=10 tanh3",
    ]


@pytest.mark.parametrize("unit", ["bohr", "angstrom"])
@pytest.mark.parametrize("head", ["cutoff_type 1", "cutoff_type 6 0.25", "cutoff_type 5\ncutoff_alpha 0.1"])
def test_write_and_read_again(input_nn, unit, head):
    text = MIXED.replace("cutoff_type 2", head)
    sf = SymmetryFunctions.from_n2p2(input_nn(text), unit)
    assert {f.cutoff.inner for f in sf.functions["H"]} == {0.25 if "0.25" in head else 0.1 if "alpha" in head else 0.0}
    again = SymmetryFunctions.from_n2p2(input_nn(sf.to_n2p2(unit)), unit)
    assert again.labels == sf.labels
    for one, other in zip(again.functions["H"], sf.functions["H"], strict=True):
        assert one.eta == pytest.approx(other.eta, rel=1e-14)
        assert one.cutoff.radius == pytest.approx(other.cutoff.radius, rel=1e-14)


def test_default_as_n2p2(input_nn):
    sf = SymmetryFunctions.default(["C", "H"], size="small")
    assert SymmetryFunctions.from_n2p2(input_nn(sf.to_n2p2())).labels == sf.labels


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cutoff_type 2", "cutoff_type 9", "cutoff_type must be one of"),
        ("cutoff_type 2", "cutoff_type two", "line 3: cannot read"),
        ("cutoff_type 2", "global_symfunction_short 2 0.1 0 12", "expected symfunction_short; got RuNNer's"),
        ("H  12     0.02  0.3 12.0", "H 12 0.02 0.3", "line 14: cannot read"),
        ("H  12     0.02", "H 21 0.02", "line 14: symmetry function type 21 is not supported"),
        ("O O  0.01  1 2.0", "O O 0.01 one 2.0", "line 12: cannot read"),
        ("3 O H  0.07", "3 O Hx 0.07", "line 5: cannot read"),
    ],
)
def test_bad_lines_are_named(input_nn, old, new, message):
    assert old in MIXED
    with pytest.raises(ValueError, match=message):
        read_n2p2(input_nn(MIXED.replace(old, new)))


def test_other_errors(input_nn):
    with pytest.raises(ValueError, match="found none"):
        read_n2p2(input_nn("elements H\n"))
    with pytest.raises(ValueError, match="length unit must be one of"):
        read_n2p2(SILICON, "nm")
    functions = SymmetryFunctions.default([*"HCNOFS", "Cl"], size="small")
    with pytest.raises(ValueError, match="no symmetry function of kind W5"):
        functions.to_n2p2()


@pytest.mark.parametrize("size", ["small", "medium", "large"])
def test_default_sizes(size, molecules):
    sf = SymmetryFunctions.default(["O", "H", "N", "C"], cutoff=5.0, size=size)
    documented = {"small": 112, "medium": 244, "large": 416}
    assert sf.n_features == documented[size]
    assert sf.elements == ["H", "C", "N", "O"]
    assert sf.cutoff == 5.0
    assert all(sf.features_of(z) == sf.n_features for z in (1, 6, 7, 8))
    g = sf.describe(molecules)
    assert torch.isfinite(g).all()
    assert (g.abs().amax(0) > 0).float().mean() > 0.8


def test_default_options():
    many = SymmetryFunctions.default([*"HCNOFS", "Cl"], size="small")
    assert {f.kind for f in many.functions["C"]} == {"G2", "W5"}
    resolved = SymmetryFunctions.default(["Si"], cutoff=6.0, angular_cutoff=4.0, cutoff_kind="poly2")
    assert {f.cutoff.radius for f in resolved.functions["Si"]} == {4.0, 6.0}
    assert {f.cutoff.kind for f in resolved.functions["Si"]} == {"poly2"}
    for closest, begin in ((2.1, 2.1), (3.0, 1.6 * 1.54)):  # covalent radius of molybdenum: 1.54 Å
        metal = SymmetryFunctions.default(["Mo"], cutoff=6.0, closest=closest)
        assert min(f.r_s for f in metal.functions["Mo"]) == pytest.approx(begin, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "list of element symbols"),
        (("HC",), "list of element symbols"),
        ((["Q"],), "expected element symbols"),
        ((["C"], 1.0), "must exceed 1.46 Å"),
    ],
)
def test_default_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        SymmetryFunctions.default(*arguments)
    with pytest.raises(ValueError, match="size must be one of"):
        SymmetryFunctions.default(["C"], size="huge")
    with pytest.raises(ValueError, match="closest must be a positive distance"):
        SymmetryFunctions.default(["C"], closest=0.0)
