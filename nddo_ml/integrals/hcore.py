"""Integrals: everything the self-consistent field needs of a geometry, in eV."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.integrals.one_center import one_center_integrals
from nddo_ml.integrals.multipoles import RADII, SEPARATIONS
from nddo_ml.integrals.overlap import local_overlap
from nddo_ml.integrals.rotate import (
    local_frames,
    orbital_rotation,
    packed_index,
    packed_pairs,
    product_rotation,
)
from nddo_ml.integrals.two_center import local_integrals
from nddo_ml.orbitals import AtomGroup, OrbitalLayout, PairGroup
from nddo_ml.parameters import Parameters


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
        n_a, n_b = len(packed_pairs(pair.width_a)), len(packed_pairs(pair.width_b))
        # the core is the last product where it has an additive radius of its own, and otherwise like (ss|
        core_a, core_b = (-1 if blocks.shape[1] > n_a else 0, -1 if blocks.shape[2] > n_b else 0)
        attraction[ka] = attraction[ka].index_add(0, pair.a_local, -z_b[:, None] * blocks[:, :n_a, core_b])
        attraction[kb] = attraction[kb].index_add(0, pair.b_local, -z_a[:, None] * blocks[:, core_a, :n_b])
        h_core = h_core.index_put((pair.block,), resonance)
        gamma.append(blocks[:, core_a, core_b])
        two_center.append(blocks[:, :n_a, :n_b])
        distance.append(r)
    h_core = h_core.view(layout.n_systems, layout.size, layout.size)
    h_core = (h_core + h_core.transpose(1, 2)).reshape(-1)
    for group, packed in zip(layout.atom_groups, attraction, strict=True):
        packed = _unattracted_helium(parameters, group, packed)
        h_core = h_core.index_put((group.block,), packed[:, packed_index(group.width).to(packed.device)])
    h_core = h_core.view(layout.n_systems, layout.size, layout.size)
    return Integrals(layout, h_core, tuple(one_center), tuple(two_center), tuple(gamma), tuple(distance))


def _one_electron(p: Parameters, atoms: Tensor, width: int) -> Tensor:
    """U_ss, U_pp and U_dd as a packed diagonal block, [n, products]."""
    diagonal = torch.zeros(atoms.shape[0], len(packed_pairs(width)), dtype=p.U_ss.dtype, device=atoms.device)
    columns = packed_index(width).diagonal().to(atoms.device)
    return diagonal.index_copy(1, columns, _by_orbital((p.U_ss, p.U_pp, p.U_dd), atoms, width))


def _unattracted_helium(p: Parameters, group: AtomGroup, packed: Tensor) -> Tensor:
    """Helium's p orbitals feel no other core in MOPAC, with which its parameters were made."""
    helium = p.period[group.atoms] == 1
    if group.width == 1 or not bool(helium.any()):
        return packed
    bare = _one_electron(p, group.atoms, group.width)
    bare = torch.cat((packed[:, :1], bare[:, 1:]), dim=1)
    return torch.where(helium[:, None], bare, packed)


def _by_orbital(shells: tuple[Tensor, Tensor, Tensor], atoms: Tensor, width: int) -> Tensor:
    """A parameter of s, p, d as one value an orbital, [n, width]."""
    s, p, d = shells
    if width == 1:
        return s[atoms, None]
    columns = [s[atoms], *(p[atoms],) * 3]
    return torch.stack(columns + [d[atoms]] * 5 if width == 9 else columns, dim=1)


def _pair_blocks(positions: Tensor, p: Parameters, pair: PairGroup) -> tuple[Tensor, Tensor, Tensor]:
    """Two-electron blocks and resonance integrals in the Cartesian frame, and distances in Å, of a pair group.

    Where cores have additive radii of their own, a block has one more row and column for them.
    """
    vector = positions[pair.b] - positions[pair.a]
    r = vector.norm(dim=1)
    r_bohr = r / p.constants.bohr_angstrom
    rotation = local_frames(vector / r[:, None])
    rotate_a, rotate_b = (orbital_rotation(rotation, w) for w in (pair.width_a, pair.width_b))
    blocks = _local_blocks(r_bohr, p, pair)
    if pair.width_a > 1:
        blocks = _rotate_rows(product_rotation(rotate_a), blocks)
    if pair.width_b > 1:
        blocks = _rotate_rows(product_rotation(rotate_b), blocks.transpose(1, 2)).transpose(1, 2)
    zeta = torch.stack((p.zeta_s, p.zeta_p, p.zeta_d), dim=1)
    overlap = local_overlap(
        r_bohr,
        zeta[pair.a],
        zeta[pair.b],
        p.principal[pair.a],
        p.principal[pair.b],
        pair.width_a,
        pair.width_b,
    )
    beta = (p.beta_s, p.beta_p, p.beta_d)
    beta_a, beta_b = _by_orbital(beta, pair.a, pair.width_a), _by_orbital(beta, pair.b, pair.width_b)
    resonance = 0.5 * (beta_a[:, :, None] + beta_b[:, None, :]) * overlap
    return blocks, rotate_a @ resonance @ rotate_b.transpose(1, 2), r


def _local_blocks(r_bohr: Tensor, p: Parameters, pair: PairGroup) -> Tensor:
    m = p.multipoles
    ends = ((pair.a, pair.width_a), (pair.b, pair.width_b))
    separation = tuple(m.separation[:, : SEPARATIONS[w]][k] for k, w in ends)
    radius = tuple(m.radius[:, : RADII[w]][k] for k, w in ends)
    own = bool((p.rho_core[pair.a] > 0).any() | (p.rho_core[pair.b] > 0).any())
    if own:
        radius = tuple(torch.cat((t, m.core_radius[k, None]), dim=1) for t, (k, _) in zip(radius, ends, strict=True))
    blocks = local_integrals(
        r_bohr, (separation[0], separation[1]), (radius[0], radius[1]), (pair.width_a, pair.width_b), own
    )
    return blocks * p.constants.hartree_ev


def _rotate_rows(rotation: Tensor, blocks: Tensor) -> Tensor:
    """Rotate the products in the rows of ``blocks``; a last row of the core stays."""
    n = rotation.shape[1]
    if blocks.shape[1] == n:
        return rotation @ blocks
    return torch.cat((rotation @ blocks[:, :n], blocks[:, n:]), dim=1)
