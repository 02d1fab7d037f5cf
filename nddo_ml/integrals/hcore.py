"""Integrals: everything the self-consistent field needs of a geometry, in eV."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.integrals.one_center import one_center_integrals
from nddo_ml.integrals.overlap import local_overlap
from nddo_ml.integrals.rotate import local_frames, orbital_rotation, packed_index, product_rotation
from nddo_ml.integrals.two_center import local_integrals
from nddo_ml.orbitals import OrbitalLayout, PairGroup
from nddo_ml.parameters import Parameters
from nddo_ml.units import BOHR_ANGSTROM


@dataclass(frozen=True)
class Integrals:
    """Blocks follow the layout's atom and pair groups; products of orbitals are in packed order."""

    layout: OrbitalLayout
    h_core: Tensor  # [systems, M, M] eV, one-electron matrix; zero in padded rows
    one_center: tuple[Tensor, ...]  # an atom group: [n, products, products] eV, (μν|λσ) on one atom
    two_center: tuple[Tensor, ...]  # a pair group: [n, products_a, products_b] eV, (μν|λσ) of two atoms
    gamma: tuple[Tensor, ...]  # a pair group: [n] eV, (ss|ss)
    distance: tuple[Tensor, ...]  # a pair group: [n] Å


def build_integrals(positions: Tensor, layout: OrbitalLayout, parameters: Parameters) -> Integrals:
    """One- and two-electron integrals of a batch.

    h_core: ``U`` on the diagonal, the attraction ``−Z_B (μν|s_B s_B)`` of the other cores in the diagonal blocks, and
    the resonance integrals ``½ (β_μ + β_λ) S_μλ`` between atoms. Source: Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977).

    Args:
        positions: [atoms, 3] Å.
        layout: the batch's orbital layout.
        parameters: [atoms] each.
    """
    h_core = positions.new_zeros(layout.n_systems * layout.size**2)
    one_center = []
    attraction = [_one_electron(parameters, g.atoms, g.width) for g in layout.atom_groups]
    for group in layout.atom_groups:
        one_center.append(one_center_integrals(parameters, group.atoms, group.width))
    two_center, gamma, distance = [], [], []
    of_width = {g.width: k for k, g in enumerate(layout.atom_groups)}
    for pair in layout.pair_groups:
        blocks, resonance, r = _pair_blocks(positions, parameters, pair)
        z_a, z_b = parameters.core_charge[pair.a], parameters.core_charge[pair.b]
        ka, kb = of_width[pair.width_a], of_width[pair.width_b]
        attraction[ka] = attraction[ka].index_add(0, pair.a_local, -z_b[:, None] * blocks[:, :, 0])
        attraction[kb] = attraction[kb].index_add(0, pair.b_local, -z_a[:, None] * blocks[:, 0, :])
        h_core = h_core.index_put((pair.block,), resonance)
        two_center.append(blocks)
        gamma.append(blocks[:, 0, 0])
        distance.append(r)
    h_core = h_core.view(layout.n_systems, layout.size, layout.size)
    h_core = (h_core + h_core.transpose(1, 2)).reshape(-1)
    for group, packed in zip(layout.atom_groups, attraction, strict=True):
        h_core = h_core.index_put((group.block,), packed[:, packed_index(group.width).to(packed.device)])
    h_core = h_core.view(layout.n_systems, layout.size, layout.size)
    return Integrals(layout, h_core, tuple(one_center), tuple(two_center), tuple(gamma), tuple(distance))


def _one_electron(p: Parameters, atoms: Tensor, width: int) -> Tensor:
    """U_ss and U_pp as a packed diagonal block, [n, products]."""
    diagonal = torch.zeros(atoms.shape[0], width * (width + 1) // 2, dtype=p.U_ss.dtype, device=atoms.device)
    columns = packed_index(width).diagonal().to(atoms.device)
    values = torch.stack((p.U_ss[atoms], *(p.U_pp[atoms],) * (width - 1)), dim=1)
    return diagonal.index_copy(1, columns, values)


def _pair_blocks(positions: Tensor, p: Parameters, pair: PairGroup) -> tuple[Tensor, Tensor, Tensor]:
    """Two-electron blocks and resonance integrals in the Cartesian frame, and distances in Å, of a pair group."""
    vector = positions[pair.b] - positions[pair.a]
    r = vector.norm(dim=1)
    r_bohr = r / BOHR_ANGSTROM
    rotation = local_frames(vector / r[:, None])
    rotate_a, rotate_b = (orbital_rotation(rotation, w) for w in (pair.width_a, pair.width_b))
    m_a, m_b = (p.multipoles.map(lambda t, k=k: t[k]) for k in (pair.a, pair.b))
    blocks = local_integrals(r_bohr, m_a, m_b, pair.width_a, pair.width_b)
    if pair.width_a > 1:
        blocks = product_rotation(rotate_a) @ blocks
    if pair.width_b > 1:
        blocks = blocks @ product_rotation(rotate_b).transpose(1, 2)
    zeta = torch.stack((p.zeta_s, p.zeta_p), dim=1)
    overlap = local_overlap(
        r_bohr,
        zeta[pair.a],
        zeta[pair.b],
        p.principal[pair.a],
        p.principal[pair.b],
        pair.width_a,
        pair.width_b,
    )
    beta_a, beta_b = (
        torch.stack((p.beta_s[k], *(p.beta_p[k],) * (w - 1)), dim=1)
        for k, w in ((pair.a, pair.width_a), (pair.b, pair.width_b))
    )
    resonance = 0.5 * (beta_a[:, :, None] + beta_b[:, None, :]) * overlap
    return blocks, rotate_a @ resonance @ rotate_b.transpose(1, 2), r
