"""sp, sp² and sp³ carbons from few functions, and what a hybrid's learned parameters have to do with them."""

from __future__ import annotations

import numpy as np
import torch
from ase import Atoms
from ase.io import read
from torch import Tensor

from benchmarks.molecules import qm9
from benchmarks.studies.frame.study import ROOT, Claim, Findings, Molecule, Study, Table, Work
from bp_descriptors import Cutoff, Function, SymmetryFunctions
from bp_descriptors.selection import Selection, select_functions
from nddo_ml import NDDO, Systems, load_model
from nddo_ml.evaluation.figures import COLOURS, new_figure, save_figure

SAMPLE = ROOT / "examples" / "studies" / "qm9_sample.extxyz"
CLASSES = ("sp", "sp2", "sp3")
ANGLE = {"sp": 180.0, "sp2": 120.0, "sp3": 109.47}
# bonds of each class, Å: one of the sets is drawn for every environment
BONDS = {
    "sp": ((1.20, 1.06), (1.20, 1.46), (1.31, 1.31)),
    "sp2": ((1.33, 1.08, 1.08), (1.34, 1.50, 1.08), (1.40, 1.40, 1.08), (1.21, 1.50, 1.11), (1.40, 1.40, 1.50)),
    "sp3": ((1.54, 1.09, 1.09, 1.09), (1.54, 1.54, 1.09, 1.09), (1.43, 1.09, 1.09, 1.09), (1.54, 1.54, 1.54, 1.09)),
}
DIRECTIONS = {
    "sp": [[0, 0, 1], [0, 0, -1]],
    "sp2": [[1, 0, 0], [-0.5, 0.75**0.5, 0], [-0.5, -(0.75**0.5), 0]],
    "sp3": (np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5).tolist(),
}


def functions() -> SymmetryFunctions:
    """Element-blind candidates: 16 radial, 30 angular."""
    made = [
        Function("C", "S2", Cutoff(radius), (), eta, r_s)
        for radius in (2.2, 4.0)
        for eta, r_s in (
            (0.0, 0.0),
            (0.5, 0.0),
            (1.0, 0.0),
            (2.0, 0.0),
            (4.0, 1.1),
            (4.0, 1.4),
            (4.0, 1.7),
            (16.0, 1.1),
        )
    ]
    made += [
        Function("C", "S5", Cutoff(radius), (), eta, zeta=zeta, lambda_=lambda_)
        for radius, eta in ((2.2, 0.0), (2.2, 0.5), (4.0, 0.5))
        for zeta in (1.0, 2.0, 4.0, 8.0, 16.0)
        for lambda_ in (-1.0, 1.0)
    ]
    return SymmetryFunctions(made, elements=["H", "C", "N", "O", "F"])


def ideal_environments(
    count: int, noise: float, neighbors: int | None = None, seed: int = 0
) -> tuple[list[Atoms], list[str]]:
    """``count`` environments of each class, every atom moved by Gaussians of ``noise`` Å; the carbon stands first.

    With ``neighbors`` so many of them are there in every class, so that counting them tells nothing.
    """
    rng, frames, labels = np.random.default_rng(seed), [], []
    for name in CLASSES:
        for _ in range(count):
            lengths = np.array(BONDS[name][rng.integers(len(BONDS[name]))])
            around = np.array(DIRECTIONS[name]) * rng.permutation(lengths)[:, None]
            places = np.vstack([np.zeros(3), rng.permutation(around)[:neighbors]])
            frames.append(Atoms("C" + "H" * (len(places) - 1), places + noise * rng.normal(size=places.shape)))
            labels.append(name)
    return frames, labels


