"""The report at the end of a training: learning curves and parity plots beside the model."""

from __future__ import annotations

from pathlib import Path

from nddo_ml.datasets.dataset import load_dataset
from nddo_ml.evaluation.report import learning_curves, parity
from nddo_ml.evaluation.tables import tabulate
from nddo_ml.models.base import AbstractModel
from nddo_ml.training.config import TrainConfig
from nddo_ml.training.state import read_log
from nddo_ml.training.trainer import LOG


def write_figures(config: TrainConfig, model: AbstractModel) -> list[Path]:
    """learning_curves.png, parity_train.png and, with test files, parity_test.png in the run's folder."""
    output = Path(config.output)
    folders = [Path(job.output) for job in config.single()]
    logs = {folder.name: read_log(folder / LOG) for folder in folders}
    learning_curves(logs, output / "learning_curves.png")
    made = [output / "learning_curves.png"]
    for part, sources in (("train", config.data.train), ("test", config.data.test)):
        if sources:
            data = load_dataset(sources)
            path = output / f"parity_{part}.png"
            parity(tabulate(model, data), data.groups, path, title=f"{model.name}, {part}")
            made.append(path)
    return made
