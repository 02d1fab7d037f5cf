"""A model Hessian of bonds and angles, from the geometry alone, to start optimisations with.

Lindh, Bernhardsson, Karlström & Malmqvist, Chem. Phys. Lett. 241, 423 (1995): every pair of atoms is a
spring of constant 0.45 ρ_ij and every angle one of 0.15 ρ_ij ρ_jk (hartree, bohr, rad), with
ρ_ij = exp[α (r_ref² − r²)] and α, r_ref from the rows of the periodic table. Torsions, rotations and
translations get one small constant instead.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bp_descriptors.neighbors import neighbor_list
from bp_descriptors.triples import triples_of
from nddo_ml.elements import HELIUM, NEON
from nddo_ml.systems import Systems
from nddo_ml.units import BOHR_ANGSTROM, HARTREE_EV

CUTOFF = 5.0  # Å, springs beyond are nothing
BOND = 0.05  # ρ above which two atoms count as bonded in an angle
STRETCH = 0.45  # hartree/bohr²
BEND = 0.15  # hartree/rad²
FLOOR = 0.02  # hartree/bohr², added to the whole diagonal
STRAIGHT = -0.98  # cosine beyond which an angle bends in two directions
ALPHA = ((1.0, 0.3949, 0.3949), (0.3949, 0.28, 0.28), (0.3949, 0.28, 0.28))  # 1/bohr²
R_REF = ((1.35, 2.10, 2.53), (2.10, 2.87, 3.40), (2.53, 3.40, 3.40))  # bohr


def model_hessian(systems: Systems, slot: Tensor, size: int) -> Tensor:
    """Positive definite Hessians [systems, 3 size, 3 size] eV/Å², atom ``k`` in the rows from 3 slot[k].

    Args:
        systems: the batch; images within 5 Å count in periodic cells.
        slot: [atoms] place of each atom in its system's padded list.
        size: length of these lists; places without an atom have the small constant on the diagonal.
    """
    x = systems.positions.detach() / BOHR_ANGSTROM
    pairs = neighbor_list(systems.positions.detach(), CUTOFF, systems.system_idx, systems.cell, systems.pbc, half=False)
    i, j = pairs.i, pairs.j
    lattice = systems.cell.to(x.dtype)[systems.system_idx[i]] / BOHR_ANGSTROM
    vectors = x[j] - x[i] + torch.einsum("pk,pkl->pl", pairs.shift.to(x.dtype), lattice)
    r = vectors.norm(dim=1)
    unit = vectors / r[:, None]
    rho = _strength(systems.numbers[i], systems.numbers[j], r)

    blocks = x.new_zeros(systems.n_systems * size * size, 3, 3)
    place = systems.system_idx * size + slot  # row of atoms in the flat list of all padded atoms

    def add(atoms: tuple[Tensor, ...], rows: tuple[Tensor, ...], constant: Tensor) -> None:
        for a, row_a in zip(atoms, rows, strict=True):
            for b, row_b in zip(atoms, rows, strict=True):
                outer = constant[:, None, None] * row_a[:, :, None] * row_b[:, None, :]
                blocks.index_add_(0, place[a] * size + slot[b], outer)

    add((i, j), (-unit, unit), 0.5 * STRETCH * rho)  # every pair comes twice
    bonded = torch.nonzero(rho > BOND).squeeze(1)
    triples = triples_of(i[bonded])
    a, b = bonded[triples.a], bonded[triples.b]
    for rows, constant in _bends(unit[a], unit[b], r[a], r[b], BEND * rho[a] * rho[b]):
        add((j[a], i[a], j[b]), rows, constant)

    hessian = blocks.reshape(systems.n_systems, size, size, 3, 3).transpose(2, 3)
    hessian = hessian.reshape(systems.n_systems, 3 * size, 3 * size)
    eye = torch.eye(3 * size, dtype=x.dtype, device=x.device)
    return (hessian + FLOOR * eye) * (HARTREE_EV / BOHR_ANGSTROM**2)


def _strength(z_i: Tensor, z_j: Tensor, r: Tensor) -> Tensor:
    """ρ_ij of distances ``r`` in bohr; never above 1, so that compressed bonds stay reasonable."""
    row_i, row_j = ((z > HELIUM).long() + (z > NEON).long() for z in (z_i, z_j))
    alpha = torch.tensor(ALPHA, dtype=r.dtype, device=r.device)[row_i, row_j]
    r_ref = torch.tensor(R_REF, dtype=r.dtype, device=r.device)[row_i, row_j]
    return torch.exp(alpha * (r_ref.square() - r.square())).clamp(max=1.0)


Bend = tuple[tuple[Tensor, Tensor, Tensor], Tensor]


def _bends(u: Tensor, v: Tensor, r_u: Tensor, r_v: Tensor, constant: Tensor) -> tuple[Bend, Bend]:
    """∂θ/∂(first end, centre, second end) of the angles between u and v, twice for straight ones."""
    cosine = (u * v).sum(1)
    normal = torch.linalg.cross(u, v)
    smallest = torch.nn.functional.one_hot(u.abs().argmin(1), 3).to(u)
    across = torch.linalg.cross(u, smallest)  # some direction across u, for angles of 180° and 0°
    normal = torch.where((normal.norm(dim=1) > 1e-3)[:, None], normal, across)
    normal = normal / normal.norm(dim=1, keepdim=True)

    def rows(e_u: Tensor, e_v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, second = e_u / r_u[:, None], e_v / r_v[:, None]
        return first, -(first + second), second

    in_plane = rows(torch.linalg.cross(u, normal), torch.linalg.cross(normal, v))
    return (in_plane, constant), (rows(normal, normal), constant * (cosine < STRAIGHT))
