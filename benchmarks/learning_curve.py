"""Learning curves: pure potential, delta learning and hybrid on subsets of the same conformers, the same features.

python -m benchmarks.learning_curve --train conformers_train.extxyz --test conformers_test.extxyz --output runs/curve

Every point is a training of its own and is resumed or read back when the command is given again. Energies only; a
tenth of each subset is held out for early stopping. ``field`` is the parent with parameter shifts and pair functions,
``hybrid`` adds atomic energies to it, ``delta`` adds them to the parent as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import ase.io
import matplotlib.pyplot as plt
import numpy as np
import torch
import typer

from nddo_ml.datasets.dataset import Source, load_dataset
from nddo_ml.evaluation.tables import tabulate, with_fitted_zero
from nddo_ml.models.base import AbstractModel
from nddo_ml.training.config import DataConfig, LossConfig, ModelConfig, PhaseConfig, TrainConfig
from nddo_ml.training.run import train
from nddo_ml.units import EV_KCAL_MOL

SIZES = (100, 300, 1000, 3000, 7630)
PARENT = "RM1-D3H4"
FUNCTIONS = {"cutoff": 4.0, "size": "medium"}
ATOMIC = {"hidden": [64, 32]}
KINDS = ("potential", "delta", "field", "hybrid")


def model_config(kind: str, folder: Path, parent: str) -> ModelConfig:
    """The model of one curve; ``folder`` has the field of the same subset."""
    if kind == "potential":
        options = {**FUNCTIONS, **ATOMIC, "cutoff_kind": "poly2", "activation": "silu"}
        return ModelConfig("nnp", options)
    if kind == "field":
        options = {**FUNCTIONS, "method": parent, "parameters": {"hidden": [64]}, "pairs": {"hidden": [32]}}
        return ModelConfig("nddo", options)
    base = parent if kind == "delta" else str(folder / "field" / "model.pt")
    return ModelConfig("delta", {**(FUNCTIONS if kind == "delta" else {}), **ATOMIC, "base": base})


def point(kind: str, n: int, data: Path, folder: Path, parent: str, effort: float) -> AbstractModel:
    """The model of one point of the curves, trained or read back."""
    rounds = effort * (SIZES[-1] / n) ** (1 / 3)  # the fewer the structures, the more often each is seen
    phase = PhaseConfig(
        optimizer="soap",
        epochs=round((16 if kind == "field" else 50) * rounds),
        batch=max(8, min(64, n // 25)),
        lr=3e-3 if kind in ("field", "potential") else 2e-3,
        final_lr=2e-5,
        clip=20.0,
        average=0.99,
        weight_decay=0.1,
    )
    config = TrainConfig(
        data=DataConfig(train=(Source(str(data)),), check_units=False),
        loss=LossConfig(energy=5000.0, huber={"energy": 0.01}, shifts=0.1),
        phases=(phase,),
        model=model_config(kind, folder, parent),
        output=str(folder / kind),
    )
    return train(config).model


def energy_error(model: AbstractModel, test: Path) -> float:
    """Mean absolute error of the energy after a fit of the zero per element, kcal/mol."""
    data = load_dataset((Source(str(test)),))
    data = with_fitted_zero(model, data)
    return tabulate(model, data, batch=128)["energy"].errors()["mae"] * EV_KCAL_MOL


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Errors over the number of conformers, both logarithmic."""
    fig, axes = plt.subplots(figsize=(5, 4), layout="constrained")
    for kind in KINDS:
        found = sorted((r["n"], r["mae"]) for r in rows if r["kind"] == kind)
        if found:
            axes.loglog(*zip(*found, strict=True), "o-", label=kind)
    axes.set_xlabel("conformers")
    axes.set_ylabel("MAE of the energy / kcal/mol")
    axes.legend()
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main(
    training: Annotated[Path, typer.Option("--train", help="Conformers with energies.")],
    test: Annotated[Path, typer.Option(help="Conformers that no training sees.")],
    output: Annotated[Path, typer.Option(help="Folder of all trainings; results.json and learning_curve.png.")],
    sizes: Annotated[str, typer.Option(help="Numbers of conformers.")] = ",".join(map(str, SIZES)),
    at_most: Annotated[int, typer.Option(help="Heavy atoms of the conformers to train on.")] = 1000,
    at_least: Annotated[int, typer.Option(help="Heavy atoms of the conformers to test on.")] = 0,
    parent: Annotated[str, typer.Option(help="The method that is corrected.")] = PARENT,
    kinds: Annotated[str, typer.Option(help="Which curves.")] = ",".join(KINDS),
    effort: Annotated[float, typer.Option(help="Share of the epochs; 1 for the documented curves.")] = 1.0,
) -> None:
    """Train, test, print, draw."""
    torch.set_num_threads(1)
    output.mkdir(parents=True, exist_ok=True)
    frames = [a for a in ase.io.read(training, ":") if np.sum(a.numbers > 1) <= at_most]
    tested = output / "test.extxyz"
    if not tested.exists():
        ase.io.write(tested, [a for a in ase.io.read(test, ":") if np.sum(a.numbers > 1) >= at_least])
    order = np.random.default_rng(1).permutation(len(frames))
    results = output / "results.json"
    rows: list[dict[str, Any]] = json.loads(results.read_text()) if results.exists() else []
    for n in map(int, sizes.split(",")):
        folder = output / str(n)
        folder.mkdir(exist_ok=True)
        data = folder / "train.extxyz"
        if not data.exists():
            ase.io.write(data, [frames[k] for k in order[:n]])
        for kind in kinds.split(","):
            if any((r["kind"], r["n"]) == (kind, n) for r in rows):
                continue
            mae = energy_error(point(kind, n, data, folder, parent, effort), tested)
            rows.append({"kind": kind, "n": n, "mae": mae})
            results.write_text(json.dumps(rows, indent=1))
            print(f"{kind:14s} {n:5d} {mae:7.2f} kcal/mol", flush=True)
    figure(rows, output / "learning_curve.png")


if __name__ == "__main__":
    typer.run(main)
