"""Electronic energy at a given density: the one functional that forces and training differentiate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.integrals.build import Integrals, core_rows
from nddo_ml.integrals.layout import OrbitalLayout, PairGroup
from nddo_ml.integrals.packing import exchange_index, pack_charges
from nddo_ml.scf.density import spins_a_matrix, total_density


@dataclass(frozen=True)
class EnergyWeights:
    """What every integral is multiplied with in the electronic energy at a density."""

    one_electron: tuple[Tensor, ...]  # like the fields of Integrals of the same names
    one_center: tuple[Tensor, ...]
    two_center: tuple[Tensor, ...]
    resonance: tuple[Tensor, ...]
    reaction: tuple[Tensor, ...]

    @property
    def flat(self) -> list[Tensor]:
        """All blocks, in the order of :func:`flat_integrals`."""
        return [*self.one_electron, *self.one_center, *self.two_center, *self.resonance, *self.reaction]

    def detached(self) -> EnergyWeights:
        """The same as constants."""
        values = (self.one_electron, self.one_center, self.two_center, self.resonance, self.reaction)
        return EnergyWeights(*(tuple(t.detach() for t in blocks) for blocks in values))


def flat_integrals(integrals: Integrals) -> list[Tensor]:
    """All blocks that the electronic energy is linear in."""
    i = integrals
    return [*i.one_electron, *i.one_center, *i.two_center, *i.resonance, *i.reaction]


def electronic_energy(integrals: Integrals, weights: EnergyWeights) -> Tensor:
    """``E_el = ½ Σ_σ tr P_σ (h_core + F_σ)`` at a frozen density as a sum of integrals times weights, [systems] eV.

    At the converged density its derivative by anything the integrals depend on is the derivative of the
    self-consistent energy: the basis is orthogonal and the energy stationary.
    """
    energy = integrals.core_charge.new_zeros(integrals.layout.n_systems)
    blocks = zip(flat_integrals(integrals), weights.flat, _systems_of_blocks(integrals), strict=True)
    for value, factor, systems in blocks:
        energy = energy.index_add(0, systems, (value * factor).flatten(1).sum(dim=1))
    return energy


def _systems_of_blocks(integrals: Integrals) -> list[Tensor]:
    """The system of each row of the blocks, in the order of :func:`flat_integrals`."""
    layout = integrals.layout
    atoms = [*[g.atoms for g in layout.atom_groups] * 2, *[g.a for g in layout.pair_groups] * 2]
    every = torch.arange(layout.n_systems, device=layout.system_idx.device)
    return [*(layout.system_idx[at] for at in atoms), *(every for _ in integrals.reaction)]


def charges_of_products(layout: OrbitalLayout, density: Tensor) -> list[Tensor]:
    """Charges of the one-centre products, an atom group: [n, products] e.

    Args:
        layout: of the batch.
        density: [systems, spin, M, M] spin densities (length 1: closed shell).
    """
    total = total_density(density).reshape(-1)
    return [pack_charges(total[g.block]) for g in layout.atom_groups]


def reaction_weight(layout: OrbitalLayout, charge: Sequence[Tensor]) -> Tensor:
    """``½ P_μν P_λσ`` of all products of a system, [systems, K, K], from :func:`charges_of_products`."""
    joined = layout.join_products(charge)
    return 0.5 * joined[:, :, None] * joined[:, None, :]


def energy_weights(integrals: Integrals, density: Tensor) -> EnergyWeights:
    """Weights of the integrals at a density, with a gradient if the density has one.

    A two-centre integral has ``Γ_AB[μν,λσ] = P_μν P_λσ − Σ_σ P^σ_μλ P^σ_νσ``, summed over the members of packed
    products, a one-centre integral half of that; the attraction of core B adds ``−Z_B P_μν`` to the element
    (μν|core B). An element of the reaction of surroundings has ``½ P_μν P_λσ``.

    Args:
        integrals: of the batch, for its layout and core charges.
        density: [systems, spin, M, M] spin densities (length 1: closed shell).
    """
    layout = integrals.layout
    n_spin = density.shape[1]
    flat = density.transpose(0, 1).reshape(n_spin, -1)
    total = total_density(density).reshape(-1)
    scale = spins_a_matrix(density)
    charge = charges_of_products(layout, density)
    one = []
    for group, q in zip(layout.atom_groups, charge, strict=True):
        exchange = sum(_exchange_density(f[group.block]) for f in flat)
        one.append(0.5 * (q[:, :, None] * q[:, None, :] - scale * exchange))
    of_width = {g.width: k for k, g in enumerate(layout.atom_groups)}
    two = []
    for pair, block in zip(layout.pair_groups, integrals.two_center, strict=True):
        ends = (of_width[pair.width_a], pair.a_local), (of_width[pair.width_b], pair.b_local)
        q_a, q_b = (charge[k][at] for k, at in ends)
        exchange = sum(_exchange_density(f[pair.block]) for f in flat)
        weight = q_a[:, :, None] * q_b[:, None, :] - scale * exchange
        two.append(_with_cores(weight, block.shape, q_a, q_b, integrals.core_charge, pair))
    resonance = tuple(2 * total[pair.block] for pair in layout.pair_groups)
    reaction = (reaction_weight(layout, charge),) if integrals.reaction else ()
    return EnergyWeights(tuple(charge), tuple(one), tuple(two), resonance, reaction)


@torch.no_grad()
def fock_weights(integrals: Integrals, density: Tensor, direction: Tensor) -> list[Tensor]:
    """Weights of the integrals in ``Σ_σ tr Λ_σ F_σ(P)``, in the order of :func:`flat_integrals`.

    The Fock matrix is the energy's derivative by the density, and the energy's weights w are quadratic in it, so
    these are ``[w(P + Λ) − w(P − Λ)]/2`` exactly; half of that for a closed shell, whose one spin stands for two.

    Args:
        integrals: of the batch, for its layout and core charges.
        density: [systems, spin, M, M] spin densities P.
        direction: [systems, spin, M, M] symmetric matrices Λ.
    """
    size = direction.abs().flatten(1).amax(dim=1).clamp(min=1e-300)
    unit = direction / size[:, None, None, None]
    factor = 0.5 * size / spins_a_matrix(density)
    plus, minus = (energy_weights(integrals, density + s * unit).flat for s in (1, -1))
    scales = (factor[systems] for systems in _systems_of_blocks(integrals))
    return [(p - m) * f.view(-1, *(1,) * (p.ndim - 1)) for p, m, f in zip(plus, minus, scales, strict=True)]


def _with_cores(
    weight: Tensor, shape: torch.Size, q_a: Tensor, q_b: Tensor, core_charge: Tensor, pair: PairGroup
) -> Tensor:
    """Add the attraction of the electrons of A and B by each other's cores to a block of weights."""
    n_a, n_b = weight.shape[1:]
    if weight.shape != shape:
        padded = weight.new_zeros(shape)
        padded[:, :n_a, :n_b] = weight
        weight = padded
    core_a, core_b = core_rows(weight, pair)
    weight[:, :n_a, core_b] -= core_charge[pair.b, None] * q_a
    weight[:, core_a, :n_b] -= core_charge[pair.a, None] * q_b
    return weight


def _exchange_density(block: Tensor) -> Tensor:
    """``Σ P_μλ P_νσ`` over the members of the packed products μν and λσ, [n, products_a, products_b]."""
    wa, wb = block.shape[1:]
    index = exchange_index(wa, wb).to(block.device).flatten()
    flat = block.flatten(1)
    outer = (flat[:, :, None] * flat[:, None, :]).flatten(1)
    packed = outer.new_zeros(block.shape[0], (wa * (wa + 1) // 2) * (wb * (wb + 1) // 2))
    packed.index_add_(1, index, outer)
    return packed.view(-1, wa * (wa + 1) // 2, wb * (wb + 1) // 2)
