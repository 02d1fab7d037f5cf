"""Energies, forces, stress: what each kind of label is worth, from 20 to 214 cells of silicon."""

from __future__ import annotations

from dataclasses import asdict, replace

from benchmarks.studies.frame.silicon import SAMPLE, SMALLER, silicon_config
from benchmarks.studies.frame.study import Claim, Findings, Study, Table, Work
from nddo_ml.training.learning_curve import CurvePoint, draw_learning_curve, learning_curve

LABELS = (("energy",), ("energy", "forces"), ("energy", "forces", "stress"))
QUANTITIES = {"energy_per_atom": "energy, meV/atom", "forces": "forces, meV/Å", "stress": "stress, meV/Å³"}


def run(work: Work, data: str, sizes: list[int], members: int, epochs: list[int], bounds: dict[str, float]) -> Findings:
    files = (f"{data}/train.extxyz", f"{data}/test.extxyz") if data else _SAMPLES
    settings = {**SMALLER, "phases.0.epochs": epochs[0], "phases.1.epochs": epochs[1]}
    config = replace(silicon_config([files[0]], files[1], work.path("models"), settings), committee=members)
    rows = work.once("points", lambda: [asdict(p) for p in learning_curve(config, sizes, LABELS)])
    points = [CurvePoint(tuple(r["labels"]), r["size"], {k: tuple(v) for k, v in r["errors"].items()}) for r in rows]
    draw_learning_curve(points, list(QUANTITIES), work.path("learning.png"))
    last = {p.labels: p for p in points if p.size == sizes[-1]}
    energies, forces = (last[labels] for labels in LABELS[:2])
    return Findings(
        text=_TEXT,
        claims=[
            Claim(f"{q}: error with forces over that without", forces.mean(q) / energies.mean(q), "<", bound)
            for q, bound in bounds.items()
        ],
        tables=[
            Table(
                f"Mean absolute errors on the test cells, mean and spread of {members} members",
                ("labels", "cells", *QUANTITIES.values()),
                [
                    (
                        " + ".join(p.labels),
                        p.size,
                        *(f"{1000 * p.mean(q):.2f} ± {1000 * p.spread(q):.2f}" for q in QUANTITIES),
                    )
                    for p in points
                ],
            )
        ],
        figures={"learning.png": "Errors over the number of cells by what is trained on"},
    )


_SAMPLES = (str(SAMPLE / "train_sample.extxyz"), str(SAMPLE / "test_sample.extxyz"))
_TEXT = (
    "A cell of 64 atoms has one energy, six stresses and 192 forces: with forces a few dozen cells say what "
    "energies alone do not with all of them. Eight cells, as in the small settings, say little of anything."
)

STUDY = Study(
    7,
    "learning",
    "Energies, forces, stress",
    "Behler, Int. J. Quantum Chem. 115, 1032 (2015): forces are 3N labels where the energy is one.",
    run,
    {
        "data": "data/mlearn_si",
        "sizes": [20, 50, 100, 214],
        "members": 3,
        "epochs": [40, 12],
        "bounds": {"forces": 0.7, "energy_per_atom": 0.9},
    },
    {"data": "", "sizes": [4, 8], "members": 1, "epochs": [60, 12], "bounds": {"forces": 0.95}},
)
