"""Models in TorchSim's batched dynamics and FIRE, and what they say beside a call of the model itself."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from kinds import CHNO, hybrid, shifts
from nnp_models import make_nnp

from nddo_ml import NDDO, InputError, Systems
from nddo_ml.models.base import AbstractModel

ts = pytest.importorskip("torch_sim")
TorchSimModel = import_module("nddo_ml.workflows.torchsim").TorchSimModel

MODELS = {"method": lambda: NDDO("AM1"), "hybrid": lambda: hybrid(shifts), "potential": lambda: make_nnp(CHNO)}
CPU = torch.device("cpu")


def rattled(*names: str) -> list:
    frames = [molecule(name) for name in names]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.05, seed=k)
    return frames


@pytest.fixture(params=MODELS)
def model(request) -> AbstractModel:
    return MODELS[request.param]()


def test_a_state_is_what_the_model_says_of_its_systems(model) -> None:
    frames = rattled("H2O", "CH3OH")
    found = TorchSimModel(model)(ts.initialize_state(frames, CPU, torch.float64))
    expected = model(Systems.from_ase(frames), forces=True)
    torch.testing.assert_close(found["energy"], expected.energy.detach(), rtol=0, atol=1e-8)
    torch.testing.assert_close(found["forces"], expected.forces.detach(), rtol=0, atol=1e-6)


def test_dynamics_keep_their_energy_and_do_not_feel_the_batch(model) -> None:
    def end(frames: list) -> torch.Tensor:
        state = ts.initialize_state(frames, CPU, torch.float64)
        start, step = _integrator(TorchSimModel(model))
        state = start(state, kT=torch.tensor(0.03, dtype=torch.float64))
        state.momenta = torch.zeros_like(state.momenta)  # those drawn hang on the batch
        totals = []
        for _ in range(8):
            state = step(state, dt=torch.tensor(0.005, dtype=torch.float64))
            kinetic = 0.5 * (state.momenta.square().sum(1) / state.masses)
            totals.append(state.energy + torch.zeros_like(state.energy).index_add(0, state.system_idx, kinetic))
        drift = torch.stack(totals)
        assert float((drift - drift[0]).abs().max()) < 5e-3
        return state.positions

    pair = rattled("H2O", "H2O")
    torch.testing.assert_close(end(pair[:1]), end([pair[0], pair[1]])[:3], rtol=0, atol=1e-5)


def _integrator(model: TorchSimModel):
    """``nve`` as TorchSim 0.3 makes it for a model, and as later ones take the model each time."""
    if hasattr(ts, "INTEGRATOR_REGISTRY"):
        start, step = ts.INTEGRATOR_REGISTRY[ts.Integrator.nve]
        return lambda state, **more: start(state, model, **more), lambda state, **more: step(state, model, **more)
    return ts.nve(model, dt=torch.tensor(0.005, dtype=torch.float64), kT=torch.tensor(0.03, dtype=torch.float64))


def test_fire_relaxes_a_batch() -> None:
    frames = rattled("H2O", "NH3")
    done = ts.generate_force_convergence_fn(force_tol=0.05, include_cell_forces=False)
    fire = ts.Optimizer.fire if hasattr(ts, "Optimizer") else ts.optimizers.fire
    state = ts.optimize(frames, TorchSimModel("AM1"), optimizer=fire, convergence_fn=done, max_steps=300)
    forces = NDDO("AM1")(Systems.from_ase([a for a in state.to_atoms()]), forces=True).forces
    assert float(forces.norm(dim=1).max()) < 0.05


def test_cells_are_for_models_that_know_them() -> None:
    state = ts.initialize_state([bulk("C", cubic=True)], CPU, torch.float64)
    with pytest.raises(InputError, match="molecules only"):
        TorchSimModel("AM1")(state)
    potential = make_nnp(("C",))
    found = TorchSimModel(potential)(state)["stress"]
    expected = potential(Systems.from_ase(bulk("C", cubic=True)), stress=True).stress
    np.testing.assert_allclose(found, expected.detach(), atol=1e-10)
    with pytest.raises(NotImplementedError, match="no stress"):
        TorchSimModel("AM1").compute_stress = True
