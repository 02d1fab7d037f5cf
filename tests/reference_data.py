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
from nddo_ml.integrals.layout import build_layout
from nddo_ml.methods.tables import load_method
from nddo_ml.scf.loop import SCFOptions
from nddo_ml.terms.pm6 import FlatNitrogen
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL

FOLDER = Path(__file__).parent / "references"
NAMES = {"MNDOD": "MNDO/d"}  # of methods, where MOPAC's differ


@cache
def entries(name: str) -> list[dict]:
    """All systems of a reference file."""
    return json.loads((FOLDER / f"{name}.json").read_text())["systems"]


@cache
def other_solutions() -> dict[str, dict]:
    """Entries whose default solution is not MOPAC's, by their id."""
    return {e["id"]: e for e in entries("other_solutions")}


def expected(entry: dict) -> dict:
    """The entry with MOPAC's numbers of the solution that is ours by default."""
    recorded = other_solutions().get(entry["id"])
    if recorded is None:
        return entry
    return entry | {key: recorded[key] for key in ("heat_of_formation", "gradients", "dipole")}


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
    gradient_norm: Tensor  # kcal/mol/Å, absolute difference of the norms, which do not depend on
    dipole_norm: Tensor  # D, in which of several equal directions the field has less symmetry than the molecule


def deviations(chosen: list[dict], prediction: Prediction, systems: Systems, method: str) -> Deviations:
    """Compare a prediction with the reference entries it was made for."""
    heat = torch.tensor([e["heat_of_formation"] for e in chosen], dtype=torch.float64)
    gradients = torch.tensor([g for e in chosen for g in e["gradients"]], dtype=torch.float64)
    assert prediction.forces is not None
    assert prediction.dipole is not None
    ours = -prediction.forces * load_method(method).constants.ev_kcal_mol
    if method.startswith("PM6"):
        ours = ours - flat_nitrogen_gradient(systems)
    per_atom = (ours - gradients).abs().amax(dim=1)
    worst = torch.zeros(len(chosen), dtype=torch.float64)
    worst = worst.scatter_reduce(0, systems.system_idx, per_atom, "amax")
    dipole = torch.tensor([e["dipole"] for e in chosen], dtype=torch.float64)
    of_ours = prediction.dipole * DEBYE_PER_E_ANGSTROM
    squares = torch.zeros(2, len(chosen), dtype=torch.float64)
    squares = squares.index_add(1, systems.system_idx, torch.stack((ours, gradients)).square().sum(dim=2))
    return Deviations(
        prediction.heat_of_formation - heat,
        worst,
        (of_ours - dipole).norm(dim=1),
        (squares[0].sqrt() - squares[1].sqrt()).abs(),
        (of_ours.norm(dim=1) - dipole.norm(dim=1)).abs(),
    )


def flat_nitrogen_gradient(systems: Systems) -> Tensor:
    """kcal/mol/Å; the term that MOPAC leaves out of its gradients."""
    x = systems.positions.clone().requires_grad_()
    energy = FlatNitrogen().energy(systems.with_positions(x)).sum()
    if not energy.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(energy, x)[0] * EV_KCAL_MOL


def run(
    chosen: list[dict], method: str, uhf: bool, solution: str = "lowest", guess: Tensor | None = None
) -> tuple[Prediction, Deviations]:
    """Predict reference entries of one method and spin treatment and compare."""
    systems = to_systems(chosen)
    model = NDDO(method, uhf=uhf, scf=SCFOptions(solution=solution))
    prediction = model(systems, forces=True, on_failure="mask", start=guess)
    return prediction, deviations(chosen, prediction, systems, method)


def rows(entry: dict, method: str) -> Tensor:
    """Row of our matrices of each of MOPAC's orbitals, which stand in the order of the atoms."""
    systems = to_systems([entry])
    width = NDDO(method).parameters_of(systems).width
    layout = build_layout(systems.system_idx, width, 1)
    atoms = zip(layout.first_row.tolist(), width.tolist(), strict=True)
    return torch.tensor([first + k for first, count in atoms for k in range(count)])


def square(triangles: list[list[float]], order: Tensor) -> Tensor:
    """Symmetric matrices [1, spin, n, n] of lower triangles by rows, their rows put where ``order`` says."""
    n = order.shape[0]
    lower = torch.tril_indices(n, n)
    full = torch.zeros(len(triangles), n, n, dtype=torch.float64)
    full[:, order[lower[0]], order[lower[1]]] = torch.tensor(triangles, dtype=torch.float64)
    return (full + full.transpose(1, 2) - torch.diag_embed(full.diagonal(dim1=1, dim2=2)))[None]


def padded(matrices: list[Tensor]) -> Tensor:
    """Matrices [1, spin, n, n] of several sizes as one batch, padded with zeros."""
    size = max(m.shape[3] for m in matrices)
    return torch.cat([torch.nn.functional.pad(m, (0, size - m.shape[3], 0, size - m.shape[3])) for m in matrices])
