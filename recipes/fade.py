"""A hybrid that fades to its parent outside the data it was trained on.

    python recipes/fade.py hybrid-chno faded.pt data/conformers.extxyz data/mp2_molecules.extxyz data/molecules.extxyz

Inside the data the model says what it said; how much of other data is outside is printed for files after ``--on``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import torch
from ase import Atoms
from ase.io import read

from nddo_ml import AtomFeatures, Systems, load_model, save_model
from nddo_ml.hybrid.domain import Domain

AT_ONCE = 128


def batches(frames: Sequence[Atoms]) -> Iterator[Systems]:
    """The structures, some at a time."""
    for first in range(0, len(frames), AT_ONCE):
        yield Systems.from_ase(list(frames[first : first + AT_ONCE]))


@torch.no_grad()
def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("data", nargs="+", help="what the model was trained on")
    parser.add_argument("--width", type=float, default=1.5, help="where trust ends, over where it begins to fall")
    parser.add_argument("--on", nargs="*", default=[], help="other structures")
    options = parser.parse_args()
    model = load_model(options.model)
    corrections = list(model.corrections)
    plain = corrections[0].features
    if any(c.features is not plain for c in corrections):
        raise SystemExit(f"{options.model}: expected corrections that share their features")
    seen = [(plain(s).values, s.numbers) for path in options.data for s in batches(read(path, ":"))]
    values, numbers = (torch.cat(parts) for parts in zip(*seen, strict=True))
    domain = Domain.fit(values, numbers, options.width)
    features = AtomFeatures(plain.functions, plain.scaler, plain.bonded, domain)
    for correction in corrections:
        correction.features = features
    save_model(model.with_corrections(corrections, model.name), options.output, model.card)
    for path in (*options.data, *options.on):
        trust = torch.cat([features(s).trust for s in batches(read(path, ":"))])
        print(f"{path}: trust below 0.999 in {float((trust < 0.999).double().mean()):.2%} of the atoms,", end=" ")
        print(f"below 0.5 in {float((trust < 0.5).double().mean()):.2%}")


if __name__ == "__main__":
    main()
