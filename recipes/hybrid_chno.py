"""The shipped model hybrid-chno: a field of its own and delta learning beside PM6-D3H4, mixed into one hybrid.

python recipes/hybrid_chno.py --data data --output runs/hybrid_chno

Trains hybrid_chno_field.toml once and hybrid_chno_delta.toml with three sets of symmetry functions (finished or
interrupted parts are resumed), takes the share of the field that serves the validation data best, and writes model.pt.
recipes/README.md says how to get the data.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from nddo_ml import NDDO, load_model
from nddo_ml.checkpoint import save_model
from nddo_ml.dataset import Source, load_dataset
from nddo_ml.evaluation import summarize, tabulate, with_fitted_zero
from nddo_ml.hybrid.mixture import mixture
from nddo_ml.train import train
from nddo_ml.training.config import TrainConfig, read_config
from nddo_ml.units import EV_KCAL_MOL

HERE = Path(__file__).parent
FUNCTIONS = {"medium": {"cutoff": 5.0}, "short": {"cutoff": 4.0}, "wide": {"cutoff": 5.0, "angular_cutoff": 4.0}}
SHARES = (0.2, 0.3, 0.4, 0.5)  # of the field that are tried


def configuration(recipe: str, data: Path, output: Path, model: dict[str, float]) -> TrainConfig:
    """A recipe with its data and symmetry functions."""
    config = read_config(HERE / recipe, {"output": str(output), **{f"model.{k}": v for k, v in model.items()}})

    def moved(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(replace(s, path=str(data / Path(s.path).name)) for s in sources)

    files = replace(config.data, train=moved(config.data.train), validation=moved(config.data.validation))
    return replace(config, data=files)


def part(recipe: str, data: Path, output: Path, model: dict[str, float]) -> NDDO:
    """One part, trained now or before."""
    done = output / "model.pt"
    result = load_model(done) if done.exists() else train(configuration(recipe, data, output, model)).model
    assert isinstance(result, NDDO)
    return result


def main(
    data: Annotated[Path, typer.Option(help="Folder of the data.")] = Path("data"),
    output: Annotated[Path, typer.Option(help="Folder of all parts and of model.pt.")] = Path("runs/hybrid_chno"),
) -> None:
    """Train all parts, mix, save."""
    torch.set_num_threads(1)
    field = part("hybrid_chno_field.toml", data, output / "field", {})
    deltas = [part("hybrid_chno_delta.toml", data, output / name, options) for name, options in FUNCTIONS.items()]
    valid = load_dataset([data / "conformers_valid.extxyz"])
    errors = {}
    for share in SHARES:
        mixed = mixture([field, *deltas], [share, *[(1 - share) / len(deltas)] * len(deltas)], "hybrid-chno")
        found = tabulate(mixed, with_fitted_zero(mixed, valid), batch=128)
        errors[share] = float(found["energy"].errors()["mae"]) * EV_KCAL_MOL
        print(f"share of the field {share:.1f}: {errors[share]:.3f} kcal/mol on the validation conformers", flush=True)
    best = min(SHARES, key=lambda s: errors[s])
    mixed = mixture([field, *deltas], [best, *[(1 - best) / len(deltas)] * len(deltas)], "hybrid-chno")
    forces = load_dataset([data / "forces_valid.extxyz"])
    found = summarize(tabulate(mixed, with_fitted_zero(mixed, valid), batch=128), valid)["labels"]
    found["forces"] = summarize(tabulate(mixed, forces), forces)["labels"]["forces"]
    card = tomllib.loads((HERE / "cards" / "hybrid_chno.toml").read_text())
    save_model(mixed, output / "model.pt", {**card, "share_of_the_field": best, "validation_errors": found})
    print({k: float(np.round(v["mae"], 5)) for k, v in found.items()})


if __name__ == "__main__":
    typer.run(main)
