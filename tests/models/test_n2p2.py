"""n2p2's format: the program's own energies and forces, activation functions, writing and reading back."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import pytest
import torch
from nnp_models import DATA, make_nnp

from nddo_ml import InputError, Systems
from nddo_ml.derivatives import gradient
from nddo_ml.models.n2p2 import ACTIVATION_OF_CODE, network_shape
from nddo_ml.models.n2p2_settings import read_settings
from nddo_ml.models.nnp import NNP
from nddo_ml.networks import ACTIVATIONS, ElementNetworks, FeedForward, NetworkShape
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

MODEL = DATA / "mlearn_si" / "n2p2_model"
REFERENCE = json.loads((DATA / "mlearn_si" / "n2p2_reference.json").read_text())["results"]


@pytest.mark.parametrize("entry", REFERENCE, ids=[r["group"] for r in REFERENCE])
def test_energies_and_forces_of_n2p2(silicon, silicon_frames, entry):
    systems = Systems.from_ase(silicon_frames[entry["frame"]])
    result = silicon(systems, forces=True)
    assert float(result.energy) / HARTREE_EV == pytest.approx(entry["energy_hartree"], abs=1e-8)
    expected = torch.tensor(entry["forces_hartree_per_bohr"], dtype=torch.float64)
    forces = result.forces + _slope_along_own_images(silicon, systems)
    torch.testing.assert_close(forces * BOHR_ANGSTROM / HARTREE_EV, expected, atol=2e-9, rtol=0)


def _slope_along_own_images(model, systems):
    """Σ ∂E/∂r_ii' over the pairs of an atom with its own images.

    In a cell narrower than the cut-off n2p2 leaves out that an atom's images move with it, so that its forces
    are not the derivatives of its energy (which equals ours). The term is zero in wider cells.
    """
    from bp_descriptors import neighbor_list, pair_vectors

    pairs = neighbor_list(systems.positions, model.cutoff, systems.system_idx, systems.cell, systems.pbc)
    vectors = pair_vectors(systems.positions, pairs, systems.system_idx, systems.cell).requires_grad_()
    scaled = model.scaler(model.functions(systems.numbers, vectors, pairs), systems.numbers)
    (slope,) = gradient(model.of_atoms(scaled, systems).energies, [vectors])
    own = pairs.i == pairs.j
    return torch.zeros_like(systems.positions).index_add(0, pairs.i[own], slope[own])


def test_written_potential_reads_back(silicon, silicon_frames, tmp_path):
    silicon.to_n2p2(tmp_path / "copy")
    again = NNP.from_n2p2(tmp_path / "copy")
    systems = Systems.from_ase(silicon_frames[1])
    a, b = silicon(systems, forces=True), again(systems, forces=True)
    torch.testing.assert_close(a.energy, b.energy, atol=1e-9, rtol=0)
    torch.testing.assert_close(a.forces, b.forces, atol=1e-8, rtol=0)


def test_own_potential_through_n2p2_files(silicon_frames, tmp_path):
    model = make_nnp(("Si",), frames=silicon_frames[1:2], hidden=(5,), seed=4)
    wide = [f for f in model.functions.functions["Si"] if f.kind in ("G2", "G5")]
    assert wide
    systems = Systems.from_ase(silicon_frames[1])
    for length, energy in (("bohr", "hartree"), ("angstrom", "eV")):
        folder = tmp_path / length
        model.to_n2p2(folder, length, energy)
        again = NNP.from_n2p2(folder, length, energy)
        torch.testing.assert_close(again(systems).energy, model(systems).energy, atol=1e-9, rtol=0)


def test_committee_is_written_as_folders(silicon_frames, tmp_path):
    make_nnp(("Si",), frames=silicon_frames[1:2], members=2).to_n2p2(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"member_1", "member_2"}


def test_normalised_units(silicon, silicon_frames, tmp_path):
    """mean_energy and conv_energy: E = N·mean + E_network / conv, atom energies on top."""
    silicon.to_n2p2(tmp_path)
    text = (tmp_path / "input.nn").read_text()
    (tmp_path / "input.nn").write_text("mean_energy -0.25\nconv_energy 4.0\nconv_length 3.0\n" + text)
    systems = Systems.from_ase(silicon_frames[1])
    plain = silicon(systems).atomic_energies / HARTREE_EV
    scaled = NNP.from_n2p2(tmp_path)(systems).atomic_energies / HARTREE_EV
    torch.testing.assert_close(scaled, (plain + 0.79) / 4.0 - 0.79 - 0.25, atol=1e-9, rtol=0)


@pytest.mark.parametrize("code", ACTIVATION_OF_CODE)
def test_activation_functions(code):
    """Values at x = 0.3 from n2p2's documentation of the functions."""
    e = 2.718281828459045
    expected = {
        "l": 0.3,
        "t": 0.2913126124515909,
        "s": 1 / (1 + e**-0.3),
        "p": 0.8543552444685273,
        "r": 0.3,
        "g": e ** (-0.045),
        "c": 0.955336489125606,
        "S": 1 - 1 / (1 + e**-0.3),
        "e": e**-0.3,
        "h": 0.09,
    }
    value = ACTIVATIONS[ACTIVATION_OF_CODE[code]](torch.tensor(0.3, dtype=torch.float64))
    assert float(value) == pytest.approx(expected[code], rel=1e-12)


