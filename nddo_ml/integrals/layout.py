"""OrbitalLayout: atoms to rows of padded matrices, and the pairs of atoms by the widths of their blocks.

The only place that knows padding. Rows of a system are its atoms' orbitals, wide atoms first, then zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bp_descriptors.runs import ranks, starts
from nddo_ml.integrals.packing import packed_pairs


@dataclass(frozen=True)
class AtomGroup:
    """All atoms of one block width."""

    width: int
    atoms: Tensor  # [n] indices into the batch's atoms
    block: Tensor  # [n, width, width] flat indices of the atom's diagonal block in [systems, M, M]


@dataclass(frozen=True)
class PairGroup:
    """All pairs of atoms of one system with block widths (width_a >= width_b)."""

    width_a: int
    width_b: int
    a: Tensor  # [n] indices into the batch's atoms
    b: Tensor
    a_local: Tensor  # [n] indices into the AtomGroup of width_a
    b_local: Tensor
    block: Tensor  # [n, width_a, width_b] flat indices of the block (rows of a, columns of b) in [systems, M, M]


@dataclass(frozen=True)
class OrbitalLayout:
    """How the atoms of a batch fill matrices [systems, M, M]."""

    n_systems: int
    size: int  # M, rows of the padded matrices
    width: Tensor  # [atoms] orbitals of each atom
    system_idx: Tensor  # [atoms]
    first_row: Tensor  # [atoms] row of the atom's first orbital in its system
    n_orbitals: Tensor  # [systems]
    atom_groups: tuple[AtomGroup, ...]
    pair_groups: tuple[PairGroup, ...]

    @property
    def real_rows(self) -> Tensor:
        """Rows that hold an orbital, [systems, M] bool."""
        return torch.arange(self.size, device=self.width.device) < self.n_orbitals[:, None]

    def atom_of_row(self) -> Tensor:
        """Atom of each row, [systems, M] int64; -1 for padding."""
        atoms = torch.full((self.n_systems, self.size), -1, device=self.width.device)
        for group in self.atom_groups:
            for k in range(group.width):
                atoms[self.system_idx[group.atoms], self.first_row[group.atoms] + k] = group.atoms
        return atoms

    @cached_property
    def product_places(self) -> tuple[int, tuple[Tensor, ...]]:
        """K, the most one-centre products of a system, and an atom group's places [n, products] in [systems * K]."""
        count, idx = self.width * (self.width + 1) // 2, self.system_idx
        of_system = torch.zeros_like(self.n_orbitals).index_add(0, idx, count)
        order = torch.argsort(self.first_row, stable=True)
        order = order[torch.argsort(idx[order], stable=True)]
        first = torch.empty_like(count)
        first[order] = starts(count[order]) - starts(of_system)[idx[order]]
        most = int(of_system.max()) if self.n_systems else 0
        of_groups = [torch.arange(len(packed_pairs(g.width)), device=idx.device) for g in self.atom_groups]
        at = [(idx * most + first)[g.atoms, None] + k for g, k in zip(self.atom_groups, of_groups, strict=True)]
        return most, tuple(at)

    def join_products(self, blocks: Sequence[Tensor]) -> Tensor:
        """Values of an atom group's products, [n, products] each, as [systems, K], padded with zeros."""
        most, places = self.product_places
        joined = blocks[0].new_zeros(self.n_systems * most)
        for block, at in zip(blocks, places, strict=True):
            joined = joined.index_copy(0, at.flatten(), block.flatten())
        return joined.view(self.n_systems, most)

    def split_products(self, joined: Tensor) -> tuple[Tensor, ...]:
        """The inverse of :meth:`join_products`."""
        flat = joined.reshape(-1)
        return tuple(flat[at] for at in self.product_places[1])


def build_layout(
    system_idx: Tensor, width: Tensor, n_systems: int, size: int | None = None, *, pairs: bool = True
) -> OrbitalLayout:
    """Lay out atoms with block widths ``width`` [atoms] in the systems ``system_idx`` [atoms].

    ``size`` is the number of rows of the padded matrices; left out, that of the largest system. Without ``pairs``
    there are no groups of them.
    """
    device = width.device
    order = torch.argsort(width, descending=True, stable=True)
    order = order[torch.argsort(system_idx[order], stable=True)]
    widths, idx = width[order], system_idx[order]
    n_orbitals = torch.zeros(n_systems, dtype=torch.int64, device=device).index_add(0, idx, widths)
    first_row = torch.empty_like(width)
    first_row[order] = starts(widths) - starts(n_orbitals)[idx]
    size = int(n_orbitals.max()) if size is None else size
    a, b = _all_pairs(torch.bincount(idx, minlength=n_systems) * pairs)
    a, b = order[a], order[b]  # a comes first in `order`, so width[a] >= width[b]
    distinct = sorted(set(width.tolist()), reverse=True)
    local = torch.empty_like(width)
    atom_groups, pair_groups = [], []
    for w in distinct:
        atoms = order[widths == w]
        local[atoms] = torch.arange(atoms.shape[0], device=device)
        base = (system_idx[atoms] * size + first_row[atoms]) * size + first_row[atoms]
        atom_groups.append(AtomGroup(w, atoms, base[:, None, None] + _block_offsets(w, w, size, device)))
    for i, wa in enumerate(distinct):
        for wb in distinct[i:]:
            keep = (width[a] == wa) & (width[b] == wb)
            ka, kb = a[keep], b[keep]
            if ka.numel() == 0:
                continue
            base = (system_idx[ka] * size + first_row[ka]) * size + first_row[kb]
            block = base[:, None, None] + _block_offsets(wa, wb, size, device)
            pair_groups.append(PairGroup(wa, wb, ka, kb, local[ka], local[kb], block))
    return OrbitalLayout(
        n_systems, size, width, system_idx, first_row, n_orbitals, tuple(atom_groups), tuple(pair_groups)
    )


def _block_offsets(rows: int, columns: int, size: int, device: torch.device) -> Tensor:
    return torch.arange(rows, device=device)[:, None] * size + torch.arange(columns, device=device)


def _all_pairs(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs i < j within consecutive runs of ``counts`` items, as positions in the whole sequence."""
    device = counts.device
    stop = torch.cumsum(counts, 0)
    position = torch.arange(int(counts.sum()), device=device)
    end = torch.repeat_interleave(stop, counts)
    partners = end - position - 1
    i = torch.repeat_interleave(position, partners)
    return i, i + 1 + ranks(partners)
