"""Integrals: everything the self-consistent field needs of a geometry, in eV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.integrals.layout import OrbitalLayout, PairGroup
from nddo_ml.integrals.limits import averaged_d, toward_point_charges
from nddo_ml.integrals.one_center import one_center_integrals
from nddo_ml.integrals.overlap import local_overlap
from nddo_ml.integrals.packing import packed_index, packed_pairs
from nddo_ml.integrals.rotate import rotate_blocks
from nddo_ml.integrals.two_center import local_integrals
from nddo_ml.methods.parameters import RADII, SEPARATIONS, Parameters


@dataclass(frozen=True)
class Integrals:
    """Blocks follow the layout's atom and pair groups; products of orbitals are in packed order.

    A two-centre block of atoms whose cores have additive radii of their own has a last row and column for the cores.
    """

    layout: OrbitalLayout
    core_charge: Tensor  # [atoms] e
    one_electron: tuple[Tensor, ...]  # an atom group: [n, products] eV, U on the diagonal
    one_center: tuple[Tensor, ...]  # an atom group: [n, products, products] eV, (μν|λσ) on one atom
    two_center: tuple[Tensor, ...]  # a pair group: [n, products_a, products_b] eV, (μν|λσ) of two atoms
    resonance: tuple[Tensor, ...]  # a pair group: [n, width_a, width_b] eV, ½ (β_μ + β_λ) S_μλ
    distance: tuple[Tensor, ...]  # a pair group: [n] Å
    reaction: tuple[Tensor, ...] = ()  # in what answers the density: one [systems, K, K] eV, see scf.fock


def build_integrals(
    positions: Tensor,
    layout: OrbitalLayout,
    parameters: Parameters,
    resonance_factors: Sequence[Tensor | None] | None = None,
) -> Integrals:
    """One- and two-electron integrals of a batch (Dewar & Thiel, J. Am. Chem. Soc. 99, 4899 (1977)).

    Args:
        positions: [atoms, 3] Å.
        layout: the batch's orbital layout.
        parameters: [atoms] each.
        resonance_factors: a pair group: [pairs, width_a, width_b], what multiplies the resonance integrals in the
            local frame of a pair; None multiplies with one.
    """
    groups = layout.atom_groups
    factors = [None] * len(layout.pair_groups) if resonance_factors is None else resonance_factors
    pairs = [_pair_blocks(positions, parameters, *item) for item in zip(layout.pair_groups, factors, strict=True)]
    return Integrals(
        layout,
        parameters.core_charge,
        tuple(_one_electron(parameters, g.atoms, g.width) for g in groups),
        tuple(one_center_integrals(parameters, g.atoms, g.width) for g in groups),
        *(tuple(p[k] for p in pairs) for k in range(3)),
    )


def overlap_matrix(positions: Tensor, layout: OrbitalLayout, p: Parameters) -> Tensor:
    """Overlaps of the Slater orbitals, [systems, M, M], one on the diagonal, padded rows too.

    Args:
        positions: [atoms, 3] Å.
        layout: of the batch.
        p: [atoms] each.
    """
    square = positions.new_zeros(layout.n_systems * layout.size**2)
    zeta = torch.stack((p.zeta_s, p.zeta_p, p.zeta_d), dim=1)
    for pair in layout.pair_groups:
        widths, vector = (pair.width_a, pair.width_b), positions[pair.b] - positions[pair.a]
        r = vector.norm(dim=1)
        ends = zeta[pair.a], zeta[pair.b], p.principal[pair.a], p.principal[pair.b]
        local = local_overlap(r / p.constants.bohr_angstrom, *ends, *widths)
        square[pair.block] = rotate_blocks(local, vector / r[:, None], widths, products=False)
    square = square.view(layout.n_systems, layout.size, layout.size)
    return square + square.transpose(1, 2) + torch.eye(layout.size).to(square)


def core_rows(block: Tensor, pair: PairGroup) -> tuple[int, int]:
    """Row of A's core and column of B's in a two-centre block: the last, or that of (ss| where cores have none."""
    own_a = block.shape[1] > len(packed_pairs(pair.width_a))
    own_b = block.shape[2] > len(packed_pairs(pair.width_b))
    return -1 if own_a else 0, -1 if own_b else 0


def orbital_block(block: Tensor, pair: PairGroup) -> Tensor:
    """A two-centre block without the row and column of the cores."""
    n_a, n_b = len(packed_pairs(pair.width_a)), len(packed_pairs(pair.width_b))
    return block if block.shape[1:] == (n_a, n_b) else block[:, :n_a, :n_b].contiguous()


def core_hamiltonian(integrals: Integrals) -> Tensor:
    """One-electron matrix h_core, [systems, M, M] eV, zero in padded rows; carries no gradient.

    ``U`` on the diagonal, the attraction ``−Z_B (μν|s_B s_B)`` of the other cores in the diagonal blocks, and the
    resonance integrals between atoms.
    """
    layout, z = integrals.layout, integrals.core_charge
    h = z.new_zeros(layout.n_systems * layout.size**2)
    attraction = [torch.zeros_like(u) for u in integrals.one_electron]
    of_width = {g.width: k for k, g in enumerate(layout.atom_groups)}
    for pair, block, resonance in zip(layout.pair_groups, integrals.two_center, integrals.resonance, strict=True):
        core_a, core_b = core_rows(block, pair)
        n_a, n_b = len(packed_pairs(pair.width_a)), len(packed_pairs(pair.width_b))
        on_a = -z[pair.b, None] * block.detach()[:, :n_a, core_b]
        on_b = -z[pair.a, None] * block.detach()[:, core_a, :n_b]
        attraction[of_width[pair.width_a]].index_add_(0, pair.a_local, on_a)
        attraction[of_width[pair.width_b]].index_add_(0, pair.b_local, on_b)
        h[pair.block] = resonance.detach()
    square = h.view(layout.n_systems, layout.size, layout.size)
    h = (square + square.transpose(1, 2)).reshape(-1)
    for group, u, v in zip(layout.atom_groups, integrals.one_electron, attraction, strict=True):
        h[group.block] = (u.detach() + v)[:, packed_index(group.width).to(h.device)]
    return h.view_as(square)


def _one_electron(p: Parameters, atoms: Tensor, width: int) -> Tensor:
    """U_ss, U_pp and U_dd as a packed diagonal block, [n, products]."""
    diagonal = torch.zeros(atoms.shape[0], len(packed_pairs(width)), dtype=p.U_ss.dtype, device=atoms.device)
    columns = packed_index(width).diagonal().to(atoms.device)
    return diagonal.index_copy(1, columns, _by_orbital((p.U_ss, p.U_pp, p.U_dd), atoms, width))


def _by_orbital(shells: tuple[Tensor, Tensor, Tensor], atoms: Tensor, width: int) -> Tensor:
    """A parameter of s, p, d as one value an orbital, [n, width]."""
    s, p, d = shells
    if width == 1:
        return s[atoms, None]
    columns = [s[atoms], *(p[atoms],) * 3]
    return torch.stack(columns + [d[atoms]] * 5 if width == 9 else columns, dim=1)


def _pair_blocks(
    positions: Tensor, p: Parameters, pair: PairGroup, factor: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Two-electron blocks and resonance integrals in the Cartesian frame, and distances in Å, of a pair group."""
    widths = (pair.width_a, pair.width_b)
    vector = positions[pair.b] - positions[pair.a]
    r = vector.norm(dim=1)
    r_bohr, direction = r / p.constants.bohr_angstrom, vector / r[:, None]
    zeta = torch.stack((p.zeta_s, p.zeta_p, p.zeta_d), dim=1)
    overlap = local_overlap(r_bohr, zeta[pair.a], zeta[pair.b], p.principal[pair.a], p.principal[pair.b], *widths)
    beta = (p.beta_s, p.beta_p, p.beta_d)
    beta_a, beta_b = _by_orbital(beta, pair.a, pair.width_a), _by_orbital(beta, pair.b, pair.width_b)
    resonance = 0.5 * (beta_a[:, :, None] + beta_b[:, None, :]) * overlap
    resonance = resonance if factor is None else resonance * factor
    blocks = rotate_blocks(_local_blocks(r, p, pair), direction, widths, products=True)
    return blocks, rotate_blocks(resonance, direction, widths, products=False), r


def _local_blocks(r: Tensor, p: Parameters, pair: PairGroup) -> Tensor:
    m, widths = p.multipoles, (pair.width_a, pair.width_b)
    r_bohr = r / p.constants.bohr_angstrom
    ends = ((pair.a, pair.width_a), (pair.b, pair.width_b))
    separation = tuple(m.separation[:, : SEPARATIONS[w]][k] for k, w in ends)
    radius = tuple(m.radius[:, : RADII[w]][k] for k, w in ends)
    own = bool((m.own_core[pair.a] | m.own_core[pair.b]).any())
    if own:
        radius = tuple(torch.cat((t, m.core_radius[k, None]), dim=1) for t, (k, _) in zip(radius, ends, strict=True))
    blocks = local_integrals(r_bohr, (separation[0], separation[1]), (radius[0], radius[1]), widths, own)
    blocks = _helium_without_cores(blocks * p.constants.hartree_ev, p, pair)
    if p.point_charges is not None:
        blocks = toward_point_charges(blocks, r, p.constants.hartree_ev / r_bohr, p.point_charges, widths)
    blocks = _helium_without_d(blocks, p, pair)
    on_a, on_b = p.averages_d[pair.a], p.averages_d[pair.b]
    return averaged_d(blocks, widths, on_a, on_b) if bool((on_a | on_b).any()) else blocks


def _helium_without_cores(blocks: Tensor, p: Parameters, pair: PairGroup) -> Tensor:
    """Helium's p orbitals feel no other core in MOPAC, with which its parameters were made; all others do.

    Where integrals go over to those of point charges, its p orbitals do feel these charges.
    """
    for end, width in ((pair.a, pair.width_a), (pair.b, pair.width_b)):
        helium = p.period[end] == 1
        if width > 1 and bool(helium.any()):
            felt = torch.ones_like(blocks)
            felt[:, 1 : len(packed_pairs(width)), -1] = (~helium).to(blocks)[:, None]
            blocks = blocks * felt
        blocks = blocks.transpose(1, 2)
    return blocks


def _helium_without_d(blocks: Tensor, p: Parameters, pair: PairGroup) -> Tensor:
    """MOPAC leaves out what products with a p orbital of helium do to products with a d orbital of another atom."""
    helium = p.period[pair.b] == 1
    if (pair.width_a, pair.width_b) != (9, 4) or not bool(helium.any()):
        return blocks
    n_a, n_b = len(packed_pairs(9)), len(packed_pairs(4))
    with_d = torch.tensor([max(product) > 3 for product in packed_pairs(9)], device=blocks.device)
    known = torch.ones_like(blocks)
    known[:, :n_a, 1:n_b] -= (helium[:, None] & with_d).to(known)[:, :, None]
    return blocks * known
