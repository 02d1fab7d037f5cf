"""Fock matrix of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.integrals.build import Integrals, core_hamiltonian, orbital_block
from nddo_ml.integrals.layout import OrbitalLayout, build_layout
from nddo_ml.integrals.packing import exchange_index, pack_charges, packed_index
from nddo_ml.scf.density import SplitOrbitals, from_rotation, to_rotation, total_density

_COMPILED_PAIRS = 1000  # pairs of atoms from which the compiled kernels are worth loading


@dataclass(frozen=True)
class FockBuilder:
    """Fock matrices from densities, for integrals that stay: ``F_σ = h_core + J[P_α + P_β] − K[P_σ]``.

    One- and two-centre terms of NDDO (Pople, Santry & Segal, J. Chem. Phys. 43, S129 (1965))::

        J_μν = Σ_B Σ_λσ∈B P_λσ (μν|λσ)           μ, ν on A
        K_μλ = Σ_ν∈A Σ_σ∈B P_νσ (μν|λσ)          μ on A, λ on B

    Surroundings that answer the density, such as a solvent, add ``Σ_B Σ_λσ∈B M_μν,λσ P_λσ`` to J_μν, with a reaction
    matrix M over the one-centre products of a system.
    """

    layout: OrbitalLayout
    h_core: Tensor  # [systems, M, M] eV
    one_center: tuple[Tensor, ...]  # as in Integrals
    two_center: tuple[Tensor, ...]
    reaction: tuple[Tensor, ...] = ()

    @classmethod
    def from_integrals(cls, integrals: Integrals) -> FockBuilder:
        """The builder of a batch; nothing here carries a gradient."""
        return cls(
            integrals.layout,
            core_hamiltonian(integrals),
            tuple(w.detach() for w in integrals.one_center),
            tuple(
                orbital_block(w.detach(), p)
                for w, p in zip(integrals.two_center, integrals.layout.pair_groups, strict=True)
            ),
            tuple(m.detach() for m in integrals.reaction),
        )

    def fock(self, density: Tensor) -> Tensor:
        """Fock matrices [systems, spin, M, M] eV of spin densities of that shape.

        A spin axis of length 1 holds P_α = P_β of a closed shell.
        """
        return self.h_core[:, None] + self.two_electron(density)

    def select(self, index: Tensor) -> FockBuilder:
        """The builder of some systems of the batch, in ascending order."""
        old = self.layout
        new_of_old = torch.full((old.n_systems,), -1, dtype=torch.int64, device=index.device)
        new_of_old[index] = torch.arange(index.shape[0], device=index.device)
        keep = new_of_old[old.system_idx] >= 0
        layout = build_layout(new_of_old[old.system_idx[keep]], old.width[keep], index.shape[0], old.size)
        of_atoms = [keep[g.atoms] for g in old.atom_groups]
        of_pairs = [keep[g.a] for g in old.pair_groups]

        def pick(blocks: tuple[Tensor, ...], masks: list[Tensor]) -> tuple[Tensor, ...]:
            return tuple(b[m] for b, m in zip(blocks, masks, strict=True) if bool(m.any()))

        blocks = pick(self.one_center, of_atoms), pick(self.two_center, of_pairs)
        k = layout.product_places[0] if self.reaction else 0
        return FockBuilder(layout, self.h_core[index], *blocks, tuple(m[index, :k, :k] for m in self.reaction))

    def two_electron(self, density: Tensor) -> Tensor:
        """``J[P_α + P_β] − K[P_σ]``, [systems, spin, M, M] eV; linear in the symmetric density."""
        pairs = sum(w.shape[0] for w in self.two_center)
        on_cpu = density.device.type == "cpu" and density.dtype == torch.float64 and not density.requires_grad
        g = self.compiled(density) if on_cpu and pairs >= _COMPILED_PAIRS else self.vectorized(density)
        return g + self._answer(density) if self.reaction else g

    def orbital_hessian(self, origin: SplitOrbitals, gap: Tensor, x: Tensor) -> Tensor:
        """``A x = x_ai (ε_a − ε_i) + G[C_a x C_iᵀ + h.c.]_ai`` of rotations x [systems, spin, V, O], eV.

        Args:
            origin: orbitals that make the occupied and the empty block of the Fock matrix diagonal.
            gap: ε_a − ε_i, zero where an orbital is absent.
            x: the rotation.
        """
        return gap * x + to_rotation(origin, self.two_electron(from_rotation(origin, x)))

    def vectorized(self, density: Tensor) -> Tensor:
        """The integrals' part of :meth:`two_electron` by torch, the definition."""
        n_spin = density.shape[1]
        flat = density.transpose(0, 1).reshape(n_spin, -1)
        total = total_density(density).reshape(-1)
        upper = torch.zeros_like(flat)  # blocks of pairs, one triangle
        groups = self.layout.atom_groups
        charge = [pack_charges(total[g.block]) for g in groups]
        potential = [_matvec(w, q) for w, q in zip(self.one_center, charge, strict=True)]
        of_width = {g.width: k for k, g in enumerate(groups)}
        for pair, w in zip(self.layout.pair_groups, self.two_center, strict=True):
            ka, kb = of_width[pair.width_a], of_width[pair.width_b]
            potential[ka] = potential[ka].index_add(0, pair.a_local, _matvec(w, charge[kb][pair.b_local]))
            potential[kb] = potential[kb].index_add(
                0, pair.b_local, _matvec(w.transpose(1, 2), charge[ka][pair.a_local])
            )
            x = _exchange_form(w, pair.width_a, pair.width_b)
            for s in range(n_spin):
                block = -_matvec(x, flat[s][pair.block].flatten(1))
                upper[s].index_put_((pair.block,), block.view_as(pair.block))
        shape = (n_spin, self.layout.n_systems, self.layout.size, self.layout.size)
        square = upper.view(shape)
        g = (square + square.transpose(2, 3)).reshape(n_spin, -1)
        for group, v, w in zip(groups, potential, self.one_center, strict=True):
            coulomb = v[:, packed_index(group.width).to(v.device)]
            x = _exchange_form(w, group.width, group.width)
            for s in range(n_spin):
                exchange = _matvec(x, flat[s][group.block].flatten(1)).view_as(coulomb)
                g[s].index_put_((group.block,), coulomb - exchange)
        return g.view(shape).transpose(0, 1)

    def _answer(self, density: Tensor) -> Tensor:
        """The potential of surroundings that answer the density, [systems, 1, M, M] eV."""
        layout, total = self.layout, total_density(density).reshape(-1)
        charge = layout.join_products([pack_charges(total[g.block]) for g in layout.atom_groups])
        potential = layout.split_products(_matvec(self.reaction[0], charge))
        result = torch.zeros_like(total)
        for group, v in zip(layout.atom_groups, potential, strict=True):
            result[group.block] = v[:, packed_index(group.width).to(v.device)]
        return result.view(-1, 1, layout.size, layout.size)

    def compiled(self, density: Tensor) -> Tensor:
        """The integrals' part of :meth:`two_electron` by compiled kernels, for double precision on a CPU."""
        from nddo_ml.scf import fock_kernels as kernels

        layout = self.layout
        result = torch.zeros_like(density)
        p, g = density.numpy(), result.numpy()
        system, first = layout.system_idx.numpy(), layout.first_row.numpy()
        charge, potential = {}, {}
        for group, w in zip(layout.atom_groups, self.one_center, strict=True):
            charge[group.width] = w.new_empty(w.shape[:2]).numpy()
            potential[group.width] = w.new_zeros(w.shape[:2]).numpy()
            at = group.atoms.numpy()
            kernels.one_center_kernel(group.width)(w.numpy(), system[at], first[at], p, g, charge[group.width])
        for pair, w in zip(layout.pair_groups, self.two_center, strict=True):
            a, b = pair.a.numpy(), pair.b.numpy()
            kernels.two_center_kernel(pair.width_a, pair.width_b)(
                *(w.numpy(), system[a], first[a], first[b], pair.a_local.numpy(), pair.b_local.numpy()),
                *(
                    charge[pair.width_a],
                    charge[pair.width_b],
                    potential[pair.width_a],
                    potential[pair.width_b],
                ),
                *(p, g),
            )
        for group, w in zip(layout.atom_groups, self.one_center, strict=True):
            at, k = group.atoms.numpy(), group.width
            kernels.coulomb_kernel(k)(w.numpy(), charge[k], potential[k], system[at], first[at], g)
        return result


def _matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    return torch.bmm(matrix, vector[:, :, None]).squeeze(2)


def _exchange_form(w: Tensor, width_a: int, width_b: int) -> Tensor:
    return w.flatten(1)[:, exchange_index(width_a, width_b).to(w.device)]