def carbons(molecules: list[Atoms]) -> tuple[list[Atoms], list[str], list[int]]:
    """Molecules whose SMILES and geometry have the same bonds; class and molecule of each of their carbons (RDKit)."""
    from rdkit import Chem

    kept: list[Atoms] = []
    labels: list[str] = []
    groups: list[int] = []
    for atoms in molecules:
        mol = Chem.MolFromSmiles(atoms.info["smiles"])
        heavy = np.flatnonzero(atoms.numbers > 1)
        if mol is None or [a.GetAtomicNum() for a in mol.GetAtoms()] != atoms.numbers[heavy].tolist():
            continue
        distance = atoms.get_all_distances()[np.ix_(heavy, heavy)]
        bonded = Chem.GetAdjacencyMatrix(mol).astype(bool)
        if not np.array_equal(bonded, (distance < 1.8) & (distance > 0)):
            continue
        labels += [str(a.GetHybridization()).lower() for a in mol.GetAtoms() if a.GetAtomicNum() == 6]
        groups += [len(kept)] * int((atoms.numbers == 6).sum())
        kept.append(atoms)
    return kept, labels, groups


def shifts(model: NDDO, molecules: list[Atoms]) -> dict[str, Tensor]:
    """What the hybrid's networks add to each carbon's parameters, relative to the method's, [carbons]."""
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("U_ss", "U_pp", "zeta_s", "zeta_p", "beta_s", "beta_p", "g_ss")
    }
    for start in range(0, len(molecules), 100):
        systems = Systems.from_ase(molecules[start : start + 100])
        with torch.no_grad():
            before = model.parameters_of(systems)
            after = model.corrections.at(systems).shifted(before)
        carbon = systems.numbers == 6
        for name, parts in found.items():
            parts.append(((getattr(after, name) - getattr(before, name)) / getattr(before, name).abs())[carbon])
    return {name: torch.cat(parts) for name, parts in found.items()}


def ideal_accuracies(sf: SymmetryFunctions, count: int, noises: list[float]) -> dict[str, list[float]]:
    """By noise: one radial, one angular, two functions, with all neighbours and with two of them."""
    radial = [k for k, f in enumerate(sf.functions["C"]) if f.is_radial]
    angular = [k for k, f in enumerate(sf.functions["C"]) if not f.is_radial]
    rows: dict[str, list[float]] = {}
    for noise in noises:
        rows[str(noise)] = []
        for neighbors in (None, 2):
            frames, labels = ideal_environments(count, noise, neighbors)
            G = sf.describe(frames, centers=["C"])
            for columns, n in ((radial, 1), (angular, 1), (radial + angular, 2)):
                found = select_functions(G, labels, range(len(labels)), n, columns)
                rows[str(noise)].append(found.accuracy[-1])
    return rows


def tables(
    accuracies: dict[str, list[float]],
    selection: Selection,
    chosen: list[str],
    learned: dict[str, Tensor],
    names: np.ndarray,
) -> list[Table]:
    """Ideal environments, the selection and its mistakes on QM9, learned parameters by class."""
    return [
        Table(
            "Accuracy on ideal environments",
            (
                "noise, Å",
                *(f"{what}, {n} neighbours" for n in ("all", "two") for what in ("radial", "angular", "two functions")),
            ),
            [(noise, *values) for noise, values in accuracies.items()],
        ),
        Table(
            f"Greedy selection on {selection.confusion.sum()} carbons of QM9",
            ("function", "accuracy with it and those above"),
            list(zip(chosen, selection.accuracy, strict=True)),
        ),
        Table(
            f"Confusion with {len(selection.columns)} functions: rows are right, columns are called",
            ("", *selection.classes),
            [(c, *row) for c, row in zip(selection.classes, selection.confusion.tolist(), strict=True)],
        ),
        Table(
            "Learned shifts of hybrid-chno's carbons, mean ± deviation, % of RM1's parameter",
            ("parameter", *CLASSES),
            [
                (name, *(f"{100 * v[names == c].mean():.2f} ± {100 * v[names == c].std():.2f}" for c in CLASSES))
                for name, v in ((n, t.numpy()) for n, t in learned.items())
            ],
        ),
    ]


