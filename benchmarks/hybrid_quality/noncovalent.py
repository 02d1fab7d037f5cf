"""Binding energies of the S22 complexes against CCSD(T)/CBS (Takatani et al., J. Chem. Phys. 132, 144104 (2010))."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from ase.data import s22 as data
from rich.table import Table

from benchmarks.common import Report
from nddo_ml import Systems
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.nnp import NNP
from nddo_ml.units import EV_KCAL_MOL

UHF = None


def options(parser: argparse.ArgumentParser) -> None:
    """Options of this part: none."""


def run(models: Sequence[AbstractModel], arguments: argparse.Namespace) -> tuple[Report, Table]:
    """The results, and a table of them, kcal/mol; monomers as they are in the complex."""
    reference = np.array([data.get_interaction_energy_s22(name) for name in data.s22]) * EV_KCAL_MOL
    binding = {model.name: binding_energies(model) for model in models}
    table = Table("complex", "CCSD(T)/CBS", *binding)
    for k, name in enumerate(data.s22):
        table.add_row(name, f"{reference[k]:.2f}", *(f"{e[k]:.2f}" for e in binding.values()))
    errors = {name: energies - reference for name, energies in binding.items()}
    table.add_section()
    for label, of in (("MAE", lambda e: np.abs(e).mean()), ("mean error", lambda e: e.mean())):
        table.add_row(label, "", *(f"{of(e):.2f}" for e in errors.values()))
    report = {
        "unit": "kcal/mol",
        "reference": dict(zip(data.s22, reference.tolist(), strict=True)),
        "models": {
            model.name: {
                "mae": float(np.abs(errors[model.name]).mean()),
                "mean_error": float(errors[model.name].mean()),
                "largest": float(np.abs(errors[model.name]).max()),
                "binding": dict(zip(data.s22, binding[model.name].tolist(), strict=True)),
                "extrapolates": extrapolating(model),
            }
            for model in models
        },
    }
    return report, table


def binding_energies(model: AbstractModel) -> np.ndarray:
    """E(complex) − E(first) − E(second), [complexes] kcal/mol."""
    frames = []
    for name in data.s22:
        pair = data.create_s22_system(name)
        first = data.get_number_of_dimer_atoms(name)[0]
        frames += [pair, pair[:first], pair[first:]]
    energy = model(Systems.from_ase(frames)).energy.detach().cpu().numpy().reshape(-1, 3)
    return (energy[:, 0] - energy[:, 1] - energy[:, 2]) * EV_KCAL_MOL


def extrapolating(model: AbstractModel) -> int | None:
    """Number of complexes in which a potential extrapolates; None for what has no range."""
    if not isinstance(model, NNP):
        return None
    systems = Systems.from_ase([data.create_s22_system(name) for name in data.s22])
    return len({e.system for e in model.extrapolation(systems)})
