"""Several surroundings at once, such as a field and point charges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nddo_ml.environments.embedding import Embedding, Environment
from nddo_ml.errors import InputError
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.methods.parameters import Parameters
from nddo_ml.systems import Systems


@dataclass(frozen=True)
class Together:
    """The sum of several environments, their sites one after the other; they do not act on each other."""

    parts: tuple[Environment, ...]

    @classmethod
    def of(cls, parts: Sequence[Environment]) -> Environment:
        """One environment of several; of one, that one.

        Raises:
            InputError: none.
        """
        if not parts:
            raise InputError("expected at least one environment; got none")
        return parts[0] if len(parts) == 1 else cls(tuple(parts))

    @property
    def positions(self) -> Tensor | None:
        """See the protocol."""
        found = [x for part in self.parts if (x := part.positions) is not None]
        return torch.cat(found) if found else None

    @property
    def alike(self) -> bool:
        """See the protocol."""
        return all(part.alike for part in self.parts)

    @property
    def free_motions(self) -> int:
        """See the protocol."""
        return min(part.free_motions for part in self.parts)

    def record(self) -> dict[str, Any]:
        """See the protocol."""
        return {key: value for part in self.parts for key, value in part.record().items()}

    def with_positions(self, positions: Tensor) -> Together:
        """See the protocol."""
        moved, sizes = [], self._sizes()
        for part, x, size in zip(self.parts, positions.split(sizes), sizes, strict=True):
            moved.append(part.with_positions(x) if size else part)
        return Together(tuple(moved))

    def over(self, n_systems: int) -> Together:
        """See the protocol."""
        return Together(tuple(part.over(n_systems) for part in self.parts))

    def select(self, index: Tensor) -> tuple[Together, Tensor]:
        """See the protocol."""
        chosen = [part.select(index) for part in self.parts]
        first = torch.tensor([0, *self._sizes()]).cumsum(0).tolist()
        sites = torch.cat([k + start for (_, k), start in zip(chosen, first, strict=False)])
        return Together(tuple(part for part, _ in chosen)), sites

    def elements(self, atoms: Tensor) -> Tensor:
        """See the protocol."""
        return torch.stack([part.elements(atoms) for part in self.parts]).sum(dim=0)

    def check(self, systems: Systems) -> None:
        """See the protocol."""
        for part in self.parts:
            part.check(systems)

    def embed(self, systems: Systems, parameters: Parameters, layout: OrbitalLayout) -> Embedding:
        """See the protocol."""
        first, *others = (part.embed(systems, parameters, layout) for part in self.parts)
        for other in others:
            blocks = (u + v for u, v in zip(first.one_electron, other.one_electron, strict=True))
            matrices = [*first.reaction, *other.reaction]
            reaction = (torch.stack(matrices).sum(dim=0),) if matrices else ()
            first = Embedding(tuple(blocks), first.energy + other.energy, reaction)
        return first

    def _sizes(self) -> list[int]:
        return [0 if (x := part.positions) is None else len(x) for part in self.parts]
