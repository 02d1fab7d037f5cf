"""A batch cut into chunks of systems alike in size and spin treatment."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.methods.parameters import Method
from nddo_ml.systems import Systems

_SMALL_CHUNK = 20_000  # matrix elements below which a chunk is not cut further
_CHEAP_CHUNK = 50_000  # matrix elements up to which padding costs less than one chunk more


_CHUNK_ELEMENTS = 200_000  # matrix elements worked on at once, so that a chunk's matrices stay in the cache


def starting_densities(guess: Tensor | None, index: Tensor, n_occupied: Tensor, size: int) -> Tensor | None:
    """The starting densities of a chunk, cut to its size and spins.

    Raises:
        InputError: not [systems, spin, M, M].
    """
    if guess is None:
        return None
    if guess.ndim != 4:
        raise InputError(f"a starting density must have shape [systems, spin, M, M]; got {list(guess.shape)}")
    chosen = guess[index, :, :size, :size]
    return chosen[:, :1] if n_occupied.shape[1] == 1 else chosen.expand(-1, 2, -1, -1)


def chunks_of(systems: Systems, method: Method, open_shell: Tensor) -> list[Tensor]:
    """Indices of systems that are worked on together: alike in size and spin treatment, small enough for the cache.

    There are at least as many chunks as threads where the work is worth it.
    """
    width = method.width.to(systems.numbers.device)[systems.numbers]
    orbitals = torch.zeros_like(systems.charge).index_add(0, systems.system_idx, width)
    share = int(orbitals.square().sum()) // torch.get_num_threads() + 1
    limit = max(min(_CHUNK_ELEMENTS, share), _SMALL_CHUNK)
    chunks: list[Tensor] = []
    for spin in (False, True):
        chosen = torch.nonzero(open_shell == spin).squeeze(1)
        chosen = chosen[torch.argsort(orbitals[chosen], stable=True)]
        sizes = orbitals[chosen].tolist()
        first = 0
        for k in range(len(sizes)):
            # sizes ascend, so a chunk is padded to its last system
            last = k + 1 == len(sizes)
            longer = 0 if last else (k + 2 - first) * sizes[k + 1] ** 2
            unlike = not last and sizes[k + 1] > 1.3 * sizes[first] + 8
            if last or longer > limit or (unlike and longer > _CHEAP_CHUNK):
                chunks.append(chosen[first : k + 1])
                first = k + 1
    return chunks
