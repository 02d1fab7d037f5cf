"""Systems and numbers of the reference files made with MOPAC (tests/references)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from ase.data import atomic_numbers
from torch import Tensor

from nddo_ml import NDDO, Prediction, Systems
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL

FOLDER = Path(__file__).parent / "references"


@cache
def entries(name: str) -> list[dict]:
    """All systems of a reference file."""
    return json.loads((FOLDER / f"{name}.json").read_text())["systems"]


def to_systems(chosen: list[dict]) -> Systems:
    """Reference entries as one batch."""
    sizes = torch.tensor([len(e["symbols"]) for e in chosen])
    return Systems.build(
        torch.tensor([atomic_numbers[s] for e in chosen for s in e["symbols"]]),
        torch.tensor([xyz for e in chosen for xyz in e["positions"]], dtype=torch.float64),
        torch.repeat_interleave(torch.arange(len(chosen)), sizes),
        [e["charge"] for e in chosen],
        [e["multiplicity"] for e in chosen],
    )


@dataclass(frozen=True)
class Deviations:
    """Ours minus the reference, one value a system."""

    heat_of_formation: Tensor  # kcal/mol
    gradient: Tensor  # kcal/mol/Å, largest component
    dipole: Tensor  # D, length of the difference


def deviations(chosen: list[dict], prediction: Prediction, systems: Systems) -> Deviations:
    """Compare a prediction with the reference entries it was made for."""
    heat = torch.tensor([e["heat_of_formation"] for e in chosen], dtype=torch.float64)
    gradients = torch.tensor([g for e in chosen for g in e["gradients"]], dtype=torch.float64)
    assert prediction.forces is not None
    assert prediction.dipole is not None
    per_atom = (-prediction.forces * EV_KCAL_MOL - gradients).abs().amax(dim=1)
    worst = torch.zeros(len(chosen), dtype=torch.float64)
    worst = worst.scatter_reduce(0, systems.system_idx, per_atom, "amax")
    dipole = torch.tensor([e["dipole"] for e in chosen], dtype=torch.float64)
    return Deviations(
        prediction.heat_of_formation - heat,
        worst,
        (prediction.dipole * DEBYE_PER_E_ANGSTROM - dipole).norm(dim=1),
    )


def run(chosen: list[dict], method: str, uhf: bool) -> tuple[Prediction, Deviations]:
    """Predict reference entries of one method and spin treatment and compare."""
    systems = to_systems(chosen)
    prediction = NDDO(method, uhf=uhf)(systems, forces=True, on_failure="mask")
    return prediction, deviations(chosen, prediction, systems)
