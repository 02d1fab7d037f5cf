"""Silicon potentials of the studies: small ones, trained on parts of public data, read back when they are there.

Full studies expect the data of Zuo et al. (J. Phys. Chem. A 124, 731 (2020)) as ``train.extxyz`` and ``test.extxyz`` in
``data/mlearn_si`` and the random crystals of PyXtal_FF as ``data/si_crystals/train.extxyz``; small ones take the
samples that the tests have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.studies.frame.study import ROOT
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.saved import load_model
from nddo_ml.training.config import TrainConfig, read_config
from nddo_ml.training.run import MODEL, train

RECIPE = ROOT / "recipes" / "silicon.toml"
SAMPLE = ROOT / "tests" / "data" / "mlearn_si"
SHIPPED = SAMPLE / "model.pt"  # member 1 of the recipe as it stands, trained on all 214 cells
SMALLER = {  # than the recipe: a tenth of its time, with errors a half larger
    "model.cutoff": 5.0,
    "model.size": "small",
    "model.hidden": [20, 20],
    "phases.0.epochs": 40,
    "phases.1.epochs": 12,
    "workers": 1,
}


def silicon_config(
    train_files: Sequence[str], test: str, output: Path, settings: Mapping[str, Any] = SMALLER
) -> TrainConfig:
    """The recipe with other settings and files, one member.

    Raises:
        InputError: data that are not there.
    """
    for name in (*train_files, test):
        if not Path(name).exists():
            raise InputError(f"{name} is not there; {Path(__file__).name} says which data the studies of silicon take")
    files = {"data.train": list(train_files), "data.test": [test], "committee": 1, "output": str(output)}
    return read_config(RECIPE, {**settings, **files})


def trained(config: TrainConfig) -> AbstractModel:
    """The model of a configuration, trained to the end, or read back."""
    done = Path(config.output) / MODEL
    return load_model(done) if done.exists() else train(config).model
