"""Corrections of small molecules in closed form: parameters, factors, energies, and the way back to positions.

What :mod:`nddo_ml.hybrid` defines takes some thousand operations of torch a molecule with their graph, which cost more
than the field. Here networks, symmetry functions and radii are compiled, and all else are sums over atoms and pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from bp_descriptors.fast import library as functions_library
from nddo_ml.core.library import library
from nddo_ml.core.networks import Networks, versions
from nddo_ml.core.pairs import PairList
from nddo_ml.core.parameters import of_elements
from nddo_ml.core.plan import Plan
from nddo_ml.core.shifted import Parent, ShiftedRows
from nddo_ml.core.steps import N_SHIFTED, STEPS, Change, Step
from nddo_ml.core.surroundings import Surroundings
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.correction import Correction, Corrections, Spread
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.methods.parameters import parameters_of
from nddo_ml.networks import ElementNetworks, FeedForward
from nddo_ml.systems import Systems

_MOST_ATOMS = 150  # of a molecule; a larger one has too many pairs for sums over all of them


@dataclass(frozen=True)
class _Batch:
    """What holds wherever the atoms are."""

    plan: Plan
    features: AtomFeatures
    pairs: PairList
    parent: Parent | None  # None where the field stays the method's
    width: np.ndarray  # [atoms] orbitals
    kind: np.ndarray  # [atoms] index of the element among those of the functions
    inside: list[np.ndarray]  # atoms of each of the domain's elements
    scaling: tuple[np.ndarray, np.ndarray]  # gain and offset of the functions, [atoms, F]


class ClosedCorrections:
    """Corrections as the core reads them; weights that change are read again."""

    def __init__(self, corrections: Corrections) -> None:
        self.corrections = corrections
        self._cores: dict[int, tuple[object, list[Networks]]] = {}  # of which weights

    def __reduce__(self) -> tuple[type[ClosedCorrections], tuple[Corrections]]:
        return ClosedCorrections, (self.corrections,)

    @property
    def _features(self) -> AtomFeatures:
        return next(iter(self.corrections)).features

    @cached_property
    def serve(self) -> bool:
        """Whether all corrections have a closed form, and the same features."""
        first = self._features
        envelope, domain = first.envelope, first.domain
        return (
            library() is not None
            and functions_library() is not None
            and (domain is None or domain.breaking or not first.bonded)
            and all(type(c) in STEPS and c.features is first for c in self.corrections)
            and (envelope.kind, envelope.inner) == ("poly2", 0.0)
            and all(Networks.serve(group) for c in self.corrections for group in _groups(c))
        )

    def batch(self, systems: Systems, plan: Plan) -> _Batch | None:
        """What a batch is asked with; None for atoms or molecules that torch treats."""
        scaler = self._features.scaler
        if not self.serve or scaler.low.device.type != "cpu":
            return None
        key = (ClosedCorrections, id(plan), id(self._features), scaler.versions)  # both kept by the batch
        return systems.kept(key, lambda: self._made(systems, plan))

    def _made(self, systems: Systems, plan: Plan) -> _Batch | None:
        if int(np.diff(plan.first_atom).max()) > _MOST_ATOMS:
            return None
        parent = None
        if self._of_field:
            parent = Parent.of(plan, parameters_of(systems, plan.method))
            if parent is None:
                return None
        numbers = torch.from_numpy(plan.numbers)
        functions, scaler, domain = self._features.functions, self._features.scaler, self._features.domain
        if not self._features.elements.issuperset(plan.numbers.tolist()):
            return None
        gain, offset = (t.numpy() for t in scaler.linear(numbers))
        return _Batch(
            plan,
            self._features,
            PairList.of(plan),
            parent,
            width=of_elements(plan.method).integers[plan.numbers, 1],
            kind=functions.element_index(numbers).numpy(),
            inside=[] if domain is None else [np.flatnonzero(plan.numbers == z) for z in domain.numbers],
            scaling=(gain, offset),
        )

    def at(self, batch: _Batch, positions: np.ndarray) -> Corrected:
        """The corrections at positions [atoms, 3] Å in the core's order."""
        around = Surroundings.of(self._features, batch.pairs, batch.kind, batch.scaling, batch.inside, positions)
        parent = batch.parent
        signs = np.ones((len(positions), N_SHIFTED)) if parent is None else np.sign(parent.values)
        change = Change.none(around, batch.kind, batch.width, signs)
        steps = [STEPS[type(c)](c, self._networks(k, c), change) for k, c in enumerate(self.corrections)]
        hartree = batch.plan.method.constants.hartree_ev
        rows = None if parent is None else ShiftedRows(parent, change.shifts, hartree)
        return Corrected(batch.plan, change, steps, rows)

    def _networks(self, k: int, correction: Correction) -> list[Networks]:
        groups = _groups(correction)
        now, kept = [versions(group) for group in groups], self._cores.get(k)
        if kept is None or kept[0] != now:
            if isinstance(correction, AtomicEnergyCorrection):
                groups = [_in_order(member) for member in correction.apart()]
            kept = self._cores[k] = now, [Networks(group) for group in groups]
        return kept[1]

    @property
    def _of_field(self) -> bool:
        return any(c.of_field for c in self.corrections)


@dataclass(frozen=True)
class Corrected:
    """Corrections of a batch at some positions."""

    plan: Plan
    change: Change
    steps: list[Step]
    rows: ShiftedRows | None  # None where the field stays the method's

    @property
    def energy(self) -> np.ndarray:
        """What they add, [systems] eV."""
        found: np.ndarray = np.add.reduceat(self.change.energy, self.plan.first_atom[:-1])
        return found

    @property
    def spread(self) -> Spread | None:
        """How uncertain the added energies are, atoms in the order of the batch; None where nothing is known of it."""
        counts, back = np.diff(self.plan.first_atom), self.plan.back
        idx = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
        together = Spread.together(step.spread(self.change, idx, len(counts)) for step in self.steps)
        return None if together is None else replace(together, atoms=together.atoms[back])

    def backward(self, by_row: np.ndarray | None, by_factor: np.ndarray | None) -> np.ndarray:
        """Derivatives by the positions [atoms, 3] of added energies and of what depends on rows and factors."""
        self.change.clear(None if self.rows is None or by_row is None else self.rows.backward(by_row), by_factor)
        for step in reversed(self.steps):
            step.backward(self.change)
        c = self.change
        return c.around.backward(c.by_values, c.by_presence, c.by_trust, c.by_r, c.by_weight)


def _groups(correction: Correction) -> list[list[FeedForward]]:
    """A correction's networks: those of elements in the order of the functions' elements, then others."""
    groups: list[list[FeedForward]] = []
    for module in correction.children():
        if isinstance(module, ElementNetworks):
            groups.append(_in_order(module))
        elif isinstance(module, FeedForward):
            groups.append([module])
    return groups


def _in_order(networks: ElementNetworks) -> list[FeedForward]:
    return [network for _, network in sorted(networks.by_number.items())]
