"""Learning curves: errors against the number of structures, by the labels that a training has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from nddo_ml.datasets.dataset import LABELS, Dataset, load_dataset
from nddo_ml.errors import InputError
from nddo_ml.evaluation.figures import colours, new_figure, save_figure
from nddo_ml.evaluation.tables import UNITS, summarize, tabulate
from nddo_ml.training.config import LossConfig, TrainConfig
from nddo_ml.training.processes import Processes
from nddo_ml.training.run import load_training_data, train_member

ERRORS = "errors.json"


@dataclass(frozen=True)
class CurvePoint:
    """A committee's errors after training on some structures and labels."""

    labels: tuple[str, ...]
    size: int  # structures, the held-out ones included
    errors: Mapping[str, tuple[float, ...]]  # of each quantity, each member's mean absolute error on the test

    def mean(self, quantity: str) -> float:
        """The members' mean error."""
        return fmean(self.errors[quantity])

    def spread(self, quantity: str) -> float:
        """The standard deviation of the members' errors; 0 of one."""
        values = self.errors[quantity]
        return stdev(values) if len(values) > 1 else 0.0


def nested(data: Dataset, sizes: Sequence[int], seed: int = 0) -> list[Dataset]:
    """Subsets of rising size, each part of the next, with every group in its share of the whole.

    Raises:
        InputError: a size that is not from 2 to the number of structures.
    """
    for n in sizes:
        if not 2 <= n <= len(data):
            raise InputError(f"sizes of a learning curve are from 2 to the data's {len(data)} structures; got {n}")
    shuffled = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed)).tolist()
    count = {group: data.groups.count(group) for group in set(data.groups)}
    seen = dict.fromkeys(count, 0)
    place = {}
    for k in shuffled:  # structure n of a group stands at n / count of the whole order
        place[k] = (seen[data.groups[k]] + 0.5) / count[data.groups[k]]
        seen[data.groups[k]] += 1
    order = sorted(shuffled, key=lambda k: place[k])
    return [data.select(sorted(order[:n])) for n in sizes]


def learning_curve(
    config: TrainConfig,
    sizes: Sequence[int],
    labels: Sequence[Sequence[str]],
    on_point: Callable[[CurvePoint], None] = lambda point: None,
) -> list[CurvePoint]:
    """Train the configuration's committee on each number of structures with each set of labels; errors on its test.

    Subsets are nested and the same for every set of labels. With fewer structures the epochs of phases that take
    steps by batches rise by the square root of the share, so that small sets are not merely trained less.
    Finished members are read back when the same call is made again.

    Args:
        config: model, loss and phases; what its loss says of labels that a set lacks is left out.
        sizes: numbers of structures.
        labels: sets of labels, such as ("energy", "forces").
        on_point: called with every point when it is done.

    Raises:
        InputError: no test data, an unknown label, one without a weight in the loss, a size beyond the data.
    """
    if not config.data.test:
        raise InputError("a learning curve needs test data")
    for name in {name for chosen in labels for name in chosen}:
        if name not in LABELS or not getattr(config.loss, name) > 0:
            raise InputError(f"labels of a learning curve need a positive weight in the loss; got {name!r}")
    data, test = load_training_data(config), load_dataset(config.data.test)
    points = []
    for chosen in labels:
        for subset in nested(data, sizes):
            points.append(_point(config, subset, len(subset) / len(data), tuple(chosen), test))
            on_point(points[-1])
    return points


def draw_learning_curve(points: Sequence[CurvePoint], quantities: Sequence[str], path: Path) -> None:
    """Errors over the number of structures, both logarithmic, a panel a quantity, a line a set of labels."""
    figure = new_figure(3.6 * len(quantities), 3.4)
    sets = list(dict.fromkeys(p.labels for p in points))
    for ax, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        for chosen, colour in zip(sets, colours(len(sets)), strict=True):
            line = [p for p in points if p.labels == chosen]
            mean, spread = ([1000 * f(p, quantity) for p in line] for f in (CurvePoint.mean, CurvePoint.spread))
            ax.errorbar(
                [p.size for p in line],
                mean,
                yerr=spread,
                fmt="o-",
                ms=4,
                capsize=3,
                color=colour,
                label=" + ".join(chosen),
            )
        ax.set(xscale="log", yscale="log", xlabel="structures", title=quantity.replace("_", " "))
        ax.set_ylabel(f"mean absolute error, m{UNITS[quantity]}")
        ax.grid(alpha=0.25, which="both", lw=0.4)
    ax.legend(frameon=False)
    save_figure(figure, path)


def _point(config: TrainConfig, subset: Dataset, share: float, chosen: tuple[str, ...], test: Dataset) -> CurvePoint:
    weights: dict[str, Any] = {name: getattr(config.loss, name) if name in chosen else 0.0 for name in LABELS}
    loss: LossConfig = replace(config.loss, **weights)
    phases = tuple(
        p if p.optimizer == "lbfgs" else replace(p, epochs=round(p.epochs / share**0.5)) for p in config.phases
    )
    folder = Path(config.output) / "_".join(chosen) / str(len(subset))
    found: dict[str, list[float]] = {}
    for job in replace(config, loss=loss, phases=phases, output=str(folder)).single():
        done = Path(job.output) / ERRORS
        if not done.exists():
            model = train_member(job, subset, Path(job.output), Processes())
            labels = summarize(tabulate(model, test), test)["labels"]
            mae = {k: e.get("with_components_in_order", e)["mae"] for k, e in labels.items()}
            done.write_text(json.dumps(mae, indent=1) + "\n")
        for quantity, value in json.loads(done.read_text()).items():
            found.setdefault(quantity, []).append(value)
    return CurvePoint(chosen, len(subset), {k: tuple(v) for k, v in found.items()})