def test_normalised_nodes():
    shape = NetworkShape(2, (3,), ("tanh", "linear"), normalize_nodes=True)
    network = FeedForward(shape)
    with torch.no_grad():
        for p in network.parameters():
            p.fill_(0.5)
    hidden = torch.tanh(torch.tensor((0.5 + 0.5 * (1.0 + 2.0)) / 2, dtype=torch.float64))
    value = network(torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    assert float(value.detach()) == pytest.approx(float((0.5 + 3 * 0.5 * hidden) / 3))


def test_networks_of_their_own_by_element(tmp_path):
    (tmp_path / "input.nn").write_text(
        "number_of_elements 2\nelements O H  # any order\natom_energy O -75.0\n"
        "global_hidden_layers_short 2\nglobal_nodes_short 20 15\nglobal_activation_short t p l\n"
        "element_hidden_layers_short O 1\nelement_nodes_short O 7\nelement_activation_short O s l\n"
    )
    settings = read_settings(tmp_path / "input.nn")
    assert settings.elements == (1, 8)
    assert settings.atom_energy == {1: 0.0, 8: -75.0}
    assert network_shape(settings, 1, 4) == NetworkShape(4, (20, 15), ("tanh", "softplus", "linear"))
    assert network_shape(settings, 8, 5) == NetworkShape(5, (7,), ("logistic", "linear"))


def test_weights_in_the_files_order(tmp_path):
    model = make_nnp(("H", "O"), hidden=(2,))
    for z in (1, 8):
        with torch.no_grad():
            for layer in model.members[0].of(z).layers:
                n_out, n_in = layer.weight.shape
                layer.weight.copy_(torch.arange(n_in * n_out, dtype=torch.float64).reshape(n_in, n_out).T + z)
                layer.bias.fill_(100.0 + z)
    model.energy_scale.fill_(HARTREE_EV)
    model.to_n2p2(tmp_path)
    values = [float(line.split()[0]) for line in (tmp_path / "weights.008.data").read_text().splitlines()]
    n = model.functions.features_of(8)
    assert values == [*(8.0 + k for k in range(2 * n)), 108.0, 108.0, 8.0, 9.0, 108.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: (d / "input.nn").unlink(), r"input.nn: expected n2p2's input.nn"),
        (lambda d: (d / "scaling.data").unlink(), r"scaling.data: input.nn asks for scaled"),
        (lambda d: (d / "weights.014.data").unlink(), r"weights.014.data: expected a weights file"),
        (
            lambda d: (d / "weights.014.data").write_text("1.0\n2.0\n"),
            r"expected 1297 weights .*27-24-24-1; got 2",
        ),
        (
            lambda d: (d / "weights.014.data").write_text("1.0\nx\n"),
            r"line 2: expected a number first; got 'x'",
        ),
        (
            lambda d: (d / "weights.014.data").write_text("1.0\n1_0\n"),
            r"line 2: expected a number first; got '1_0'",
        ),
        (lambda d: _append(d, "nnp_type 3G-HDNNP"), r"second and fourth generation can be read; got '3G-HDNNP'"),
        (lambda d: _append(d, "nnp_type 4G-HDNNP"), r"expected global_hidden_layers_electrostatic"),
        (
            lambda d: _append(d, "element_activation_short Si t q l"),
            r"activation must be one of .* got 'q' for Si",
        ),
    ],
)
def test_bad_files(change, message, tmp_path):
    for file in MODEL.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    change(tmp_path)
    with pytest.raises(InputError, match=message):
        NNP.from_n2p2(tmp_path)


def _append(folder, line):
    path = folder / "input.nn"
    path.write_text(path.read_text() + line + "\n")


def test_unknown_units():
    with pytest.raises(InputError, match="energy_unit"):
        NNP.from_n2p2(MODEL, energy_unit="rydberg")
    with pytest.raises(InputError, match="length unit"):
        NNP.from_n2p2(MODEL, length_unit="nm")


def test_element_networks_take_an_elements_own_features():
    shapes = {1: NetworkShape.uniform(2, (3,)), 8: NetworkShape.uniform(4, (3,))}
    networks = ElementNetworks(shapes, seed=0)
    features = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    numbers = torch.tensor([8, 1, 8, 1, 1])
    out = networks(features, numbers)
    torch.testing.assert_close(out[1], networks.of(1)(features[1:2, :2])[0])
    torch.testing.assert_close(out[2], networks.of(8)(features[2:3])[0])


