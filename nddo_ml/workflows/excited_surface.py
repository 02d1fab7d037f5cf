"""The surface of an excited state as a model: energies and exact forces, so that whatever moves atoms works on it.

The derivative of an excitation energy is that of the ground state's energy with other weights: Foresman, Head-Gordon,
Pople & Frisch, J. Phys. Chem. 96, 135 (1992), with the adjoint of :mod:`nddo_ml.energy.adjoint` in place of
their response of the orbitals.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from nddo_ml.derivatives import contracted_gradient
from nddo_ml.energy.adjoint import ResponseOptions, density_response
from nddo_ml.energy.functional import energy_weights, flat_integrals, fock_weights
from nddo_ml.errors import InputError
from nddo_ml.integrals.build import Integrals
from nddo_ml.models.base import AbstractModel, Capabilities, Prediction, Request
from nddo_ml.models.open import as_nddo
from nddo_ml.systems import Systems
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.excited_states import Singles
from nddo_ml.workflows.second_derivatives import given


@final
class ExcitedState(AbstractModel):
    """An excited state of closed shells: ``ExcitedState(NDDO("AM1"))(systems, forces=True)``, S₁ unless told.

    The state is the n-th lowest of its multiplicity at every geometry. Where it meets another one, its surface has an
    edge and its forces jump.

    Args:
        model: a method or a hybrid, whose environment is felt by the ground state's density.
        state: counted from 1.
        triplets: a triplet instead of a singlet.

    Raises:
        InputError: a model without orbitals; a state below 1.
    """

    periodic = False

    def __init__(self, model: AbstractModel, state: int = 1, *, triplets: bool = False) -> None:
        super().__init__()
        if state < 1:
            raise InputError(f"excited states are counted from 1; got {state}")
        self.method = as_nddo(model)
        self.elements = self.method.elements
        self.state, self.triplets = state, triplets
        self.name = f"{self.method.name} {'T' if triplets else 'S'}{state}"
        self.eval()

    @property
    def capabilities(self) -> Capabilities:
        """See the base class."""
        properties = frozenset({"energy", "heat_of_formation", "forces"})
        return Capabilities(self.elements, periodic=False, charge=True, spin=True, properties=properties, density=True)

    def forward(self, systems: Systems, request: Request) -> Prediction:
        """Energies of the state and, where asked for, forces.

        Raises:
            InputError: an open shell; fewer states than the one wanted.
            SCFConvergenceError, ResponseError: the field, the state or the response was not solved.
        """
        ground = self.method(systems, forces=request.forces, start=request.start, on_failure=request.on_failure)
        energy = ground.energy.detach().clone()
        forces = given(ground.forces).detach().clone() if request.forces else None
        for k in torch.nonzero(energy.isfinite()).squeeze(1).tolist():
            one, atoms = systems.select_with_atoms(torch.tensor([k], device=energy.device))
            one = one.with_positions(one.positions.detach().requires_grad_(request.forces))
            space = Singles.of(self.method, one, triplets=self.triplets)
            states = space.lowest(self.state)
            if len(states.energies) < self.state:
                raise InputError(f"{systems.formula(k)}: state {self.state} of {len(states.energies)} is wanted")
            energy[k] += states.energies[self.state - 1]
            if forces is not None:
                amplitudes = states.amplitudes[self.state - 1]
                forces[atoms] -= excitation_gradient(space, amplitudes, self.method.response_options)
        heat = given(ground.heat_of_formation) + (energy - ground.energy) * EV_KCAL_MOL
        return Prediction(energy=energy, heat_of_formation=heat.detach(), forces=forces, scf=ground.scf)


def excitation_gradient(space: Singles, amplitudes: Tensor, options: ResponseOptions) -> Tensor:
    """``∂ω/∂R`` of the excitation energy of one state, [atoms, 3] eV/Å.

    ``ω = tr D F(P) + T·(2 J − K)[T]`` with the transition density ``T = C_o x C_vᵀ`` and the difference density
    ``D = C_v xᵀx C_vᵀ − C_o x xᵀ C_oᵀ``. Rotations of the orbitals change it by ``2 P̄_ai U_ai``,
    ``P̄ = G[D]_ai + (V_vv xᵀ − xᵀ V_oo)_ai`` with ``V = (2 J − K)[T]``, so that one adjoint solve makes D relaxed; the
    rest are integrals times weights.

    Args:
        space: with integrals whose graph leads to ``space.systems.positions``.
        amplitudes: x [occupied, empty], normalised, of a state.
        options: tolerance and limit of the adjoint solve.

    Raises:
        ResponseError: the response was not solved.
    """
    integrals, x = space.hamiltonian.integrals, amplitudes
    occupied, empty = space.occupied, space.empty
    with torch.no_grad():
        transition = occupied @ x @ empty.T
        coupling = space.coupling(transition[None])[0]
        difference = empty @ x.T @ x @ empty.T - occupied @ x @ x.T @ occupied.T
        turned = empty @ (empty.T @ coupling @ empty @ x.T - x.T @ occupied.T @ coupling @ occupied) @ occupied.T
        loss = space.builder.two_electron(difference[None, None]) + turned + turned.T
        relaxed = difference + density_response(space.builder, space.scf, loss, options, torch.zeros(1).long())
        weights = fock_weights(integrals, space.scf.density, relaxed)
        pairs = zip(weights, _transition_weights(integrals, transition, triplets=space.triplets), strict=True)
        weights = [w + t for w, t in pairs]
    return contracted_gradient(flat_integrals(integrals), weights, [space.systems.positions])[0]


def _transition_weights(integrals: Integrals, transition: Tensor, *, triplets: bool) -> list[Tensor]:
    """Weights of the integrals in ``T·(2 J − K)[T]``, without 2 J for triplets, in the order of ``flat_integrals``.

    With T's symmetric and antisymmetric parts S and A that is the quadratic part of the electronic energy of four
    spins with densities S, ±S, A, ±A. A solvent answers no transition.
    """
    sign = -1.0 if triplets else 1.0
    s, a = 0.5 * (transition + transition.T), 0.5 * (transition - transition.T)
    spins = torch.stack([s, sign * s, a, sign * a])[None]
    plus, minus = (energy_weights(integrals, factor * spins) for factor in (1, -1))
    made = [0.5 * (p + m) for p, m in zip(plus.flat, minus.flat, strict=True)]
    blocks = len(made) - len(integrals.reaction)
    return made[:blocks] + [torch.zeros_like(w) for w in made[blocks:]]
