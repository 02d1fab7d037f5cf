"""Pictures of an evaluation, and the report of a training as one page that needs nothing else."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from fake_model import MorseModel
from matplotlib.figure import Figure

from nddo_ml import Systems
from nddo_ml.datasets.dataset import from_frames
from nddo_ml.evaluation.figures import diagonal, few_ticks, parity
from nddo_ml.evaluation.report import Part, write_report
from nddo_ml.evaluation.tables import tabulate


@pytest.fixture(scope="module")
def data():
    """Displaced molecules of two groups with labels of a model's own, forces wrong by 0.1 eV/Å on oxygen."""
    rng = np.random.default_rng(3)
    frames = []
    for k, name in enumerate(("H2O", "CH3OH", "H2O", "CH3OH")):
        atoms = molecule(name)
        atoms.positions += rng.normal(scale=0.05, size=(len(atoms), 3))
        prediction = MorseModel()(Systems.from_ase(atoms), forces=True)
        forces = prediction.forces.numpy() + 0.1 * (atoms.numbers == 8)[:, None]
        atoms.calc = SinglePointCalculator(atoms, energy=float(prediction.energy[0]) + 0.01 * k, forces=forces)
        atoms.info["group"] = f"group <{k % 2}>"
        frames.append(atoms)
    return from_frames(frames, "a/folder/set.xyz")


@pytest.fixture(scope="module")
def part(data):
    return Part(data, tabulate(MorseModel(), data))


LOG = [
    {"epoch": k, "phase": 0, "optimizer": "adam", "train_loss": 1 / k, "valid_loss": 2 / k, "seconds": 0.5 * k}
    | {"valid_mae": {"energy": 0.1 / k, "forces": 0.2 / k}, "best_epoch": k}
    for k in range(1, 6)
]


class Sources(HTMLParser):
    """What a page loads, and its text."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.links, self.text, self.tags = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "src":
                self.loaded.append(value)
            elif name == "href":
                self.links.append(value)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page(part, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    configuration = {"seed": 1, "data": {"train": ["a <file>.xyz"]}}
    write_report(path, MorseModel(), {"train": part, "test": part}, {"member_1": LOG, "member_2": LOG}, configuration)
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(page):
    found = Sources(page)
    assert len(found.loaded) == 3
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in found.loaded)
    assert all(link.startswith("#") for link in found.links)
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert not re.search(r"url\(|@import", page)
    for anchor in found.links:
        assert f'id="{anchor[1:]}"' in page


def test_the_page_says_errors_by_label_group_and_element(page, part):
    text = Sources(page).text
    assert "group <0>" in text  # escaped in the page, not taken for a tag
    assert "a <file>.xyz" in text
    assert "set.xyz, " in text
    assert "a/folder" not in text
    assert "not known" not in text
    assert f"{part.tables['forces'].errors()['mae']:.3g}" in text
    oxygen = re.search(r"<td>O</td><td>eV/Å</td><td class=\"n\">([\d.]+)</td>", page)
    hydrogen = re.search(r"<td>H</td><td>eV/Å</td><td class=\"n\">([\d.e-]+)</td>", page)
    assert float(oxygen[1]) == pytest.approx(0.1)
    assert float(hydrogen[1]) < 1e-6


def test_energies_of_a_parity_plot_are_relative_to_the_elements(part, data):
    """Two molecules of different size differ by eV an atom; what is plotted spans no more than the displacements."""
    figure = parity(part.tables, data, title="errors")
    ax = figure.axes[0]
    assert ax.get_title() == "energy per atom, relative"
    assert ax.get_xlabel() == "reference, meV/atom"
    energy = part.tables["energy_per_atom"].reference
    low, high = ax.get_xlim()
    assert high - low < 1000 * float(energy.max() - energy.min())
    assert ax.get_xlim() == ax.get_ylim()
    shown = np.concatenate([line.get_ydata() - line.get_xdata() for line in ax.lines[:2]])
    error = part.tables["energy_per_atom"].predicted - part.tables["energy_per_atom"].reference
    assert sorted(shown) == pytest.approx(sorted(1000 * error.numpy()), abs=1e-9)


def test_ticks_of_an_axis_do_not_touch():
    figure = Figure(figsize=(3, 3))
    for low, high in ((-401.3, -399.8), (0, 1e-4), (-1234567, 7654321)):
        ax = figure.add_subplot()
        diagonal(ax, np.array([low, high]), np.array([low, high]))
        few_ticks(ax, "both")
        inside = [t for t in ax.get_xticks() if low <= t <= high]
        assert 1 <= len(inside) <= 6
        figure.clear()


def test_values_that_are_missing_leave_a_plot_readable():
    ax = Figure().add_subplot()
    diagonal(ax, np.array([np.nan, 1.0]), np.array([np.nan, 3.0]))
    assert ax.get_xlim()[0] < 1 < 3 < ax.get_xlim()[1]
    diagonal(ax, np.array([np.nan]), np.array([np.nan]))
    assert torch.isfinite(torch.tensor(ax.get_xlim())).all()