def test_elements_with_sets_of_their_own(tmp_path):
    """Water with fewer functions on H than on O, hidden layers of each element's own; read as RuNNer writes."""
    (tmp_path / "input.nn").write_text(
        """
        elements O H
        atom_energy H -0.45
        atom_energy O -74.9
        cutoff_type 2
        center_symmetry_functions
        scale_symmetry_functions
        global_hidden_layers_short 2
        global_nodes_short 3 2
        global_activation_short p p l
        element_nodes_short O 1 4
        symfunction_short O 2 H 0.09 0.0 9.0
        symfunction_short H 2 H 0.01 0.0 9.0
        symfunction_short H 3 O H 0.07 -1.0 4.0 9.0
        symfunction_short O 3 H H 0.07 1.0 1.0 9.0
        symfunction_short O 2 O 0.001 0.0 9.0
        symfunction_short H 2 O 0.001 0.0 9.0
        symfunction_short O 9 H O 0.05 -1.0 1.0 9.0
        """
    )
    rows = [(1, 3), (2, 4)]
    (tmp_path / "scaling.data").write_text(
        "\n".join(f"{e} {f + 1} {0.1 * f} {2.0 + f} {0.5 + f} 0.3" for e, n in rows for f in range(n)) + "\n-1.0 2.0\n"
    )
    for z, widths in ((1, (3, 3, 2, 1)), (8, (4, 4, 2, 1))):
        n = sum((a + 1) * b for a, b in pairwise(widths))
        values = torch.linspace(-1, 1, n, dtype=torch.float64).tolist()
        (tmp_path / f"weights.{z:03d}.data").write_text("\n".join(f"{v:.17g}" for v in values))
    model = NNP.from_n2p2(tmp_path)
    assert model.functions.features_of(1) == 3
    assert model.functions.features_of(8) == 4
    assert model.members[0].of(8).shape.hidden == (4, 2)
    from ase.build import molecule

    systems = Systems.from_ase([molecule("H2O"), molecule("H2O2")])
    g = model.functions.describe(systems.to_ase())
    low, high, mean = model.scaler.low, model.scaler.high, model.scaler.mean
    element = (systems.numbers == 8).long()
    scaled = (g - mean[element]) / (high - low)[element].clamp(min=1e-30)
    scaled[systems.numbers == 1, 3:] = 0
    expected = model.members[0](scaled, systems.numbers).squeeze(1).detach() * HARTREE_EV
    expected = expected + torch.tensor([-0.45, -74.9], dtype=torch.float64)[element] * HARTREE_EV
    torch.testing.assert_close(model(systems).atomic_energies, expected, atol=1e-9, rtol=0)
    model.to_n2p2(tmp_path / "copy")
    torch.testing.assert_close(NNP.from_n2p2(tmp_path / "copy")(systems).energy, model(systems).energy)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("atom_energy                     Si", "atom_energy Si inf #", "finite number after atom_energy"),
        ("atom_energy                     Si", "atom_energy Ge -1.0\natom_energy Si", "Ge, which is not one of"),
        ("atom_energy                     Si", "atom_energy Si -1.0\natom_energy Si", "atom_energy Si stands twice"),
        ("global_nodes_short ", "global_nodes_short 1000000000 10 #", "whole number up to 10000 after nodes_short"),
        ("global_nodes_short ", "global_nodes_short 24 24.5 #", "whole number up to 10000 after nodes_short"),
        ("number_of_elements              1", "number_of_elements 2", "number_of_elements is 2, but elements names 1"),
        ("elements                        Si", "elements Si Si", r"(each element once|elements names|stands twice)"),
        ("global_hidden_layers_short      2", "global_hidden_layers_short 3000", "0 to 20 hidden layers; got 3000"),
        ("global_hidden_layers_short      2", "global_hidden_layers_short 1", "expected 1 values of nodes_short"),
        ("scale_min_short                 0.0", "scale_min_short nan", "finite number after scale_min_short"),
        ("scale_min_short                 0.0", "scale_min_short 0\nscale_min_short 1", "scale_min_short stands twice"),
        ("cutoff_type ", "conv_energy 0.0\ncutoff_type ", "conv_energy must not be zero"),
    ],
)
def test_entries_that_are_infinite_or_contradict(old, new, message, tmp_path):
    shutil.copytree(DATA / "mlearn_si" / "n2p2_model", tmp_path / "n")
    text = (tmp_path / "n" / "input.nn").read_text()
    assert old in text
    (tmp_path / "n" / "input.nn").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        NNP.from_n2p2(tmp_path / "n")


def test_scaling_that_contradicts(tmp_path):
    shutil.copytree(DATA / "mlearn_si" / "n2p2_model", tmp_path / "n")
    file = tmp_path / "n" / "scaling.data"
    lines = file.read_text().splitlines()
    at = next(k for k, line in enumerate(lines) if line.split()[:2] == ["1", "1"])
    for k, value in ((2, "inf"), (2, "1e9"), (5, "-1.0")):
        words = lines[at].split()
        words[k] = value
        file.write_text("\n".join([*lines[:at], " ".join(words), *lines[at + 1 :]]))
        with pytest.raises(InputError, match=r"scaling.data, line .*finite numbers, the lower limit first"):
            NNP.from_n2p2(tmp_path / "n")
