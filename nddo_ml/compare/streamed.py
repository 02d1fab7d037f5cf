"""A comparison of any number of structures from what a run kept of them, a block in memory at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nddo_ml.compare.answers import Answers
from nddo_ml.compare.deviations import Composition, Deviations
from nddo_ml.elements import number_of

Kept = Mapping[str, Any]  # a structure: "record", "formula" (with charge), "answers" by source
LABELS = "labels"


@dataclass
class Source:
    """What one source said of all structures, in numbers."""

    name: str
    seconds: float = 0.0  # a structure
    timed: bool = False
    failures: int = 0
    extrapolating: int | None = None  # structures; None for what has no range
    zeros: dict[str, dict[str, float]] = field(default_factory=dict)  # eV by formula: first, last, minimum
    atoms: dict[int, float] = field(default_factory=dict)  # eV, isolated atoms
    atoms_extrapolated: bool = False


class StreamedComparison:
    """Sources, zeros and deviations of structures that are read anew for every pass.

    Args:
        blocks: gives an iterator over lists of structures each time that it is called.
        names: of models and, last, PySCF where it was asked.
        relative_to: one of ZEROS, or None: "first" for several structures of one formula, else "atoms".
    """

    def __init__(
        self, blocks: Callable[[], Iterator[Sequence[Kept]]], names: Sequence[str], relative_to: str | None
    ) -> None:
        self._blocks = blocks
        self.sources = {name: Source(name) for name in names}
        self.count = 0
        formulas, elements = Counter[str](), set[int]()
        labelled = Source(LABELS)
        for block in blocks():
            for kept in block:
                self.count += 1
                formulas[kept["formula"]] += 1
                elements |= {z for z, _ in composition_of(kept)}
                for name, answer in kept["answers"].items():
                    _include(labelled if name == LABELS else self.sources[name], kept["formula"], answer)
        self.elements = sorted(elements)
        self.relative_to = relative_to or ("first" if self.count > len(formulas) == 1 else "atoms")
        for source in self.sources.values():
            source.seconds /= max(1, self.count)
        has_labels = any(LABELS in kept["answers"] for block in blocks() for kept in block)
        if has_labels:
            self.sources[LABELS] = labelled
        self._has_labels = has_labels
        self.errors: dict[str, dict[str, dict[str, float]]] = {}

    def judge(self, reference: str | None) -> None:
        """Deviations of every source from one of them."""
        self.reference = LABELS if self._has_labels else reference
        judged = {n: Deviations() for n in self.sources if n != LABELS} if self.reference else {}
        for learning in (True, False) if judged else ():
            for block in self._blocks():
                right = answers_of(self.reference or "", block)
                compositions = [composition_of(kept) for kept in block]
                for name, deviations in judged.items():
                    left = answers_of(name, block)
                    if learning:
                        deviations.learn(compositions, left, right)
                    else:
                        deviations.add([kept["formula"] for kept in block], compositions, left, right)
        self.errors = {name: deviations.errors() for name, deviations in judged.items()}

    def relative(self, name: str, kept: Kept) -> float | None:
        """The energy of a structure, eV, relative to the comparison's zero; None where this is not known."""
        energy, source = kept["answers"].get(name, {}).get("energy"), self.sources[name]
        if self.relative_to == "atoms":
            zeros = [source.atoms.get(z) for z, n in composition_of(kept) for _ in range(n)]
            known = None if None in zeros else sum(z for z in zeros if z is not None)
        else:
            known = source.zeros.get(kept["formula"], {}).get(self.relative_to)
        return None if energy is None or known is None else energy - known

    def structures(self) -> Iterator[Kept]:
        """Every structure, in order."""
        return (kept for block in self._blocks() for kept in block)


def answers_of(name: str, block: Sequence[Kept]) -> Answers:
    """What a source said of a block, NaN where it said nothing; None for what it gave nowhere."""
    given = [kept["answers"].get(name, {}) for kept in block]
    sizes = [len(kept["record"]["elements"]) for kept in block]
    return Answers(
        name,
        energy=_joined(given, "energy", [()] * len(block)),
        forces=_joined_or_none(given, "forces", [(n, 3) for n in sizes]),
        dipole=_joined_or_none(given, "dipole", [(1, 3)] * len(block)),
        charges=_joined_or_none(given, "charges", [(n,) for n in sizes]),
    )


def composition_of(kept: Kept) -> Composition:
    """Atomic numbers and numbers of atoms."""
    return tuple(sorted((number_of(s), n) for s, n in Counter(kept["record"]["elements"]).items()))


def _joined(given: Iterable[Mapping[str, Any]], key: str, shapes: Iterable[tuple[int, ...]]) -> Tensor:
    parts = []
    for answer, shape in zip(given, shapes, strict=True):
        value = answer.get(key)
        part = torch.full(shape, torch.nan, dtype=torch.float64)
        parts.append(part if value is None else torch.tensor(value, dtype=torch.float64).reshape(shape))
    return torch.stack(parts) if parts[0].ndim == 0 else torch.cat(parts)


def _joined_or_none(given: Sequence[Mapping[str, Any]], key: str, shapes: list[tuple[int, ...]]) -> Tensor | None:
    return None if all(answer.get(key) is None for answer in given) else _joined(given, key, shapes)


def _include(source: Source, formula: str, answer: Mapping[str, Any]) -> None:
    energy = answer["energy"]
    source.failures += answer.get("failure") is not None
    if answer.get("seconds") is not None:
        source.seconds += answer["seconds"]
        source.timed = True
    if answer.get("ranged"):
        source.extrapolating = (source.extrapolating or 0) + (answer.get("extrapolation") is not None)
    zeros = source.zeros.setdefault(formula, {"first": energy})
    zeros["last"] = energy
    if energy is not None:
        zeros["minimum"] = min(energy, zeros.get("minimum", energy))
