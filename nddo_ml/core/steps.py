"""The kinds of corrections in closed form: each changes a :class:`Change` and passes derivatives back to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nddo_ml.core.factors import N_FACTORS
from nddo_ml.core.networks import Networks
from nddo_ml.core.pairs import envelope
from nddo_ml.core.surroundings import Surroundings
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.correction import Correction, Spread
from nddo_ml.hybrid.networks import GAIN
from nddo_ml.hybrid.pair_functions import CHANNELS, FIRST, PairCorrection
from nddo_ml.hybrid.parameter_shifts import BOUNDS, ParameterCorrection
from nddo_ml.threads import product

# columns of parameters that are multiplied, each on its own: h_pp stands for g_pp
SHIFTED = {name: slice(k, k + 1) if k < 12 else slice(4 * k - 36, 4 * k - 32) for k, name in enumerate(BOUNDS)}
N_SHIFTED = 24
# channel of an overlap (l_a, l_b, m) in the core's order, and whether it is that of both orders of the atoms ("mean"),
# of the first or of the second, for pairs of widths
_OVERLAPS = {
    (1, 1): (("ss", "mean"),),
    (4, 1): (("ss", "mean"), ("sp", "second")),
    (4, 4): (("ss", "mean"), ("sp", "first"), ("sp", "second"), ("sigma", "mean"), ("pi", "mean")),
}
_SHARES = {"mean": (0.5, 0.5), "first": (1.0, 0.0), "second": (0.0, 1.0)}
_WIDTHS = list(_OVERLAPS)


@dataclass
class Change:
    """What corrections do to a batch, and the derivatives of an energy by it."""

    around: Surroundings
    kind: np.ndarray  # [atoms] network of an atom
    pair_kind: np.ndarray  # [pairs] index of the widths in _WIDTHS
    signs: np.ndarray  # [atoms, N_SHIFTED] of the method's parameters
    shifts: np.ndarray  # [atoms, N_SHIFTED] factors of the parameters
    factors: np.ndarray  # [pairs, N_FACTORS]
    energy: np.ndarray  # [atoms] eV
    by_shifts: np.ndarray = field(init=False)  # derivatives, in the shapes of what they are by
    by_factors: np.ndarray = field(init=False)
    by_values: np.ndarray = field(init=False)
    by_presence: np.ndarray = field(init=False)
    by_trust: np.ndarray = field(init=False)
    by_r: np.ndarray = field(init=False)
    by_weight: np.ndarray = field(init=False)

    @classmethod
    def none(cls, around: Surroundings, kind: np.ndarray, width: np.ndarray, signs: np.ndarray) -> Change:
        """No change yet."""
        pairs = around.pairs
        pair_kind = (width[pairs.a] > 1).astype(np.int64) + (width[pairs.b] > 1)  # the first of a pair is the wider
        ones = np.ones((len(pairs.a), N_FACTORS))
        return cls(around, kind, pair_kind, signs, np.ones(signs.shape), ones, np.zeros(len(width)))

    def clear(self, by_shifts: np.ndarray | None, by_factors: np.ndarray | None) -> None:
        """Begin the way back with the derivatives by shifts and factors, None where the field has not changed."""
        self.by_shifts = np.zeros(self.shifts.shape) if by_shifts is None else by_shifts
        self.by_factors = np.zeros(self.factors.shape) if by_factors is None else by_factors
        self.by_values, self.by_presence = np.zeros(self.around.values.shape), np.zeros(len(self.energy))
        self.by_trust = np.zeros(len(self.energy))
        self.by_r, self.by_weight = np.zeros(len(self.pair_kind)), np.zeros(len(self.pair_kind))


class Step(ABC):
    """One correction of a batch."""

    @abstractmethod
    def backward(self, change: Change) -> None:
        """Add to the change's derivatives by values, presence, trust and distances."""

    def spread(self, change: Change, system_idx: Tensor, n_systems: int) -> Spread | None:
        """How uncertain an added energy is, systems of atoms [atoms] given; None where nothing is known of it."""
        return None


class Shift(Step):
    """A ParameterCorrection: ``p → p (1 + b sgn(p) s tanh c N)``, column by column."""

    def __init__(self, correction: ParameterCorrection, cores: list[Networks], change: Change) -> None:
        self.core = cores[0]
        self.passed = self.core.forward(change.around.values, change.kind)
        columns = [np.arange(N_SHIFTED)[SHIFTED[name]] for name in correction.bounds]
        bounds = [np.full(len(c), b) for c, b in zip(columns, correction.bounds.values(), strict=True)]
        self.columns = np.concatenate(columns)
        self.bounds = np.concatenate(bounds) * change.signs[:, self.columns]
        self.tanh = np.tanh(GAIN * self.passed.outputs)
        self.factor = 1 + self.bounds * self.tanh * change.around.presence[:, None]
        change.shifts[:, self.columns] *= self.factor

    def backward(self, change: Change) -> None:
        """See Step."""
        of_factor = change.by_shifts[:, self.columns] * change.shifts[:, self.columns] / self.factor * self.bounds
        change.by_presence += (of_factor * self.tanh).sum(axis=1)
        by_output = of_factor * change.around.presence[:, None] * (GAIN * (1 - np.square(self.tanh)))
        self.core.backward(self.passed, by_output, change.by_values)


