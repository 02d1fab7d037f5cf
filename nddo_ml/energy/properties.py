"""Properties of a converged density: charges, dipole, bond orders, spin densities, ⟨S²⟩."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.elements import atomic_masses
from nddo_ml.integrals.angular import SHELL, product_multipoles
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.methods.parameters import PD_SEPARATION, SP_SEPARATION, Parameters
from nddo_ml.scf.density import total_density
from nddo_ml.systems import Systems, places


def atomic_populations(layout: OrbitalLayout, density: Tensor) -> Tensor:
    """``Σ_μ∈A P_μμ`` of a density [systems, M, M], [atoms] e."""
    flat = density.reshape(-1)
    populations = flat.new_zeros(layout.width.shape[0])
    for group in layout.atom_groups:
        diagonal = flat[group.block].diagonal(dim1=1, dim2=2).sum(dim=1)
        populations = populations.index_copy(0, group.atoms, diagonal)
    return populations


def coulson_charges(layout: OrbitalLayout, parameters: Parameters, density: Tensor) -> Tensor:
    """``q_A = Z_A − Σ_μ∈A P_μμ``, [atoms] e, from the total density [systems, M, M]."""
    return parameters.core_charge - atomic_populations(layout, density)


def spin_populations(layout: OrbitalLayout, spin_density: Tensor) -> Tensor:
    """α minus β electrons on every atom, [atoms] e, from P_α − P_β [systems, M, M]."""
    return atomic_populations(layout, spin_density)


def dipole_moment(
    layout: OrbitalLayout,
    parameters: Parameters,
    density: Tensor,
    positions: Tensor,
    charges: Tensor,
    masses: Tensor,
) -> Tensor:
    """Dipole moment ``Σ_A q_A (R_A − R_0) − 2 Σ_A [D_sp P_s,p(A) + D_pd Σ_pd c P_p,d(A)]``, [systems, 3] e·Å.

    The second term is the polarisation of an atom by its own s–p and p–d mixing. R_0 is the centre of mass,
    which matters for ions only. Source: Pople & Segal, J. Chem. Phys. 43, S136 (1965).

    Args:
        layout: of the batch.
        parameters: [atoms] each.
        density: [systems, M, M] total density.
        positions: [atoms, 3] Å.
        charges: [atoms] e.
        masses: [atoms], any unit.
    """
    moment = point_charge_dipole(positions, charges, masses, layout.system_idx, layout.n_systems)
    flat = density.reshape(-1)
    for group in layout.atom_groups:
        if group.width >= 4:
            block = flat[group.block]
            separation = parameters.multipoles.separation[group.atoms] * parameters.constants.bohr_angstrom
            own = separation[:, SP_SEPARATION, None] * block[:, 0, 1:4]
            if group.width == 9:
                own = own + separation[:, PD_SEPARATION, None] * _pd_moment(block)
            moment = moment.index_add(0, layout.system_idx[group.atoms], -2 * own)
    return moment


def point_charge_dipole(positions: Tensor, charges: Tensor, masses: Tensor, system_idx: Tensor, n: int) -> Tensor:
    """``Σ_A q_A (R_A − R_0)`` about the centre of mass, [n, 3] e·Å of positions [atoms, 3] Å and charges [atoms] e."""
    weight = masses.new_zeros(n).index_add(0, system_idx, masses)
    center = positions.new_zeros(n, 3).index_add(0, system_idx, positions * masses[:, None]) / weight[:, None]
    moment = charges[:, None] * (positions - center[system_idx])
    return positions.new_zeros(n, 3).index_add(0, system_idx, moment)


def charges_and_dipole(
    systems: Systems, layout: OrbitalLayout, parameters: Parameters, density: Tensor
) -> tuple[Tensor, Tensor]:
    """Charges [atoms] e and dipoles [systems, 3] e·Å of densities [systems, spin, M, M] by spin."""
    total = total_density(density)
    charges = coulson_charges(layout, parameters, total)
    masses = atomic_masses(systems.numbers, systems.positions.dtype)
    return charges, dipole_moment(layout, parameters, total, systems.positions, charges, masses)


def _pd_moment(block: Tensor) -> Tensor:
    """Dipole moment of the products of p and d in units of D_pd, [n, 3], of diagonal density blocks [n, 9, 9]."""
    angular = product_multipoles(9)[1:4] * 5**0.5  # ⟨p|x|d⟩ is D_pd times this
    pairs = packed_pairs(9)
    columns = [k for k, (i, j) in enumerate(pairs) if SHELL[i] == 2 and SHELL[j] == 1]
    rows = torch.stack([block[:, pairs[k][0], pairs[k][1]] for k in columns], dim=1)
    return rows @ angular[:, columns].T.to(rows)


def bond_orders(layout: OrbitalLayout, density: Tensor) -> Tensor:
    """Wiberg bond orders ``B_AB = Σ_μ∈A Σ_λ∈B P_μλ²``, [systems, most atoms, most atoms], zero on the
    diagonal.

    Rows and columns are the atoms of a system in their order in the batch. Source: Wiberg, Tetrahedron 24,
    1083 (1968).
    """
    idx = layout.system_idx
    counts = torch.bincount(idx, minlength=layout.n_systems)
    local = places(idx, counts)
    most = int(counts.max())
    orders = density.new_zeros(layout.n_systems, most, most)
    flat = density.reshape(-1)
    for pair in layout.pair_groups:
        value = flat[pair.block].square().sum(dim=(1, 2))
        orders[idx[pair.a], local[pair.a], local[pair.b]] = value
        orders[idx[pair.a], local[pair.b], local[pair.a]] = value
    return orders
