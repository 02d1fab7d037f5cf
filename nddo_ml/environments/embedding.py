"""The one way in which surroundings enter a Hamiltonian."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from nddo_ml.integrals.build import Integrals
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.methods.parameters import Parameters
from nddo_ml.systems import Systems


@dataclass(frozen=True)
class Embedding:
    """A linear potential for every one-centre product of orbitals, and the energy that needs no density.

    The energy gains ``Σ_A Σ_μν∈A P_μν V_μν + E_cores``; the Fock matrix follows, and forces at a frozen density are
    the derivatives of V and E_cores. Surroundings that answer the density linearly have a reaction matrix M besides,
    and ``½ Σ P_μν M_μν,λσ P_λσ``.
    """

    one_electron: tuple[Tensor, ...]  # V, an atom group: [n, products] eV, in packed order
    energy: Tensor  # [systems] eV, of the cores in the surroundings
    reaction: tuple[Tensor, ...] = ()  # M, none or one [systems, K, K] eV, see OrbitalLayout.join_products

    @classmethod
    def of_reaction(cls, matrix: Tensor, energy: Tensor, core_charge: Tensor, layout: OrbitalLayout) -> Embedding:
        """``E = ½ (z − P)·M (z − P)``, where the cores z act as products (ss|, with a further energy [systems] eV."""
        cores = [torch.zeros_like(places, dtype=matrix.dtype) for places in layout.product_places[1]]
        for block, group in zip(cores, layout.atom_groups, strict=True):
            block[:, 0] = core_charge[group.atoms]
        z = layout.join_products(cores)
        felt = (matrix @ z[:, :, None]).squeeze(2)
        potential = tuple(-v for v in layout.split_products(felt))
        return cls(potential, energy + 0.5 * (felt * z).sum(dim=1), (matrix,))

    def added_to(self, integrals: Integrals) -> Integrals:
        """Integrals with the potential in their one-electron blocks."""
        blocks = (u + v for u, v in zip(integrals.one_electron, self.one_electron, strict=True))
        return replace(integrals, one_electron=tuple(blocks), reaction=self.reaction)


class Environment(Protocol):
    """Surroundings of the systems of a batch."""

    @property
    def positions(self) -> Tensor | None:
        """[sites, 3] Å of what feels forces; None where nothing does."""

    @property
    def alike(self) -> bool:
        """Whether every system of any batch has the same surroundings."""

    @property
    def free_motions(self) -> int:
        """How many of the three translations, then three rotations, leave the second derivatives as they are."""

    def record(self) -> dict[str, Any]:
        """What they are as plain data, by which results are known."""

    def with_positions(self, positions: Tensor) -> Self:
        """The same surroundings at other positions."""

    def over(self, n_systems: int) -> Self:
        """Those of a batch of so many systems, where all are alike each with sites of its own."""

    def select(self, index: Tensor) -> tuple[Self, Tensor]:
        """The surroundings of the systems ``index`` [k] alone, and the indices of their sites."""

    def elements(self, atoms: Tensor) -> Tensor:
        """How many elements the largest matrix has of systems of so many atoms [systems]; zero where there is none."""

    def check(self, systems: Systems) -> None:
        """Raise InputError, naming the system, where the surroundings do not fit."""

    def embed(self, systems: Systems, parameters: Parameters, layout: OrbitalLayout) -> Embedding:
        """What they add for a batch, differentiable by both positions."""