class Energy(Step):
    """An AtomicEnergyCorrection: ``s c N``, N the mean of a committee's members."""

    def __init__(self, correction: AtomicEnergyCorrection, cores: list[Networks], change: Change) -> None:
        self.cores, self.correction = cores, correction  # of one member each, or one of all
        self.passed = [core.forward(change.around.values, change.kind) for core in cores]
        self.members = correction.scale * np.hstack([passed.outputs for passed in self.passed])  # times presence
        self.mean = self.members.mean(axis=1)
        change.energy += change.around.presence * self.mean

    def backward(self, change: Change) -> None:
        """See Step."""
        change.by_presence += self.mean
        each = self.correction.scale / self.members.shape[1] * change.around.presence[:, None]
        for core, passed in zip(self.cores, self.passed, strict=True):
            core.backward(passed, np.tile(each, core.n_outputs), change.by_values)

    def spread(self, change: Change, system_idx: Tensor, n_systems: int) -> Spread | None:
        """See Step."""
        if self.correction.members == 1:
            return None
        around = change.around
        energies = torch.from_numpy(around.presence[:, None] * self.members)
        trust = None if around.trust is None else torch.from_numpy(around.trust.value)
        return self.correction.spread_of(energies, trust, system_idx, n_systems)


class Factor(Step):
    """A PairCorrection: ``1 + b f_c(R) tanh c N(h_A, h_B, R)``."""

    def __init__(self, correction: PairCorrection, cores: list[Networks], change: Change) -> None:
        around, self.reach = change.around, correction.envelope.radius
        longer = around.lengthened(self.reach)
        self.embed, self.network = cores
        self.near = np.flatnonzero(longer < self.reach)
        r = longer[self.near]
        self.atoms = np.stack((around.pairs.a[self.near], around.pairs.b[self.near]))
        self.embedded = self.embed.forward(around.values, change.kind)
        self.spacing = (self.reach - FIRST) / correction.radial
        self.offset = (r[:, None] - FIRST) / self.spacing - np.arange(correction.radial)
        self.radial = np.exp(-0.5 * np.square(self.offset))
        one, two = self.embedded.outputs[self.atoms]
        inputs = np.concatenate((np.hstack((one, two, self.radial)), np.hstack((two, one, self.radial))))
        self.passed = self.network.forward(inputs, np.zeros(len(inputs), dtype=np.int64))
        self.n_inputs = inputs.shape[1]
        self.tanh = np.tanh(GAIN * self.passed.outputs)
        self.fall, self.slope = envelope(correction.envelope, r)
        self.trust = np.ones(2 * len(r)).reshape(2, -1) if around.trust is None else around.trust.value[self.atoms]
        both = self.trust[0] * self.trust[1]
        self.unfaded, self.fall, self.slope = self.fall, both * self.fall, both * self.slope
        self.table, self.kind = _mixing(correction.bounds), change.pair_kind[self.near]
        self.factor = 1 + self._mixed(self._by_pair(self.tanh) * self.fall[:, None], self.table)
        change.factors[self.near] *= self.factor

    def backward(self, change: Change) -> None:
        """See Step."""
        near, (a, b) = self.near, self.atoms
        of_factor = change.by_factors[near] * change.factors[near] / self.factor
        by_channel = self._mixed(of_factor, self.table.swapaxes(1, 2))
        by_fall = (by_channel * self._by_pair(self.tanh)).sum(axis=1)
        by_longer = by_fall * self.slope
        for atom, other in ((a, self.trust[1]), (b, self.trust[0])):
            np.add.at(change.by_trust, atom, by_fall * self.unfaded * other)
        n = by_channel.shape[1] // 2
        by_tanh = by_channel * self.fall[:, None]
        by_output = np.concatenate((by_tanh[:, :n], by_tanh[:, n:])) * (GAIN * (1 - np.square(self.tanh)))
        by_input = np.zeros((len(by_output), self.n_inputs))
        self.network.backward(self.passed, by_output, by_input)
        width, half = self.embedded.outputs.shape[1], len(near)
        one, two = by_input[:half], by_input[half:]
        by_radial = (one + two)[:, 2 * width :]
        by_longer -= (by_radial * self.radial * self.offset).sum(axis=1) / self.spacing
        by_embedded = np.zeros(self.embedded.outputs.shape)
        np.add.at(by_embedded, a, one[:, :width] + two[:, width : 2 * width])
        np.add.at(by_embedded, b, one[:, width : 2 * width] + two[:, :width])
        self.embed.backward(self.embedded, by_embedded, change.by_values)
        change.by_r[near] += by_longer
        change.by_weight[near] -= self.reach * by_longer

    def _mixed(self, values: np.ndarray, table: np.ndarray) -> np.ndarray:
        """Rows of pairs times the matrix of their widths."""
        found = np.empty((len(values), table.shape[2]))
        for kind, matrix in enumerate(table):
            rows = self.kind == kind
            found[rows] = product(values[rows], matrix)
        return found

    def _by_pair(self, values: np.ndarray) -> np.ndarray:
        """Both orders of a pair side by side."""
        half = len(self.near)
        return np.hstack((values[:half], values[half:]))


def _mixing(bounds: tuple[float, float]) -> np.ndarray:
    """What each channel of both orders of the atoms adds to each factor, [kinds of widths, 2 channels, N_FACTORS]."""
    n = len(CHANNELS)
    table = np.zeros((len(_WIDTHS), 2 * n, N_FACTORS))
    for kind, widths in enumerate(_WIDTHS):
        for column, (channel, order) in enumerate(_OVERLAPS[widths]):
            table[kind, [CHANNELS.index(channel), n + CHANNELS.index(channel)], column] = _SHARES[order]
    table *= bounds[0]
    table[:, [n - 1, 2 * n - 1], -1] = 0.5 * bounds[1]
    return table


STEPS: Mapping[type[Correction], Any] = {
    ParameterCorrection: Shift,
    AtomicEnergyCorrection: Energy,
    PairCorrection: Factor,
}
