"""Cross-validation of a recipe's settings on its training data alone: which settings to take, before any test.

    python benchmarks/cross_validation.py recipes/silicon.toml --train train.extxyz --folds 3 \\
        --setting loss.energy=100 --setting "loss.energy=300 model.hidden=[20,20]" --output runs/folds

Each --setting is a list of KEY=VALUE, as in ``nddo-ml train --set``; an empty one is the recipe as it stands. The
structures of every group are dealt among the folds, the same for all settings; for each fold one model is trained on
the others, with the recipe's own validation part taken from these, and evaluated on the fold. Errors are over all
structures, each predicted by the model that has not seen it. What is done is kept in --output, and a second call with
more settings goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import note
from nddo_ml.datasets.dataset import Dataset
from nddo_ml.evaluation.tables import summarize, tabulate
from nddo_ml.training.config import TrainConfig, read_config
from nddo_ml.training.processes import Processes
from nddo_ml.training.run import load_training_data, train_member

MILLI = {"energy_per_atom": 1000.0, "forces": 1000.0, "stress": 1000.0}


def main() -> None:
    """Run what is not done yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--setting", action="append", default=[], help="KEY=VALUE KEY=VALUE …")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {}
    for setting in options.setting or [""]:
        overrides = {**settings(setting), "data.train": options.train, "committee": 1}
        folder = options.output / (setting.replace("/", "-") or "recipe")
        config = read_config(options.recipe, {**overrides, "output": str(folder)})
        results[setting or "the recipe"] = cross_validate(config, options.folds)
        note(table(results))
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


def settings(text: str) -> dict[str, Any]:
    """``"a.b=1 c=[2,3]"`` as keys and values, which are TOML or else strings."""
    found: dict[str, Any] = {}
    for part in text.split():
        key, _, value = part.partition("=")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = value
    return found


def cross_validate(config: TrainConfig, n_folds: int) -> list[dict[str, Any]]:
    """Errors by label and group on each fold, and processor seconds; folds that are done are read from disk."""
    data = load_training_data(config)
    records = []
    for k, (train, held_out) in enumerate(folds(data, n_folds)):
        folder = Path(config.output) / f"fold_{k + 1}_of_{n_folds}"
        done = folder / "errors.json"
        if not done.exists():
            start = time.process_time()
            model = train_member(replace(config, output=str(folder)), train, folder, Processes())
            record = {**summarize(tabulate(model, held_out), held_out), "seconds": time.process_time() - start}
            done.write_text(json.dumps(record, indent=1) + "\n")
        records.append(json.loads(done.read_text()))
    return records


def folds(data: Dataset, n: int) -> list[tuple[Dataset, Dataset]]:
    """(training, held-out) parts, every group dealt evenly among the ``n`` folds; the same in every call."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
    order.sort(key=lambda k: data.groups[k])
    parts = [sorted(order[k::n]) for k in range(n)]
    everything = set(range(len(data)))
    return [(data.select(sorted(everything - set(part))), data.select(part)) for part in parts]


def pooled(records: list[dict[str, Any]], label: str) -> float:
    """Mean absolute error over all folds' values; of the stress with its components in order."""
    entries = [record["labels"][label] for record in records if label in record["labels"]]
    entries = [entry.get("with_components_in_order", entry) for entry in entries]
    return sum(e["mae"] * e["n"] for e in entries) / sum(e["n"] for e in entries) if entries else math.nan


def table(results: Mapping[str, list[dict[str, Any]]]) -> str:
    """One line a setting: errors, their geometric mean over energy and forces, processor time a model."""
    lines = [
        "| setting | energy, meV/atom (by fold) | forces, meV/Å | stress, meV/Å³ | √(energy · forces) | s a model |",
        "|---|---|---|---|---|---|",
    ]
    for name, records in results.items():
        energy, forces, stress = (pooled(records, label) * factor for label, factor in MILLI.items())
        by_fold = ", ".join(f"{1000 * r['labels']['energy_per_atom']['mae']:.2f}" for r in records)
        seconds = sum(r["seconds"] for r in records) / len(records)
        lines.append(
            f"| {name} | {energy:.2f} ({by_fold}) | {forces:.1f} | {stress:.3f} "
            f"| {math.sqrt(energy * forces):.2f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
