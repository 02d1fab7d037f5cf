"""Processes started by torchrun: each computes its share of a batch, and the gradients are summed.

The sum over shares is the single-process gradient to rounding, whatever the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nddo_ml.errors import InputError


@dataclass(frozen=True)
class Processes:
    """This process among all."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of a name for this process.

        Raises:
            InputError: CUDA is asked for and not there.
        """
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(f"device must be cpu on this machine; got {name!r}, and CUDA is not available")
        if name == "cuda" and self.world > 1:
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device(name)

    def share(self, index: Tensor) -> Tensor:
        """This process's part of a batch's structures."""
        return index[self.rank :: self.world]

    def sum_gradients(self, parameters: Sequence[nn.Parameter], value: float) -> float:
        """Sum every parameter's gradient, and ``value``, over processes; the sum of the values."""
        if self.world == 1:
            return value
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        scalar = torch.tensor([value], dtype=torch.float64, device=parameters[0].device)
        flat = torch.cat([scalar, *(p.grad.flatten().double() for p in parameters if p.grad is not None)])
        dist.all_reduce(flat)
        for p, g in zip(parameters, flat[1:].split([p.numel() for p in parameters]), strict=True):
            p.grad = g.reshape(p.shape).to(p.dtype)
        return float(flat[0])

    def sum_values(self, values: dict[str, float]) -> dict[str, float]:
        """Sum a dictionary of numbers with the same keys over processes."""
        if self.world == 1:
            return values
        flat = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(flat)
        return dict(zip(values, flat.tolist(), strict=True))

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes that torchrun started (gloo on CPUs, nccl on GPUs), or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
