"""What every model is and gives: AbstractModel, Prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.threads import alone_after_fork

if TYPE_CHECKING:
    from nddo_ml.scf.solve import SCFResult
    from nddo_ml.systems import Systems


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
    forces_spread: Tensor | None = None  # [atoms] eV/Å, norm of the committee's standard deviation
    shift_size: Tensor | None = None  # [systems], mean square of a hybrid's shifts over their bounds, in training
    scf: SCFResult | None = None


class AbstractModel(nn.Module, ABC):
    """A map from Systems to a Prediction. Final classes: NDDO and NNP."""

    name: str  # "AM1", "hybrid-chno", …
    elements: frozenset[int]  # atomic numbers the model knows
    periodic: bool  # whether periodic cells are honoured

    def __init__(self) -> None:
        super().__init__()
        alone_after_fork()

    @abstractmethod
    def forward(self, systems: Systems, *, forces: bool = False, stress: bool = False) -> Prediction:
        """Energies, and forces and stress where asked for, of a batch."""

    def to_config(self) -> dict[str, Any]:
        """Plain data from which the class builds the same model, its weights yet to be loaded.

        Raises:
            InputError: a model of this class cannot be saved.
        """
        raise InputError(f"models of the class {type(self).__name__} cannot be saved")

    def check_elements(self, systems: Systems) -> None:
        """Raise InputError, naming system and atom, if the model lacks an element."""
        for number in systems.numbers.unique().tolist():
            if number not in self.elements:
                atom = int((systems.numbers == number).nonzero()[0, 0])
                where = f"system {int(systems.system_idx[atom])}, atom {int(systems.places[atom])}"
                known = ", ".join(symbol_of(z) for z in sorted(self.elements))
                raise InputError(f"{where}: {self.name} has no element {symbol_of(number)}; it has {known}")
