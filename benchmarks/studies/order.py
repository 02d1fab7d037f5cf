"""Crystal, hot crystal, liquid and amorphous silicon: fixed symmetry functions against a learned 3-D convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.constraints import FixAtoms
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from benchmarks.studies.frame.study import ROOT, Claim, Findings, Molecule, Study, Table, Work
from bp_descriptors import SymmetryFunctions
from nddo_ml import NNP, Systems
from nddo_ml.evaluation.figures import COLOURS, new_figure, save_figure
from nddo_ml.terms.screened_repulsion import ScreenedRepulsionZBL
from nddo_ml.workflows import dynamics as md

MODEL = ROOT / "tests" / "data" / "mlearn_si" / "n2p2_model"
CLASSES = ("crystal", "hot crystal", "liquid", "amorphous")
LATTICE = 5.43  # Å
GRID = 0.68  # Å between points of the density
WIDTH = 0.5  # Å, of its Gaussians
MEAN, SPREAD = 0.1, 0.17  # of the density, which is standardised with them
CHECKED = 10  # steps between looks at the validation cells
CUBE = bulk("Si", cubic=True, a=LATTICE) * (2, 2, 2)
TURNED = make_supercell(bulk("Si", cubic=True, a=LATTICE), [[1, 1, 0], [-1, 1, 0], [0, 0, 1]]) * (2, 1, 2)  # by 45°


def potential() -> NNP:
    model = NNP.from_n2p2(MODEL)
    model.terms = (ScreenedRepulsionZBL(),)
    return model


def anneal(start: list[Atoms], stages: list[tuple[float, int]], frames: int, apart: int, seed: int) -> list[list[Any]]:
    """Positions [frames][cells][atoms] after ``stages`` (K, steps of 2 fs) in a heat bath, every ``apart`` steps."""
    model, systems, stream = potential(), Systems.from_ase(start), torch.arange(len(start))
    state, kept = None, []
    for temperature, steps in [*stages, *[(stages[-1][0], apart)] * frames]:
        motion = md.Motion(2.0, temperature, friction=5.0, seed=seed)
        state = state or md.first_state(systems, motion, stream)
        state, _ = md.run(systems, model, motion, state, stream, steps, steps)
        kept.append([x.round(decimals=4).tolist() for x in state.positions.split([len(a) for a in start])])
    return kept[len(stages) :]


def cells(work: Work, paths: int, frames: int, scale: float) -> dict[str, list[list[Atoms]]]:
    """Frames [frames][paths] of each class, and of the two crystals turned."""

    def steps(n: int) -> int:
        return max(int(scale * n), 5)

    stages = {
        "crystal": [(300.0, steps(300))],
        "hot crystal": [(1300.0, steps(500))],
        "liquid": [(6000.0, steps(300)), (2500.0, steps(500))],
        "amorphous": [(6000.0, steps(300)), (2500.0, steps(300)), (300.0, steps(800))],
    }
    made = {}
    for k, name in enumerate((*CLASSES, "crystal turned", "hot crystal turned")):
        cell = TURNED if "turned" in name else CUBE
        start = [cell] * (2 if "turned" in name else paths)
        found = work.once(
            name.replace(" ", "_"),
            lambda start=start, name=name, k=k: anneal(
                start, stages[name.removesuffix(" turned")], frames, steps(60), k
            ),
        )
        made[name] = [[Atoms(cell.symbols, x, cell=cell.cell, pbc=True) for x in frame] for frame in found]
    return made


def density(atoms: Atoms, turn: np.ndarray | None = None) -> Tensor:
    """Σ exp(−|x − R|²/2w²), standardised, on a grid over the cell [1, x, y, z], or its like in a turned crystal."""
    lengths = atoms.cell.lengths()
    shape = np.maximum(np.round(lengths / GRID).astype(int), 4)
    axes = [np.arange(n) * length / n for n, length in zip(shape, lengths, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3) - lengths / 2
    points = (points if turn is None else points @ turn) + lengths / 2
    around = atoms.copy()
    around.wrap()
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) @ around.cell.array
    places = (around.positions[None] + shifts[:, None]).reshape(-1, 3)
    near = cKDTree(points).sparse_distance_matrix(cKDTree(places), 3.5 * WIDTH, output_type="coo_matrix")
    near.data = np.exp(-0.5 * (near.data / WIDTH) ** 2)
    summed = torch.as_tensor(np.asarray(near.sum(axis=1)).reshape(1, *shape), dtype=torch.float32)
    return (summed - MEAN) / SPREAD


def pooled(frames: list[Atoms]) -> np.ndarray:
    """Mean and deviation of the atoms' symmetry functions, [cells, 2 features]."""
    sf = SymmetryFunctions.default(["Si"], 5.0, size="small")
    G = sf.describe(frames).split([len(a) for a in frames])
    return torch.stack([torch.cat([g.mean(0), g.std(0)]) for g in G]).numpy()


