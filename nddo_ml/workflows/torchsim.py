"""Models for TorchSim (https://github.com/TorchSim/torch-sim, extra ``torchsim``): its dynamics and optimisers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch_sim.models.interface import ModelInterface
from torch_sim.state import SimState

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.open import open_model
from nddo_ml.systems import Systems
from nddo_ml.workflows.second_derivatives import given

_NEAR = 0.3  # Å; atoms that have gone farther since the last call are no reason to start from its density


@final
class TorchSimModel(ModelInterface):
    """Any model in TorchSim: ``torch_sim.integrate(atoms, TorchSimModel("PM6"), …)``.

    A whole state is one batch. Where the same systems come again a little moved, each field starts from its last
    density. Charges and multiplicities are those of the state's extras ``charge`` and ``spin``, which TorchSim 0.3 has
    not yet; systems are neutral and of lowest spin where there are none.

    Args:
        model: a model, or the name of a method, of a shipped model or of a file.
        device: where it runs.
        dtype: of energies, forces and stresses; double precision, since fields converge to less in single.

    Raises:
        InputError: no such model.
    """

    def __init__(
        self,
        model: AbstractModel | str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__()
        self.model = open_model(model) if isinstance(model, str | Path) else model
        self._device, self._dtype = torch.device(device), dtype
        self.model.to(self._device)
        self._compute_forces, self._compute_stress = True, self.model.capabilities.periodic
        self._memory_scales_with = "n_atoms_x_density" if self.model.capabilities.periodic else "n_atoms"
        self._last: tuple[Systems, Tensor] | None = None

    @ModelInterface.compute_stress.setter
    def compute_stress(self, wanted: bool) -> None:
        """Whether to give stresses.

        Raises:
            NotImplementedError: a model of molecules, as TorchSim expects it.
        """
        if wanted and not self.model.capabilities.periodic:
            raise NotImplementedError(f"{self.model.name} treats molecules, which have no stress")
        self._compute_stress = wanted

    @ModelInterface.compute_forces.setter
    def compute_forces(self, wanted: bool) -> None:
        """Whether to give forces."""
        self._compute_forces = wanted

    def forward(self, state: SimState, **_: Any) -> dict[str, Tensor]:
        """Energies [systems] eV, forces [atoms, 3] eV/Å and, of periodic cells, stresses [systems, 3, 3] eV/Å³.

        Raises:
            InputError, SCFConvergenceError: as from the model.
        """
        systems = self._systems(state)
        stress = self._compute_stress and bool(systems.pbc.any())
        start = self._start(systems)
        with torch.no_grad():
            prediction = self.model(systems, forces=self._compute_forces, stress=stress, start=start)
        self._last = None if prediction.scf is None else (systems, prediction.scf.density)
        found = {"energy": prediction.energy}
        if self._compute_forces:
            found["forces"] = given(prediction.forces)
        if stress:
            found["stress"] = given(prediction.stress)
        return {name: value.detach().to(self._dtype) for name, value in found.items()}

    def _systems(self, state: SimState) -> Systems:
        """The state as a batch."""
        n = state.n_systems
        pbc = torch.as_tensor(state.pbc, device=self._device).bool().expand(n, 3)
        if bool(pbc.any()) and not self.model.capabilities.periodic:
            raise InputError(f"{self.model.name} treats molecules only; expected pbc = False")
        rows = state.row_vector_cell.double() * pbc[:, :, None]
        charge = torch.as_tensor(getattr(state, "charge", 0)).round().long().expand(n).tolist()
        spin = getattr(state, "spin", None)
        multiplicity = None if spin is None else torch.as_tensor(spin).round().long().expand(n).tolist()
        numbers, positions = state.atomic_numbers.long(), state.positions.detach().double()
        return Systems.build(numbers, positions, state.system_idx, charge, multiplicity, rows, pbc)

    def _start(self, systems: Systems) -> Tensor | None:
        """The last densities, where these are the same systems a little moved."""
        if self._last is None:
            return None
        old, density = self._last
        names = ("numbers", "system_idx", "charge", "multiplicity")
        if not all(torch.equal(getattr(old, name), getattr(systems, name)) for name in names):
            return None
        return density if float((old.positions - systems.positions).abs().max()) < _NEAR else None
