"""A batch cut into chunks of systems alike in size and spin treatment, and their results put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.methods.parameters import Method
from nddo_ml.scf.solve import SCFResult, merge_results
from nddo_ml.systems import Systems

_SMALL_CHUNK = 20_000  # matrix elements below which a chunk is not cut further
_CHEAP_CHUNK = 50_000  # matrix elements up to which padding costs less than one chunk more


_CHUNK_ELEMENTS = 200_000  # matrix elements worked on at once, so that a chunk's matrices stay in the cache
BESIDE_ELEMENTS = 4_000_000  # elements of an environment's matrices at once, of which some ten are kept


@dataclass(frozen=True)
class ChunkResult:
    """Results of one chunk of systems."""

    systems: Tensor  # [k] indices into the batch's systems
    atoms: Tensor  # [n] indices into the batch's atoms
    scf: SCFResult
    electronic: Tensor  # [k] eV
    core: Tensor  # [k] eV
    energy: Tensor  # [k] eV
    charges: Tensor  # [n] e
    dipole: Tensor  # [k, 3] e·Å
    forces: Tensor | None  # [n, 3] eV/Å
    shift_size: Tensor | None  # [k]
    energy_spread: Tensor | None = None  # [k] eV
    atomic_spread: Tensor | None = None  # [n] eV
    sites: Tensor | None = None  # [m] indices into the environment's sites
    site_forces: Tensor | None = None  # [m, 3] eV/Å


@dataclass(frozen=True)
class BatchResult:
    """Results of all chunks in the order of the batch; NaN where the field did not converge."""

    chunks: Sequence[ChunkResult]
    system_idx: Tensor  # [atoms]
    scf: SCFResult

    @classmethod
    def of(cls, chunks: Sequence[ChunkResult], systems: Systems) -> BatchResult:
        """The chunks of a batch, put together."""
        scf = merge_results([(chunk.systems, chunk.scf) for chunk in chunks], systems.n_systems)
        return cls(chunks, systems.system_idx, scf)

    def of_systems(self, name: str) -> Tensor:
        """A result of every system, [systems, …]."""
        return self._together(name, "systems", self.scf.converged)

    def of_atoms(self, name: str) -> Tensor:
        """A result of every atom, [atoms, …]."""
        return self._together(name, "atoms", self.scf.converged[self.system_idx])

    def of_sites(self, count: int) -> Tensor:
        """Forces on the sites that surround the systems, [count, 3] eV/Å; zero for those that surround none."""
        forces = self.of_systems("energy").new_zeros(count, 3)
        for chunk in self.chunks:
            if chunk.sites is not None and chunk.site_forces is not None:
                forces = forces.index_copy(0, chunk.sites, chunk.site_forces)
        return forces

    def has(self, name: str) -> bool:
        """Whether the chunks have this result."""
        return getattr(self.chunks[0], name) is not None

    def _together(self, name: str, where: str, good: Tensor) -> Tensor:
        if len(self.chunks) == 1 and self.scf is self.chunks[0].scf and bool(good.all()):
            only: Tensor = getattr(self.chunks[0], name)
            return only
        values = torch.cat([getattr(chunk, name) for chunk in self.chunks])
        order = torch.cat([getattr(chunk, where) for chunk in self.chunks])
        value = torch.empty_like(values).index_copy(0, order, values)
        return torch.where(good.view(-1, *(1,) * (value.ndim - 1)), value, torch.nan)


def starting_density(start: Tensor | None, index: Tensor, open_shell: Tensor, size: int) -> Tensor | None:
    """The starting density of a chunk, of that of the batch, cut to its size and spins.

    Raises:
        InputError: a density of smaller systems.
    """
    if start is None:
        return None
    chosen = start[index, :, :size, :size]
    if chosen.shape[2:] != (size, size) or chosen.shape[1] not in (1, 2):
        raise InputError(f"a starting density needs {size} rows and one or two spins here; got {list(start.shape)}")
    return chosen.expand(-1, 2, -1, -1) if bool(open_shell.any()) else chosen[:, :1]


def chunks_of(
    systems: Systems, method: Method, open_shell: Tensor, wanted: Tensor, beside: Tensor | None = None
) -> list[Tensor]:
    """Indices of systems that are worked on together: alike in size and spin treatment, small enough for the cache.

    There are at least as many chunks as threads where the work is worth it. ``wanted`` [systems] bool says which
    systems are there to be cut into chunks, ``beside`` [systems] how many elements an environment's matrices have.
    """
    width = method.width.to(systems.numbers.device)[systems.numbers]
    orbitals = torch.zeros_like(systems.charge).index_add(0, systems.system_idx, width)
    share = int((orbitals.square() * wanted).sum()) // torch.get_num_threads() + 1
    limit = max(min(_CHUNK_ELEMENTS, share), _SMALL_CHUNK)
    chunks: list[Tensor] = []
    for spin in (False, True):
        chosen = torch.nonzero((open_shell == spin) & wanted).squeeze(1)
        chosen = chosen[torch.argsort(orbitals[chosen], stable=True)]
        sizes = orbitals[chosen].tolist()
        others = [0] * len(sizes) if beside is None else beside[chosen].tolist()
        first = 0
        for k in range(len(sizes)):
            # sizes ascend, so a chunk is padded to its last system
            last = k + 1 == len(sizes)
            longer = 0 if last else (k + 2 - first) * sizes[k + 1] ** 2
            unlike = not last and sizes[k + 1] > 1.3 * sizes[first] + 8
            full = not last and (k + 2 - first) * max(others[first : k + 2]) > BESIDE_ELEMENTS
            if last or full or longer > limit or (unlike and longer > _CHEAP_CHUNK):
                chunks.append(chosen[first : k + 1])
                first = k + 1
    return chunks
