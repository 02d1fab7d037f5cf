"""Energies of atoms beside a fixed field, all members of a committee in one pass over kept symmetry functions.

The functions of an element's atoms are turned to their principal components, ``z = Tᵀ(x − m)``, each scaled to unit
variance but for the small ones (RIDGE), so that Adam needs few epochs. The loss, with Huber's function h(e/σ), has

- energies relative to the mean of a family (a molecule's structures, or isomers of a formula), σ = RELATIVE;
- whole energies, with zeros per element, charge and level fitted along, σ of the source times √(atoms/20);
- forces along a random displacement v, another in every epoch, as ``(E(x + δ) − E(x − δ))/2`` with
  δ = (x(R + v) − x(R − v))/2, σ = FORCE |v|.

Member k never sees fold k, and no member fold 0. The weights that are kept are an average over the last steps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from labels import SCHEMES, SOURCES, Labelled, systems_of
from torch import Tensor, nn
from torch.nn.functional import huber_loss, silu

from nddo_ml import AtomFeatures

ELEMENTS = ("H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I")
NUMBERS = (1, 6, 7, 8, 9, 15, 16, 17, 35, 53)
MEMBERS = 8
HIDDEN = (64, 24)
COMPONENTS, RIDGE = 128, 0.02
RELATIVE, FORCE = 0.02, 0.15  # eV, eV/Å
BORDER = 3.0  # of Huber's function, in σ
BATCH, OF_A_FAMILY = 160, 8  # structures
RATE, ZERO_RATE, WARM, DECAY, CLIP = 4e-3, 0.3, 100, 0.15, 50.0
PUSH = 0.012  # Å, standard deviation of the displacements v along which forces are compared
FORCED = 0.5  # share of the structures with forces whose forces a step looks at
AVERAGE = 0.995
TEACHERS = ("first", "second", "more", "further", "energies")  # sources
SEEN = 40_000  # atoms of an element that components are computed of


class Networks(nn.Module):
    """A network a member for the components [atoms, COMPONENTS] of one element; outputs [atoms, members] eV."""

    def __init__(self) -> None:
        super().__init__()
        first, second = HIDDEN
        self.first = _glorot(MEMBERS * first, COMPONENTS)
        self.first_bias = nn.Parameter(torch.zeros(MEMBERS * first))
        self.second = _glorot(MEMBERS, first, second)
        self.second_bias = nn.Parameter(torch.zeros(MEMBERS, 1, second))
        self.last = nn.Parameter(torch.randn(MEMBERS, second, 1) * 0.02)
        self.last_bias = nn.Parameter(torch.zeros(MEMBERS, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        x = silu(z @ self.first.T + self.first_bias).view(-1, MEMBERS, HIDDEN[0]).transpose(0, 1)
        x = silu(torch.baddbmm(self.second_bias, x, self.second))
        return torch.baddbmm(self.last_bias, x, self.last)[:, :, 0].T


def _glorot(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * (2 / (shape[-1] + shape[-2])) ** 0.5)


@dataclass(frozen=True)
class Turn:
    """``z = (x − mean) @ matrix``."""

    mean: np.ndarray
    matrix: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Turn:
        mean, width = x.mean(0, dtype=float), np.maximum(x.std(0, dtype=float), 1e-3)
        variances, vectors = np.linalg.eigh(np.cov(((x - mean) / width).T))
        variances, vectors = variances[::-1][:COMPONENTS], vectors[:, ::-1][:, :COMPONENTS]
        return cls(mean, vectors / np.sqrt(variances + RIDGE * variances[0]) / width[:, None])


class Data:
    """All structures of all sources in one row."""

    def __init__(self, sources: Sequence[Labelled]) -> None:
        def joined(of: Callable[[Labelled], np.ndarray]) -> np.ndarray:
            return np.concatenate([of(s) for s in sources])

        self.size = joined(lambda s: s.atoms)
        self.numbers = joined(lambda s: s.numbers)
        self.fold = joined(lambda s: s.fold)
        self.source = joined(lambda s: np.full(len(s.atoms), s.name))
        self.charge = joined(lambda s: s.charge)
        level = joined(lambda s: np.full(len(s.atoms), SOURCES[s.name][1]))
        self.sigma = joined(lambda s: np.full(len(s.atoms), SOURCES[s.name][2])) * np.sqrt(
            np.maximum(self.size, 6) / 20
        )
        self.starts = np.concatenate([[0], np.cumsum(self.size)])
        self.owner = np.repeat(np.arange(len(self.size)), self.size)
        group = joined(lambda s: s.group)
        counts = np.zeros((len(self.size), len(NUMBERS)))
        np.add.at(counts, (self.owner, np.searchsorted(NUMBERS, self.numbers)), 1)
        keys = [f"{a} {b} {c} {d.tobytes()!r}" for a, b, c, d in zip(level, group, self.charge, counts, strict=True)]
        self.family = np.unique(keys, return_inverse=True)[1]
        rows = np.column_stack([counts, self.charge])
        self.zero_rows = np.concatenate([rows * (level == k)[:, None] for k in range(len(SCHEMES))], axis=1)
        missing = joined(lambda s: s.energy) - joined(lambda s: s.base)
        self.usable = np.isfinite(missing)
        self.missing, self.zeros = self._without_zeros(np.where(self.usable, missing, 0.0))
        self.positions = joined(lambda s: s.positions)
        unknown = np.float32(np.nan)
        self.missed = joined(lambda s: np.full(s.positions.shape, unknown) if s.missed is None else s.missed)
        self.forced = np.logical_and.reduceat(np.isfinite(self.missed).all(axis=1), self.starts[:-1])
        self._turn(joined(lambda s: s.values))

    def thin(self, share: float) -> None:
        """Leave all but a share of the teachers' molecules out of the training, for a learning curve."""
        chosen = np.random.default_rng(7).random(self.family.max() + 1)[self.family] < share
        self.usable &= chosen | (self.fold == 0) | ~np.isin(self.source, TEACHERS)

    def _without_zeros(self, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the parent misses after a robust fit of zeros."""
        known = (self.fold != 0) & self.usable
        weight = known / self.sigma
        for _ in range(4):
            zeros = np.linalg.lstsq(self.zero_rows * weight[:, None], missing * weight, rcond=1e-10)[0]
            rest = missing - self.zero_rows @ zeros
            weight = known / self.sigma / np.sqrt(1 + (rest / (5 * self.sigma)) ** 2)
        return rest, zeros

    def _turn(self, values: np.ndarray) -> None:
        self.turns: dict[int, Turn] = {}
        self.components: dict[int, Tensor] = {}
        self.place = np.zeros(len(self.numbers), dtype=int)
        for z in NUMBERS:
            rows = np.flatnonzero(self.numbers == z)
            known = rows[self.fold[self.owner[rows]] != 0]
            turn = Turn.of(values[known[:: max(1, len(known) // SEEN)]])
            self.components[z] = torch.tensor(
                (values[rows] - turn.mean.astype(np.float32)) @ turn.matrix.astype(np.float32)
            )
            self.turns[z] = turn
            self.place[rows] = np.arange(len(rows))

    def atoms_of(self, index: np.ndarray) -> np.ndarray:
        """Places of the structures' atoms, one structure after the other."""
        return np.concatenate([np.arange(self.starts[k], self.starts[k + 1]) for k in index])


class Fit:
    """Networks of all elements and corrections of the zeros, trained on ``data``."""

    def __init__(self, data: Data, features: AtomFeatures, seed: int = 1) -> None:
        """``features`` are the symmetry functions as they are kept."""
        torch.manual_seed(seed)
        self.data = data
        self.features = features
        self.rng = np.random.default_rng(seed)
        self.networks = nn.ModuleDict({str(z): Networks() for z in NUMBERS})
        self.zeros = nn.Parameter(torch.zeros(data.zero_rows.shape[1], MEMBERS))
        member = np.arange(1, MEMBERS + 1)
        seen = (data.fold[:, None] != 0) & (data.fold[:, None] != member) & data.usable[:, None]
        self.weight = torch.tensor(seen, dtype=torch.float32)
        self.rows = torch.tensor(data.zero_rows, dtype=torch.float32)
        self.missing = torch.tensor(data.missing, dtype=torch.float32)[:, None]

    def added(self, index: np.ndarray, push: np.ndarray | None = None) -> Tensor:
        """Energies of structures [index, members] eV, or their change along ``push`` [atoms, 3] Å."""
        d = self.data
        atoms = d.atoms_of(index)
        owner = torch.arange(len(index)).repeat_interleave(torch.tensor(d.size[index]))
        slopes = None if push is None else self._slopes(index, atoms, push)
        total = torch.zeros(len(index), MEMBERS)
        for z in NUMBERS:
            here = np.flatnonzero(d.numbers[atoms] == z)
            if not len(here):
                continue
            x, network = d.components[z][d.place[atoms[here]]], self.networks[str(z)]
            if slopes is None:
                total = total.index_add(0, owner[here], network(x))
            else:
                delta = slopes[here] @ torch.tensor(d.turns[z].matrix, dtype=torch.float32)
                up, down = network(torch.cat((x + delta, x - delta))).split(len(here))
                total = total.index_add(0, owner[here], (up - down) / 2)
        return total

    @torch.no_grad()
    def _slopes(self, index: np.ndarray, atoms: np.ndarray, push: np.ndarray) -> Tensor:
        """Half the difference of the symmetry functions between R + v and R − v, [atoms, functions]."""
        d = self.data
        numbers, size, charge = (np.tile(a, 2) for a in (d.numbers[atoms], d.size[index], d.charge[index]))
        positions = np.concatenate([d.positions[atoms] + push, d.positions[atoms] - push])
        up, down = self.features(systems_of(numbers, positions, size, charge)).values.chunk(2)
        return ((up - down) / 2).float()

    def deviations(self, index: np.ndarray) -> Tensor:
        """Errors of whole energies [index, members] eV."""
        return self.added(index) - self.missing[index] + self.rows[index] @ self.zeros

    def loss(self, index: np.ndarray) -> Tensor:
        """See the module."""
        d, weight = self.data, self.weight[index]
        error = self.deviations(index)
        apart, several = relative(error, weight, torch.tensor(d.family[index]))
        sigma = torch.tensor(d.sigma[index], dtype=torch.float32)[:, None]
        total = (weight * (several * _huber(apart / RELATIVE) + _huber(error / sigma))).sum()
        forced = index[d.forced[index] & (self.rng.random(len(index)) < FORCED)]
        if len(forced):
            total = total + (self.weight[forced] * _huber(self._wrong_forces(forced) / FORCE)).sum() / FORCED
        return total / len(index)

    def _wrong_forces(self, index: np.ndarray) -> Tensor:
        """Errors of the forces along random displacements [index, members] eV/Å."""
        d = self.data
        atoms = d.atoms_of(index)
        push = self.rng.normal(size=(len(atoms), 3)) * PUSH
        owner = np.repeat(np.arange(len(index)), d.size[index])
        missed, square = (np.bincount(owner, (a * push).sum(1)) for a in (d.missed[atoms], push))
        wrong = self.added(index, push) - torch.tensor(missed, dtype=torch.float32)[:, None]
        return wrong / torch.tensor(np.sqrt(square), dtype=torch.float32)[:, None]

    def run(self, epochs: int, report: Callable[[int, float], None]) -> None:
        """Train; afterwards the networks are the averaged ones."""
        matrices = [p for p in self.networks.parameters() if p.ndim > 1 and p.shape[-1] > 1 and p.shape[-2] > 1]
        chosen = {id(p) for p in matrices}
        others = [p for p in self.networks.parameters() if id(p) not in chosen]
        groups = [
            {"params": matrices, "weight_decay": DECAY, "share": 1.0},
            {"params": others, "weight_decay": 0.0, "share": 1.0},
            {"params": [self.zeros], "weight_decay": 0.0, "share": ZERO_RATE},
        ]
        optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99))
        averaged = copy.deepcopy([*self.networks.parameters(), self.zeros])
        total, step = epochs * sum(1 for _ in self._batches()), 0
        for epoch in range(epochs):
            losses = []
            for index in self._batches():
                rate = RATE * min(1, step / WARM + 0.01) * 0.5 * (1 + np.cos(np.pi * min(1, step / total)))
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["share"]
                optimizer.zero_grad()
                loss = self.loss(index)
                loss.backward()
                nn.utils.clip_grad_norm_(self.networks.parameters(), CLIP)
                optimizer.step()
                losses.append(loss.item())
                decay = min(AVERAGE, (1 + step) / (10 + step))
                with torch.no_grad():
                    for mean, now in zip(averaged, [*self.networks.parameters(), self.zeros], strict=True):
                        mean.mul_(decay).add_(now, alpha=1 - decay)
                step += 1
            report(epoch + 1, float(np.mean(losses)))
        with torch.no_grad():
            for mean, now in zip(averaged, [*self.networks.parameters(), self.zeros], strict=True):
                now.copy_(mean)

    def _batches(self) -> Iterator[np.ndarray]:
        """Structures that are trained on, some of a family together."""
        d = self.data
        known = self.rng.permutation(np.flatnonzero((d.fold != 0) & d.usable))
        known = known[np.argsort(d.family[known], kind="stable")]
        parts: list[np.ndarray] = []
        for family in np.split(known, np.flatnonzero(np.diff(d.family[known])) + 1):
            parts += np.array_split(family, -(-len(family) // OF_A_FAMILY))
        batch: list[np.ndarray] = []
        for k in self.rng.permutation(len(parts)):
            batch.append(parts[k])
            if sum(map(len, batch)) >= BATCH:
                yield np.concatenate(batch)
                batch = []
        if batch:
            yield np.concatenate(batch)


def relative(error: Tensor, weight: Tensor, family: Tensor) -> tuple[Tensor, Tensor]:
    """Errors from their weighted mean over the family, and 1 where it has more than one structure."""
    _, place = family.unique(return_inverse=True)
    sums, count = (error.new_zeros(int(place.max()) + 1, error.shape[1]) for _ in range(2))
    sums, count = sums.index_add(0, place, error * weight), count.index_add(0, place, weight)
    return error - (sums / count.clamp(min=1e-9))[place], (count[place] > 1.5).float()


def _huber(x: Tensor) -> Tensor:
    return 2 * huber_loss(x, torch.zeros_like(x), reduction="none", delta=BORDER)