class Convolution(nn.Module):
    """Three periodic convolutions, the mean over the cell, four classes."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        options = {"kernel_size": 3, "padding": 1, "padding_mode": "circular"}
        layers = [nn.Conv3d(1, width, **options), nn.SiLU(), nn.Conv3d(width, width, stride=2, **options), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Conv3d(width, 2 * width, **options), nn.SiLU())
        self.head = nn.Linear(4 * width, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x).flatten(2)
        return self.head(torch.cat([y.mean(2), y.std(2)], 1))


def learn(x: Tensor, y: Tensor, check: tuple[Tensor, Tensor], steps: int, seed: int) -> Convolution:
    """A network trained on batches of cells rolled at random; step and rate are those best on the validation cells."""
    best: tuple[float, dict[str, Tensor]] = (np.inf, {})
    rng = np.random.default_rng(seed)
    for rate in (3e-3, 1e-2):
        torch.manual_seed(seed)
        model = Convolution()
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        for step in range(1, steps + 1):
            part = torch.as_tensor(rng.integers(len(x), size=16))
            rolled = torch.roll(x[part], rng.integers(0, 16, 3).tolist(), (2, 3, 4))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(rolled), y[part]).backward()
            optimizer.step()
            if step % CHECKED == 0 or step == steps:
                with torch.no_grad():
                    loss = float(nn.functional.cross_entropy(model(check[0]), check[1]))
                if loss < best[0]:
                    best = loss, {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best[1])
    return model


def _trained(
    grids: dict[str, Tensor],
    rotated: list[Tensor],
    labels: np.ndarray,
    checked: np.ndarray,
    chosen: np.ndarray,
    steps: int,
    seed: int,
) -> list[Convolution]:
    """Networks of the chosen cells, and of these with their turned cuts."""
    plain, y = grids["train"][chosen], torch.as_tensor(labels[chosen])
    more = torch.cat([plain, *(r[chosen] for r in rotated)])
    check = grids["check"], torch.as_tensor(checked)
    return [learn(plain, y, check, steps, seed), learn(more, y.repeat(1 + len(rotated)), check, steps, seed)]


def curves(frames: dict[str, list[list[Atoms]]], sizes: list[int], draws: int, steps: int) -> dict[str, Any]:
    """Accuracies [sizes][draws] on cells of other paths and on turned crystals; without steps no networks."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def part(chosen: slice) -> tuple[list[Atoms], np.ndarray]:
        cells = [(a, k) for k, name in enumerate(CLASSES) for frame in frames[name] for a in frame[chosen]]
        return [a for a, _ in cells], np.array([k for _, k in cells])

    train, check, test = part(slice(0, -2)), part(slice(-2, -1)), part(slice(-1, None))
    turned = [a for name in CLASSES[:2] for frame in frames[f"{name} turned"] for a in frame]
    labels_turned = np.repeat([0, 1], len(turned) // 2)
    cells = {"train": train[0], "check": check[0], "test": test[0], "turned": turned}
    G = {name: pooled(atoms) for name, atoms in cells.items()}
    ways = WAYS if steps else WAYS[:1]
    grids = {name: torch.stack([density(a) for a in atoms]) for name, atoms in cells.items() if steps}
    turns = Rotation.random(3 * len(train[0]), random_state=0).as_matrix()
    rotated = [torch.stack([density(a, turns[3 * k + c]) for k, a in enumerate(train[0])]) for c in range(3) if steps]
    found: dict[str, Any] = {f"{w}, {t}": [] for w in ways for t in ("test", "turned")}
    for size in sizes:
        of_size: dict[str, list[float]] = {k: [] for k in found}
        for draw in range(draws):
            rng = np.random.default_rng([size, draw])
            chosen = np.concatenate([rng.permutation(np.flatnonzero(train[1] == k))[:size] for k in range(4)])
            fixed = make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=2000))
            fixed.fit(G["train"][chosen], train[1][chosen])
            nets = _trained(grids, rotated, train[1], check[1], chosen, steps, draw) if steps else []
            for where, truth in (("test", test[1]), ("turned", labels_turned)):
                of_size[f"{WAYS[0]}, {where}"].append(float((fixed.predict(G[where]) == truth).mean()))
                for way, net in zip(ways[1:], nets, strict=True):
                    with torch.no_grad():
                        called = net(grids[where]).argmax(1).numpy()
                    of_size[f"{way}, {where}"].append(float((called == truth).mean()))
        for k, v in of_size.items():
            found[k].append(v)
    called = fixed.predict(G["test"])
    found["confusion"] = [[int(((test[1] == a) & (called == b)).sum()) for b in range(4)] for a in range(4)]
    return found


WAYS = ("symmetry functions", "convolution", "convolution, turned cells too")


def half_molten(repeats: int, scale: float) -> list[Any]:
    """Positions of a crystal whose upper half was melted while the lower half was held."""
    cell = bulk("Si", cubic=True, a=LATTICE) * (repeats, repeats, 4)
    cell.set_constraint(FixAtoms(np.flatnonzero(cell.positions[:, 2] < 0.5 * cell.cell[2, 2])))
    return anneal([cell], [(6000.0, max(int(300 * scale), 5)), (2500.0, max(int(300 * scale), 5))], 1, 5, 9)[0][0]


