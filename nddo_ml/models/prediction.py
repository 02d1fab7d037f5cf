"""Prediction: what a model says of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nddo_ml.display import SHOWN, html_table

if TYPE_CHECKING:
    from nddo_ml.scf.solve import SCFResult


UNITS = {  # of the fields that have one
    "energy": "eV",
    "electronic_energy": "eV",
    "core_energy": "eV",
    "heat_of_formation": "kcal/mol",
    "forces": "eV/Å",
    "stress": "eV/Å³",
    "virials": "eV",
    "charges": "e",
    "dipole": "e·Å",
    "atomic_energies": "eV",
    "energy_spread": "eV",
    "atomic_spread": "eV",
    "forces_spread": "eV/Å",
    "environment_forces": "eV/Å",
    "shift_size": "",
}
_NOISE = 1e-9  # what is smaller is shown as 0
_FEW = 4  # numbers that are shown one by one
PER_ATOM = frozenset({"forces", "virials", "charges", "atomic_energies", "atomic_spread", "forces_spread"})


@dataclass(frozen=True)
class Prediction:
    """What a model says of a batch; everything but the energy is optional (None)."""

    energy: Tensor  # [systems] eV
    electronic_energy: Tensor | None = None  # [systems] eV
    core_energy: Tensor | None = None  # [systems] eV
    heat_of_formation: Tensor | None = None  # [systems] kcal/mol
    forces: Tensor | None = None  # [atoms, 3] eV/Å
    stress: Tensor | None = None  # [systems, 3, 3] eV/Å³, ASE sign (positive under tension)
    virials: Tensor | None = None  # [atoms, 3, 3] eV, per atom; minus their sum over the volume is the stress
    charges: Tensor | None = None  # [atoms] e
    dipole: Tensor | None = None  # [systems, 3] e·Å
    atomic_energies: Tensor | None = None  # [atoms] eV
    energy_spread: Tensor | None = None  # [systems] eV, standard deviation over a committee
    atomic_spread: Tensor | None = None  # [atoms] eV, the same of an atom's own energy
    environment_forces: Tensor | None = None  # [sites, 3] eV/Å, on what surrounds the molecules
    forces_spread: Tensor | None = None  # [atoms] eV/Å, norm of the committee's standard deviation
    shift_size: Tensor | None = None  # [systems], mean square of a hybrid's shifts over their bounds, in training
    scf: SCFResult | None = None

    @property
    def given(self) -> dict[str, Tensor]:
        """The tensors that there are, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def __repr__(self) -> str:
        lines = [f"  {name}: {_shown(value)} {UNITS[name]}".rstrip() for name, value in self.given.items()]
        if self.scf is not None:
            lines.append(f"  scf: {int(self.scf.converged.sum())} of {len(self.energy)} systems converged")
        return "\n".join(["Prediction(", *lines, ")"])

    def _repr_html_(self) -> str:
        """A table with a line a system; largest values of what atoms have."""
        columns = [name for name, value in self.given.items() if name not in PER_ATOM and value.ndim < 3]
        rows = [(k, *(_shown(self.given[name][k]) for name in columns)) for k in range(min(len(self.energy), SHOWN))]
        header = ("system", *(f"{name.replace('_', ' ')} ({UNITS[name]})" for name in columns))
        atoms = [f"{name}: {_shown(value)} {UNITS[name]}" for name, value in self.given.items() if name in PER_ATOM]
        return html_table(header, rows, len(self.energy)) + "".join(f"<p>{escape(line)}</p>" for line in atoms)

    def detached(self) -> Prediction:
        """The same without a graph."""
        values: dict[str, Any] = {name: value.detach() for name, value in self.given.items()}
        return replace(self, **values)

    def masked(self, failed: Tensor, system_idx: Tensor) -> Prediction:
        """The same with NaN for the systems ``failed`` [systems] bool and their atoms."""
        changed: dict[str, Any] = {}
        for name, value in self.given.items():
            bad = (failed[system_idx] if name in PER_ATOM else failed).view(-1, *(1,) * (value.ndim - 1))
            changed[name] = torch.where(bad, torch.nan, value)
        return replace(self, **changed)


def _shown(value: Tensor) -> str:
    """A few numbers, or shape and largest absolute value of many."""
    if value.numel() <= _FEW:
        numbers = ", ".join(f"{float(x) if abs(float(x)) > _NOISE else 0:.6g}" for x in value.detach().reshape(-1))
        return numbers if value.numel() == 1 else f"[{numbers}]"
    return f"{list(value.shape)}, up to {float(value.detach().abs().max()):.6g}"
