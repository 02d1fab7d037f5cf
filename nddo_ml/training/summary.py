"""The report at the end of a training: one HTML page, and its pictures as files, beside the model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from nddo_ml.datasets.dataset import load_dataset
from nddo_ml.evaluation.figures import learning_curves, parity, save_figure
from nddo_ml.evaluation.report import Part, write_report
from nddo_ml.evaluation.tables import tabulate, with_fitted_zero
from nddo_ml.models.base import AbstractModel
from nddo_ml.training.config import TrainConfig
from nddo_ml.training.state import read_log
from nddo_ml.training.trainer import LOG

REPORT = "report.html"


def write_summary(config: TrainConfig, model: AbstractModel) -> list[Path]:
    """report.html, learning_curves.png, parity_train.png and, with files for it, parity_test.png in the run's folder.

    Energies of a method or hybrid, whose zero is its own, are compared after per-element energies are fitted.
    """
    output = Path(config.output)
    logs = {Path(job.output).name: read_log(Path(job.output) / LOG) for job in config.single()}
    save_figure(learning_curves(logs), output / "learning_curves.png")
    made = [output / REPORT, output / "learning_curves.png"]
    parts = {}
    for name, sources in (
        ("train", config.data.train),
        ("validation", config.data.validation),
        ("test", config.data.test),
    ):
        if sources:
            data = load_dataset(sources)
            if name == "train":
                data = data.of_groups(config.data.groups, config.data.exclude_groups)
            data = data if model.capabilities.data_zero else with_fitted_zero(model, data)
            parts[name] = Part(data, tabulate(model, data))
            path = output / f"parity_{name}.png"
            save_figure(parity(parts[name].tables, data, title=f"{model.name}, {name}"), path)
            made.append(path)
    write_report(output / REPORT, model, parts, logs, asdict(config))
    return made
