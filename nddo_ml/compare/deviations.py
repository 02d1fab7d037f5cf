"""How far a source is from a reference, block by block, so that no more than a block is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nddo_ml.datasets.zeros import per_element
from nddo_ml.units import DEBYE_PER_E_ANGSTROM, EV_KCAL_MOL

if TYPE_CHECKING:
    from nddo_ml.compare.answers import Answers

Composition = tuple[tuple[int, int], ...]  # atomic number and number of atoms, ascending


class ElementFit:
    """Per-element energies e_Z by least squares: the smallest of those that minimise Σ_s (E_s − Σ_Z n_sZ e_Z)²/N_s.

    Structures of one composition enter by their mean, which gives the same solution.
    """

    def __init__(self) -> None:
        self._sums: dict[Composition, tuple[int, float]] = {}
        self.zeros: dict[int, float] = {}  # eV, by :meth:`solve`

    def add(self, compositions: Iterable[Composition], energies: Tensor) -> None:
        """Take energies [structures] eV into account; NaN takes no part."""
        for composition, energy in zip(compositions, energies.tolist(), strict=True):
            if energy == energy:
                n, total = self._sums.get(composition, (0, 0.0))
                self._sums[composition] = (n + 1, total + energy)

    def solve(self) -> None:
        """Determine the per-element energies."""
        elements = sorted({z for c in self._sums for z, _ in c})
        if elements:
            rows = [[dict(c).get(z, 0) for z in elements] for c in self._sums]
            counts = torch.tensor(rows, dtype=torch.float64)
            n, total = torch.tensor(list(self._sums.values()), dtype=torch.float64).T
            solution = per_element(counts, total / n, n / counts.sum(1))
            self.zeros = dict(zip(elements, solution.tolist(), strict=True))

    def part(self, compositions: Iterable[Composition]) -> Tensor:
        """Σ_Z n_Z e_Z [structures] eV."""
        sums = [sum(n * self.zeros.get(z, 0.0) for z, n in c) for c in compositions]
        return torch.tensor(sums, dtype=torch.float64)


class Deviations:
    """MAE, RMSE, largest deviation and number of values of a source from a reference, by quantity.

    ``energy`` after per-element energies are fitted to the difference; ``relative energy`` to the first structure of
    the same formula (left out without a second one), both in kcal/mol; forces kcal/mol/Å; dipole D, the length of the
    vector's error; charges e. Every block goes first through :meth:`learn`, then through :meth:`add`.
    """

    def __init__(self) -> None:
        self._fit = ElementFit()
        self._learned = False
        self._first: dict[str, float] = {}
        self._sums: dict[str, list[float]] = {}

    def learn(self, compositions: Sequence[Composition], answers: Answers, reference: Answers) -> None:
        """Fit the energies of a block."""
        self._fit.add(compositions, reference.energy - answers.energy)

    def add(
        self, formulas: Sequence[str], compositions: Sequence[Composition], answers: Answers, reference: Answers
    ) -> None:
        """Add the deviations of a block; formulas tell which energies are comparable."""
        if not self._learned:
            self._fit.solve()
            self._learned = True
        difference = answers.energy - reference.energy
        self._count("energy", (difference + self._fit.part(compositions)) * EV_KCAL_MOL)
        relative = []
        for formula, value in zip(formulas, difference.tolist(), strict=True):
            if formula in self._first:
                relative.append(value - self._first[formula])
            else:
                self._first[formula] = value
        self._count("relative energy", torch.tensor(relative, dtype=torch.float64) * EV_KCAL_MOL)
        if answers.forces is not None and reference.forces is not None:
            self._count("forces", (answers.forces - reference.forces) * EV_KCAL_MOL)
        if answers.dipole is not None and reference.dipole is not None:
            self._count("dipole", (answers.dipole - reference.dipole).norm(dim=1) * DEBYE_PER_E_ANGSTROM)
        if answers.charges is not None and reference.charges is not None:
            self._count("charges", answers.charges - reference.charges)

    def errors(self) -> dict[str, dict[str, float]]:
        """What was found, by quantity; those without a value are left out."""
        return {
            name: {"mae": total / n, "rmse": (squares / n) ** 0.5, "max": largest, "n": int(n)}
            for name, (n, total, squares, largest) in self._sums.items()
        }

    def _count(self, name: str, error: Tensor) -> None:
        error = error[~error.isnan()].abs()
        if error.numel():
            n, total, squares, largest = self._sums.get(name, [0, 0.0, 0.0, 0.0])
            self._sums[name] = [
                n + error.numel(),
                total + float(error.sum()),
                squares + float(error.square().sum()),
                max(largest, float(error.max())),
            ]
