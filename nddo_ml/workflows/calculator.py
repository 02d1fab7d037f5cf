"""NDDOCalculator: any model of the package as an ASE calculator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from nddo_ml.environments.charges import PointCharges
from nddo_ml.environments.embedding import Environment
from nddo_ml.environments.together import Together
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.constant import constant_energy
from nddo_ml.models.open import open_model
from nddo_ml.systems import Systems
from nddo_ml.workflows.followed import Densities, changes_between

_OF_ASE = {"atoms", "label", "directory", "restart", "ignore_bad_restart_file"}  # options that every calculator takes


class NDDOCalculator(Calculator):
    """Energy, forces, dipole and charges of an ASE ``Atoms`` from a model; stress and per-atom stresses
    (their sum is the stress) too from a periodic one.

    Args:
        model: an ``NDDO`` method, a hybrid or a potential, or the name of one: a method, a shipped model, a file.
        charge: total charge in e; left out, what ``atoms`` says: ``info``, else the sum of the initial charges, else 0.
        multiplicity: 2S + 1; left out, likewise: ``info``, else the initial magnetic moments, else the lowest possible.
        device: where to compute.
        environment: what surrounds the molecule, or a function that says it of an ``Atoms``; beside what
            :meth:`embed` was given.
        kwargs: options that all of ASE's calculators have, such as ``label``; any other is an InputError.

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
        environment: Environment | Callable[[Atoms], Environment | None] | None = None,
        **kwargs: Any,
    ) -> None:
        if unknown := sorted(kwargs.keys() - _OF_ASE):
            raise InputError(
                f"expected model, charge, multiplicity, device or environment; there is no option {unknown[0]!r}"
            )
        super().__init__(**kwargs)
        self.implemented_properties = ["energy", "free_energy", "forces", "dipole", "charges", "energies"]
        model = open_model(model) if isinstance(model, str | Path) else model
        if model.periodic:
            self.implemented_properties += ["stress", "stresses"]
        self.model = model
        self.charge = charge
        self.multiplicity = multiplicity
        self.device = device
        self.environment = environment
        self.embedding: EmbeddingCharges | None = None
        self._surroundings: Environment | None = None
        self._built: tuple[Atoms, object, Systems] | None = None  # of what the last systems were made
        self._densities = Densities()

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; what ``info`` says of charge and spin counts."""
        if self.atoms is None:
            return list(all_changes)
        changes = changes_between(self.atoms, atoms)
        around = self._around(atoms)
        if (around is not None or self._surroundings is not None) and _record(around) != _record(self._surroundings):
            changes.append("environment")
        return changes

    def embed(self, charges: Sequence[float] | np.ndarray, radius: float = 0.0) -> EmbeddingCharges:
        """Put the molecule among point charges (e), whose positions follow: what ``ase.calculators.qmmm.EIQMMM`` asks.

        Args:
            charges: [sites] e.
            radius: Å, that smears them; EIQMMM passes it on from its ``Embedding(radius=…)``.
        """
        self.embedding = EmbeddingCharges(np.asarray(charges, dtype=float), radius)
        return self.embedding

    def _around(self, atoms: Atoms) -> Environment | None:
        given = self.environment(atoms) if callable(self.environment) else self.environment
        embedded = None if self.embedding is None else self.embedding.environment
        parts = [part for part in (given, embedded) if part is not None]
        return Together.of(parts) if parts else None

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
        self._surroundings = self._around(self.atoms)
        start = self._densities.start(systems)
        around = self._surroundings
        prediction = self.model(systems, forces=True, stress=stressed, start=start, environment=around, spread=False)
        if prediction.scf is not None:
            self._densities.add(systems, prediction.scf.density)
        energy = float(prediction.energy[0])
        consistent = energy - float(constant_energy(self.model, systems)[0])  # with the forces, as ASE has it
        self.results = {"energy": energy, "free_energy": consistent}
        for name, value in (
            ("forces", prediction.forces),
            ("charges", prediction.charges),
            ("energies", prediction.atomic_energies),
            ("environment_forces", prediction.environment_forces),
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


def _record(environment: Environment | None) -> dict[str, Any] | None:
    return None if environment is None else environment.record()


class EmbeddingCharges:
    """Point charges around a calculator's molecule, as ``ase.calculators.qmmm`` moves and asks them."""

    def __init__(self, charges: np.ndarray, radius: float) -> None:
        self.charges = charges
        self.radius = radius
        self.positions: np.ndarray | None = None

    def set_positions(self, positions: np.ndarray) -> None:
        """Move the charges to ``positions`` [sites, 3] Å."""
        self.positions = np.array(positions, dtype=float)

    def set_charges(self, charges: Sequence[float] | np.ndarray) -> None:
        """Change the charges, [sites] e."""
        self.charges = np.array(charges, dtype=float)

    def get_forces(self, calc: Calculator) -> np.ndarray:
        """Forces on the charges in the calculator's last result, [sites, 3] eV/Å."""
        forces: np.ndarray = calc.results["environment_forces"]
        return forces[len(forces) - len(self.charges) :]

    @property
    def environment(self) -> PointCharges | None:
        """The charges where they are; None as long as they are nowhere, or if there are none."""
        if self.positions is None or not len(self.charges):
            return None
        return PointCharges.of(torch.as_tensor(self.charges), torch.as_tensor(self.positions), radius=self.radius)
