"""Coulomb and exchange matrices of many densities of one molecule at once, which need not be symmetric."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.integrals.packing import exchange_index, pack_charges, packed_index
from nddo_ml.scf.fock import FockBuilder


def exchange(builder: FockBuilder, density: Tensor) -> Tensor:
    """``K_μλ = Σ_ν∈A Σ_σ∈B D_νσ (μν|λσ)``, μ on A and λ on B, [n, M, M] eV of densities D of that shape.

    Args:
        builder: of one molecule.
        density: any matrices.
    """
    layout, n = builder.layout, density.shape[0]
    flat = density.reshape(n, -1).T
    made = torch.zeros_like(flat)
    for pair, w in zip(layout.pair_groups, builder.two_center, strict=True):
        form = w.flatten(1)[:, exchange_index(pair.width_a, pair.width_b).to(w.device)]
        upper = pair.block.flatten(1)
        for at in (upper, upper % layout.size * layout.size + upper // layout.size):
            made[at] = torch.bmm(form, flat[at])
    for group, w in zip(layout.atom_groups, builder.one_center, strict=True):
        at = group.block.flatten(1)
        made[at] = torch.bmm(w.flatten(1)[:, exchange_index(group.width, group.width).to(w.device)], flat[at])
    return made.T.reshape(density.shape)


def coulomb(builder: FockBuilder, density: Tensor) -> Tensor:
    """``J_μν = Σ_B Σ_λσ∈B D_λσ (μν|λσ)``, μ and ν on one atom, [n, M, M] eV of densities D of that shape.

    Args:
        builder: of one molecule.
        density: any matrices; only their symmetric part counts.
    """
    layout, n = builder.layout, density.shape[0]
    flat = 0.5 * (density + density.transpose(1, 2)).reshape(n, -1)
    groups = layout.atom_groups
    charges = [
        pack_charges(flat[:, g.block].reshape(-1, g.width, g.width)).view(n, g.atoms.shape[0], -1).permute(1, 2, 0)
        for g in groups
    ]
    potentials = [torch.bmm(w, q) for w, q in zip(builder.one_center, charges, strict=True)]
    of_width = {g.width: k for k, g in enumerate(groups)}
    for pair, w in zip(layout.pair_groups, builder.two_center, strict=True):
        a, b = of_width[pair.width_a], of_width[pair.width_b]
        potentials[a].index_add_(0, pair.a_local, torch.bmm(w, charges[b][pair.b_local]))
        potentials[b].index_add_(0, pair.b_local, torch.bmm(w.transpose(1, 2), charges[a][pair.a_local]))
    made = torch.zeros_like(flat.T)
    for group, v in zip(groups, potentials, strict=True):
        made[group.block] = v[:, packed_index(group.width).to(v.device)]
    return made.T.reshape(density.shape)
