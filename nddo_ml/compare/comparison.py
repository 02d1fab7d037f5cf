"""The same structures by several models, by PySCF and by their labels, and how far these are apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nddo_ml.compare.answers import Answers, label_answers, model_answers, pyscf_answers
from nddo_ml.compare.deviations import Composition, Deviations, ElementFit
from nddo_ml.datasets.dataset import Dataset, from_frames
from nddo_ml.elements import symbol_of
from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel

if TYPE_CHECKING:
    from ase import Atoms

    from nddo_ml.labelling.level import Level

ZEROS: Mapping[str, str] = {  # what energies may be relative to
    "first": "the first frame",
    "last": "the last frame",
    "minimum": "the lowest frame",
    "atoms": "separated atoms",
}


@dataclass(frozen=True)
class Comparison:
    """Structures, and the answers of every source in the order asked for."""

    data: Dataset
    answers: list[Answers]
    reference: Answers | None  # the structures' labels, else PySCF where it was asked, else None
    relative_to: str  # one of ZEROS

    def relative(self, answers: Answers) -> Tensor:
        """Energies [structures] eV relative to the comparison's zero."""
        return relative_energies(answers, self.data, self.relative_to)

    def errors(self, answers: Answers) -> dict[str, dict[str, float]]:
        """Deviations of one source from the reference, by quantity; empty without a reference."""
        return {} if self.reference is None else deviations(answers, self.reference, self.data)


def compare(
    models: Sequence[AbstractModel],
    frames: Sequence[Atoms],
    *,
    relative_to: str | None = None,
    level: Level | None = None,
    advance: Callable[[int], None] | None = None,
) -> Comparison:
    """Energies, forces, dipoles, charges and times of the same structures by several models.

    Charges and multiplicities are those of ``frame.info``. Structures that a model cannot treat have NaN there and
    the reason in ``failures``; the other models treat them all the same.

    Args:
        models: any methods, hybrids or potentials, names distinct.
        frames: structures; energies, forces, dipoles and charges that they carry are the reference.
        relative_to: "first", "last", "minimum" (of the frames of the same formula and charge) or "atoms" (separated,
            in their ground states, by the same model); None is "first" for several frames of one formula, else
            "atoms".
        level: compute with PySCF, too; the reference where the frames carry no labels.
        advance: called with the number of structures that a source has just done.

    Raises:
        InputError: no models, names or a zero that are wrong, structures that cannot be batched, no PySCF.
    """
    names = [model.name for model in models]
    if not names or len(set(names)) < len(names):
        raise InputError(f"expected models of distinct names, at least one; got {', '.join(names) or 'none'}")
    if relative_to is not None and relative_to not in ZEROS:
        raise InputError(f"energies may be relative to {', '.join(ZEROS)}; got {relative_to!r}")
    data = from_frames(frames)
    zero = relative_to or ("first" if len(data) > len(set(formulas(data))) == 1 else "atoms")
    elements = data.elements if zero == "atoms" else ()
    answers = [model_answers(model, data, elements, advance) for model in models]
    reference = label_answers(data)
    if level is not None:
        answers.append(pyscf_answers(level, frames, data, elements, advance))
        reference = reference or answers[-1]
    return Comparison(data, answers, reference, zero)


def formulas(data: Dataset) -> list[str]:
    """Formula and charge of every structure: those of one formula have comparable energies."""
    systems = data.systems
    charges = [f" {q:+d}" if q else "" for q in systems.charge.tolist()]
    names = []
    for row, charge in zip(data.composition.round().to(torch.int64).tolist(), charges, strict=True):
        counted = [f"{symbol_of(z)}{n if n > 1 else ''}" for z, n in zip(data.elements, row, strict=True) if n]
        names.append("".join(counted) + charge)
    return names


def relative_energies(answers: Answers, data: Dataset, to: str) -> Tensor:
    """Energies [structures] eV relative to one of ZEROS; NaN where this is not known."""
    if to == "atoms":
        atoms = answers.atoms or {}
        lone = torch.tensor([atoms.get(z, torch.nan) for z in data.elements], dtype=torch.float64)
        counts = data.composition
        return answers.energy - torch.where(counts > 0, counts * lone, 0.0).sum(1)
    names = formulas(data)
    relative = answers.energy.clone()
    for name in dict.fromkeys(names):
        same = torch.tensor([n == name for n in names])
        energy = answers.energy[same]
        finite = energy[~energy.isnan()]
        smallest = finite.min() if len(finite) else torch.nan
        relative[same] = energy - {"first": energy[0], "last": energy[-1], "minimum": smallest}[to]
    return relative


def deviations(answers: Answers, reference: Answers, data: Dataset) -> dict[str, dict[str, float]]:
    """As :class:`Deviations`, of everything at once."""
    found, counted = Deviations(), compositions(data)
    found.learn(counted, answers, reference)
    found.add(formulas(data), counted, answers, reference)
    return found.errors()


def elementwise_part(energy: Tensor, data: Dataset) -> Tensor:
    """Σ_Z n_Z e_Z [structures] with e_Z fitted to energies [structures] by least squares; NaN takes no part."""
    fit, counted = ElementFit(), compositions(data)
    fit.add(counted, energy)
    fit.solve()
    return fit.part(counted)


def compositions(data: Dataset) -> list[Composition]:
    """Atomic numbers and numbers of atoms of every structure."""
    rows = data.composition.round().to(torch.int64).tolist()
    return [tuple((z, n) for z, n in zip(data.elements, row, strict=True) if n) for row in rows]
