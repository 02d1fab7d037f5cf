"""Delta learning: an energy of atoms is trained beside a field that stays, whose results are computed once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.derivatives import gradient
from nddo_ml.hybrid.correction import Corrections
from nddo_ml.hybrid.features import AtomFeatures, Features
from nddo_ml.models.base import Prediction
from nddo_ml.models.nddo import NDDO
from nddo_ml.systems import Systems

_AT_ONCE = 128  # structures


@dataclass
class _Base:
    """Results of the field that stays, for all structures of a data set."""

    energy: Tensor  # [structures] eV
    forces: Tensor  # [atoms, 3] eV/Å, zero where they are not asked for
    charges: Tensor  # [atoms]
    dipole: Tensor  # [structures, 3]


class FrozenField:
    """Predictions of a hybrid of which only atomic energies are trained; symmetry functions are kept as well.

    Raises:
        SCFConvergenceError: the field of a structure does not converge, by its number in the data.
    """

    def __init__(self, model: NDDO, systems: Systems, forces: Tensor) -> None:
        self.model = model
        self.systems = systems
        self.trained = Corrections([c for c in model.corrections if _is_trained(c)])
        fixed = model.with_corrections([c for c in model.corrections if not _is_trained(c)])
        self.base = _field_of(fixed.eval(), systems, forces)
        self.features = {f: _features_of(f, systems) for f in dict.fromkeys(c.features for c in self.trained)}

    @staticmethod
    def serves(model: NDDO) -> bool:
        """Whether added energies are all that is trained."""
        trained = [c for c in model.corrections if _is_trained(c)]
        return bool(trained) and not any(c.of_field for c in trained)

    def __call__(self, index: Tensor, *, forces: bool, stress: bool) -> Prediction:
        systems, atoms = self.systems.select_with_atoms(index)
        if forces:
            systems = systems.with_positions(systems.positions.detach().requires_grad_())
        with torch.set_grad_enabled(forces or torch.is_grad_enabled()):
            added = systems.positions.new_zeros(systems.n_systems)
            computed = {f: f(systems) if forces else v.of_atoms(atoms) for f, v in self.features.items()}
            for correction in self.trained:
                atomic = correction.atomic_energies(computed[correction.features])
                if atomic is not None:
                    added = added.index_add(0, systems.system_idx, atomic)
            force = None
            if forces:
                (slope,) = gradient(added, [systems.positions], create_graph=self.model.training)
                force = self.base.forces[atoms] - slope
        return Prediction(
            energy=self.base.energy[index] + added,
            forces=force,
            charges=self.base.charges[atoms],
            dipole=self.base.dipole[index],
        )


def _is_trained(correction: torch.nn.Module) -> bool:
    return any(p.requires_grad for p in correction.parameters())


@torch.no_grad()
def _field_of(model: NDDO, systems: Systems, forces: Tensor) -> _Base:
    new = systems.positions.new_zeros
    base = _Base(new(systems.n_systems), new(systems.n_atoms, 3), new(systems.n_atoms), new(systems.n_systems, 3))
    for asked in (False, True):
        chosen = torch.nonzero(forces.cpu() == asked).squeeze(1)
        for index in chosen.split(_AT_ONCE) if chosen.numel() else ():
            some, atoms = systems.select_with_atoms(index)
            result = model(some, forces=asked)
            base.energy[index] = result.energy
            if result.forces is not None:
                base.forces[atoms] = result.forces
            if result.charges is not None and result.dipole is not None:
                base.charges[atoms], base.dipole[index] = result.charges, result.dipole
    return base


@torch.no_grad()
def _features_of(features: AtomFeatures, systems: Systems) -> Features:
    parts = [features(systems.select_with_atoms(i)[0]) for i in torch.arange(systems.n_systems).split(_AT_ONCE)]
    trust = [p.trust for p in parts if p.trust is not None]
    return Features(
        systems.numbers,
        torch.cat([p.values for p in parts]),
        torch.cat([p.presence for p in parts]),
        trust=torch.cat(trust) if trust else None,
    )
