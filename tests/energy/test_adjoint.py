"""The density as a differentiable function of the integrals: first derivatives, and no silent second ones."""

from __future__ import annotations

import pytest
import torch
from ase.build import molecule
from torch import Tensor

from nddo_ml import NDDO, Systems
from nddo_ml.energy.adjoint import ResponseOptions
from nddo_ml.scf.solve import SCFOptions


@pytest.mark.parametrize(("name", "multiplicity"), [("H2O", 1), ("NH2", 2)])
def test_charges_by_positions(name: str, multiplicity: int) -> None:
    model = NDDO("AM1", scf=SCFOptions(tolerance=1e-12, probe=False), response=ResponseOptions(tolerance=1e-12))
    systems = Systems.from_ase(molecule(name), multiplicity=multiplicity)
    start = model(systems)

    def charges(positions: Tensor) -> Tensor:
        return model(systems.with_positions(positions), start=start).charges

    positions = systems.positions.clone().requires_grad_()
    assert torch.autograd.gradcheck(charges, (positions,), eps=1e-4, atol=1e-6, rtol=1e-5)
    (slope,) = torch.autograd.grad(charges(positions)[0], positions, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated twice"):
        slope.sum().backward()