def disorder(frames: dict[str, list[list[Atoms]]], where: Atoms) -> np.ndarray:
    """How liquid each atom is, from 0 to 1: logistic regression on its own symmetry functions."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sf = SymmetryFunctions.default(["Si"], 5.0, size="small")
    solid = sf.describe([a for frame in frames["hot crystal"] for a in frame]).numpy()
    liquid = sf.describe([a for frame in frames["liquid"] for a in frame]).numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    model.fit(np.vstack([solid, liquid]), np.repeat([0, 1], [len(solid), len(liquid)]))
    return model.predict_proba(sf.describe(where).numpy())[:, 1]


def run(
    work: Work, paths: int, frames: int, scale: float, sizes: list[int], draws: int, steps: int, repeats: int
) -> Findings:
    made = cells(work, paths, frames, scale)
    found = work.once("curves", lambda: curves(made, sizes, draws, steps))
    molten = bulk("Si", cubic=True, a=LATTICE) * (repeats, repeats, 4)
    molten.positions = work.once("half_molten", lambda: half_molten(repeats, scale))
    liquid = disorder(made, molten)
    height = molten.positions[:, 2] / molten.cell[2, 2] % 1.0
    below, above = liquid[(height > 0.1) & (height < 0.4)].mean(), liquid[(height > 0.6) & (height < 0.9)].mean()
    confusion = found.pop("confusion")
    _draw(work, found, sizes, height, liquid)
    mean = {k: [float(np.mean(v)) for v in of_size] for k, of_size in found.items()}
    best = {k: v[-1] for k, v in mean.items()}
    return Findings(
        text=_TEXT,
        claims=[
            Claim("symmetry functions, fewest cells", mean[f"{WAYS[0]}, test"][0], ">", 0.65),
            Claim("symmetry functions, most cells", best[f"{WAYS[0]}, test"], ">", 0.65),
            Claim("symmetry functions on turned crystals", best[f"{WAYS[0]}, turned"], ">", 0.9),
            Claim("the melt of the half-molten cell is called liquid", float(above), ">", 0.7),
            Claim("its crystal is not", float(below), "<", 0.3),
        ],
        tables=[
            Table(
                "Accuracy on cells of other paths and on turned crystals, mean ± deviation over draws",
                ("cells a class", *map(str, sizes)),
                [(k, *(f"{np.mean(v):.2f} ± {np.std(v):.2f}" for v in of_size)) for k, of_size in found.items()],
            ),
            Table(
                "Symmetry functions, most cells: rows are right, columns are called",
                ("", *CLASSES),
                [(name, *row) for name, row in zip(CLASSES, confusion, strict=True)],
            ),
        ],
        figures={"order.png": "Learning curves; a half-molten cell, an atom a point."},
        molecules=[Molecule.of("half-molten silicon: how liquid", molten, liquid.round(3).tolist())],
    )


def _draw(work: Work, found: dict[str, Any], sizes: list[int], height: np.ndarray, liquid: np.ndarray) -> None:
    figure = new_figure(9.0, 3.6)
    curve, cell = figure.subplots(1, 2)
    for way, colour in zip([w for w in WAYS if f"{w}, test" in found], COLOURS, strict=False):
        for where, style in (("test", "o-"), ("turned", "s--")):
            values = np.array(found[f"{way}, {where}"])
            label = way if where == "test" else None
            curve.errorbar(sizes, values.mean(1), values.std(1), fmt=style, ms=4, capsize=2, color=colour, label=label)
    curve.set(xscale="log", xlabel="training cells a class", ylabel="accuracy (dashed: turned crystals)")
    curve.set_xticks(sizes, map(str, sizes))
    curve.legend(frameon=False, fontsize="small")
    cell.plot(height, liquid, ".", ms=4, color=COLOURS[0])
    cell.axvline(0.5, color="0.5", lw=0.8, ls=":")
    cell.set(xlabel="height in the cell", ylabel="how liquid", title=f"{len(liquid)} atoms, upper half melted")
    save_figure(figure, work.path("order.png"))


_TEXT = (
    "Pooled symmetry functions tell crystals from liquids from a single cell a class, turned crystals included, "
    "and atom by atom they say where a half-molten cell is molten. Quenched silicon is taken for a hot crystal at "
    "the small settings, whose melts are short. A convolution on the density has to learn what symmetry functions "
    "have by construction; its curves stand beside theirs where the settings train it."
)
STUDY = Study(
    number=6,
    name="order",
    title="Order and disorder in silicon",
    literature="Behler & Parrinello, Phys. Rev. Lett. 98, 146401 (2007); "
    "Geiger & Dellago, J. Chem. Phys. 139, 164105 (2013).",
    run=run,
    full={"paths": 6, "frames": 8, "scale": 1.0, "sizes": [1, 4, 16, 32], "draws": 3, "steps": 200, "repeats": 4},
    small={"paths": 3, "frames": 3, "scale": 0.5, "sizes": [1, 3], "draws": 2, "steps": 0, "repeats": 2},
)
