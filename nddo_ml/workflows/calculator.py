"""NDDOCalculator: any model of the package as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.constant import constant_energy
from nddo_ml.models.open import open_model
from nddo_ml.systems import Systems
from nddo_ml.workflows.followed import Densities, changes_between


class NDDOCalculator(Calculator):
    """Energy, forces, dipole and charges of an ASE ``Atoms`` from a model; stress and per-atom stresses
    (their sum is the stress) too from a periodic one.

    Args:
        model: an ``NDDO`` method, a hybrid or a potential, or the name of one: a method, a shipped model, a file.
        charge: total charge in e; left out, what ``atoms`` says: ``info``, else the sum of the initial charges, else 0.
        multiplicity: 2S + 1; left out, likewise: ``info``, else the initial magnetic moments, else the lowest possible.
        device: where to compute.

    Each call starts from the densities of the last ones when the molecule is the same, its charge and
    multiplicity included (:class:`nddo_ml.workflows.followed.Densities`).

    Raises (when calculating):
        InputError: a periodic cell with a molecular model, an element that the model lacks, a multiplicity
            that does not fit the number of electrons, coordinates that are not finite.
        SCFConvergenceError: the self-consistent field did not converge.
    """

    def __init__(
        self,
        model: AbstractModel | str | Path,
        charge: int | None = None,
        multiplicity: int | None = None,
        device: torch.device | str = "cpu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.implemented_properties = ["energy", "free_energy", "forces", "dipole", "charges", "energies"]
        model = open_model(model) if isinstance(model, str | Path) else model
        if model.periodic:
            self.implemented_properties += ["stress", "stresses"]
        self.model = model
        self.charge = charge
        self.multiplicity = multiplicity
        self.device = device
        self._built: tuple[Atoms, object, Systems] | None = None  # of what the last systems were made
        self._densities = Densities()

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; what ``info`` says of charge and spin counts."""
        return list(all_changes) if self.atoms is None else changes_between(self.atoms, atoms)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Energy and forces in one go, and stress when asked for."""
        if atoms is not None:
            self.atoms = atoms.copy()
        systems = self._systems()
        stressed = "stress" in properties or "stresses" in properties
        prediction = self.model(systems, forces=True, stress=stressed, start=self._densities.start(systems))
        if prediction.scf is not None:
            self._densities.add(systems, prediction.scf.density)
        energy = float(prediction.energy[0])
        consistent = energy - float(constant_energy(self.model, systems)[0])  # with the forces, as ASE has it
        self.results = {"energy": energy, "free_energy": consistent}
        for name, value in (
            ("forces", prediction.forces),
            ("charges", prediction.charges),
            ("energies", prediction.atomic_energies),
        ):
            if value is not None:
                self.results[name] = value.detach().cpu().numpy()
        if prediction.dipole is not None:
            self.results["dipole"] = prediction.dipole[0].detach().cpu().numpy()
        if prediction.stress is not None:
            stress = prediction.stress[0].detach().cpu().numpy()
            self.results["stress"] = np.asarray(full_3x3_to_voigt_6_stress(stress))
        if prediction.virials is not None:
            stresses = -prediction.virials.detach().cpu().numpy() / self.atoms.get_volume()
            self.results["stresses"] = np.stack([full_3x3_to_voigt_6_stress(s) for s in stresses])

    def _systems(self) -> Systems:
        """The structure, built anew where more than its positions has changed."""
        options = (self.charge, self.multiplicity, self.device)
        if self._built is not None:
            atoms, built_with, systems = self._built
            if built_with == options and set(changes_between(atoms, self.atoms)) <= {"positions"}:
                return systems.moved(torch.as_tensor(self.atoms.get_positions(), device=self.device))
        self._built = None
        systems = Systems.from_ase(self.atoms, self.charge, self.multiplicity, device=self.device)
        if not self.model.periodic and bool(systems.pbc.any()):
            raise InputError(
                f"{self.model.name} is for molecules: expected pbc False in every direction; "
                f"got {self.atoms.pbc.tolist()}. Set atoms.pbc = False if an isolated molecule is meant"
            )
        self._built = (self.atoms, options, systems)
        return systems