def run(work: Work, count: int, noises: list[float], molecules: int, most: int) -> Findings:
    sf = functions()
    accuracies = work.once("ideal", lambda: ideal_accuracies(sf, count, noises))
    drawn = read(SAMPLE, ":") if molecules == 0 else qm9(molecules)
    kept, labels, groups = carbons(drawn)
    G = sf.describe(kept, centers=["C"])
    selection = select_functions(G, labels, groups, most)
    learned = shifts(load_model("hybrid-chno"), [a for a in kept if 9 not in a.numbers])
    has_no_f = np.array([9 not in kept[g].numbers for g in groups])
    names, of = np.array(labels)[has_no_f], np.array(groups)[has_no_f]
    by_shifts = select_functions(torch.stack(list(learned.values()), 1), names.tolist(), of.tolist(), 2)
    _draw(work, sf, G, labels, selection, learned, names)
    chosen = [sf.labels["C"][k] for k in selection.columns]
    all_neighbors, two_neighbors = accuracies["0.1"][:3], accuracies["0.1"][3:]
    return Findings(
        text=_TEXT,
        claims=[
            Claim("0.1 Å noise, all neighbours: one radial function, which counts them", all_neighbors[0], ">", 0.95),
            Claim("0.1 Å noise, two neighbours: one radial function", two_neighbors[0], "<", 0.6),
            Claim(
                "0.1 Å noise, two neighbours: an angular function gains", two_neighbors[1] - two_neighbors[0], ">", 0.15
            ),
            Claim("0.1 Å noise, two neighbours: two functions", two_neighbors[2], ">", 0.7),
            Claim("QM9: one function", selection.accuracy[0], ">", 0.95),
            Claim("QM9: two functions", selection.accuracy[1], ">", 0.97),
            Claim("two learned parameters of the hybrid", by_shifts.accuracy[-1], ">", 0.8),
            Claim("always calling them sp3", max(np.unique(names, return_counts=True)[1]) / len(names), "<", 0.78),
        ],
        tables=tables(accuracies, selection, chosen, learned, names),
        figures={
            "hybridisation.png": "Left: the plane of the two functions. Middle: accuracy. Right: a learned parameter."
        },
        molecules=[Molecule.of(kept[0].info["smiles"], kept[0])],
    )


def _draw(
    work: Work,
    sf: SymmetryFunctions,
    G: Tensor,
    labels: list[str],
    selection: Selection,
    learned: dict[str, Tensor],
    names: np.ndarray,
) -> None:
    figure = new_figure(11.0, 3.4)
    plane, growth, histogram = figure.subplots(1, 3)
    first, second = selection.columns[:2]
    for name, colour in zip(CLASSES, COLOURS, strict=False):
        here = np.array(labels) == name
        plane.plot(G[here, first], G[here, second], ".", ms=2, alpha=0.5, color=colour, label=name)
        histogram.hist(100 * learned["U_pp"][names == name].numpy(), bins=40, alpha=0.5, density=True, color=colour)
    plane.set(xlabel=sf.labels["C"][first][:34], ylabel=sf.labels["C"][second][:34])
    plane.legend(frameon=False, markerscale=4)
    growth.plot(range(1, len(selection.accuracy) + 1), selection.accuracy, "o-", color=COLOURS[0])
    growth.set(xlabel="functions", ylabel="accuracy, molecules left out", title="QM9")
    histogram.set(xlabel="learned shift of U_pp, %", title="hybrid-chno")
    save_figure(figure, work.path("hybridisation.png"))


_TEXT = (
    "Hybridisation of carbon is its number of neighbours, which a single element-blind function counts, radial or "
    "angular: on ideal environments with noise and on QM9 alike. That angular functions are needed is true where "
    "counting is taken away: of two neighbours a radial function sees only lengths, which overlap, and an angular "
    "one the angle. A hybrid's learned parameters differ by class, too, and overlap: its networks learned errors "
    "of the method, which have to do with hybridisation and much else."
)
STUDY = Study(
    number=4,
    name="hybridisation",
    title="sp, sp² and sp³ from few functions",
    literature="Behler & Parrinello, Phys. Rev. Lett. 98, 146401 (2007); selection of functions: Imbalzano et al., "
    "J. Chem. Phys. 148, 241730 (2018); QM9: Ramakrishnan et al., Sci. Data 1, 140022 (2014).",
    run=run,
    full={"count": 1000, "noises": [0.02, 0.05, 0.1, 0.15, 0.2], "molecules": 2000, "most": 6},
    small={"count": 100, "noises": [0.1], "molecules": 0, "most": 3},
)
