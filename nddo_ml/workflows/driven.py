"""Paths along which all bonds that a reaction makes and breaks are driven together, while the rest relaxes.

From both ends, so that a conformer that cannot react as it is stands in no way: what is driven from the other end comes
out in the conformer that reacts. Lengths follow Pauling's bond orders, ``n = exp[−(r − r_bond)/a]``, which change
evenly (Pauling, J. Am. Chem. Soc. 69, 542 (1947); as in Johnston & Parr, J. Am. Chem. Soc. 85, 2544 (1963)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from nddo_ml.models.base import AbstractModel
from nddo_ml.models.constant import constant_energy
from nddo_ml.systems import Systems
from nddo_ml.workflows.fragments import Bond, bonds
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.restraints import Restraints

if TYPE_CHECKING:
    from ase import Atoms

POINTS = 13  # of a drive, both sides included
APART = 2.0  # sums of covalent radii at which a bond counts as broken, where it is not shorter in the structure
_SOFTNESS = 0.35  # a, in sums of covalent radii
_FMAX, _STEPS = 0.2, 40  # eV/Å and evaluations, of a point
_END_FMAX, _END_STEPS = 0.02, 200  # of what is left of a drive once nothing is held


@dataclass(frozen=True)
class Drive:
    """What a drive has passed through, reactant first; the first and last structure relax without restraints."""

    positions: np.ndarray  # [points, atoms, 3] Å, each laid on the one before
    energies: np.ndarray  # [points] eV
    bonds: tuple[set[Bond], set[Bond]]  # of its ends

    @property
    def highest(self) -> int:
        """The structure with the highest energy between the ends."""
        return 1 + int(self.energies[1:-1].argmax())

    @property
    def around_highest(self) -> slice:
        """That structure with two neighbours on either side, where there are as many."""
        return slice(max(self.highest - 2, 0), min(self.highest + 3, len(self.energies)))


def changed_bonds(reactant: Atoms, product: Atoms) -> list[Bond]:
    """The bonds that one of both has and the other has not."""
    return sorted(set(bonds(reactant)) ^ set(bonds(product)))


def driven_lengths(reactant: Atoms, product: Atoms) -> np.ndarray:
    """Lengths [points, changed bonds] Å from the reactant's to the product's.

    Where there is no bond, that of the structure or twice the sum of the radii, whichever is shorter.
    """
    from ase.data import covalent_radii

    pairs = changed_bonds(reactant, product)
    radii = np.array([covalent_radii[reactant.numbers[list(p)]].sum() for p in pairs])
    ends = np.array([[side.get_distance(*p) for p in pairs] for side in (reactant, product)])
    bond, softness = ends.min(0), _SOFTNESS * radii
    ends = np.minimum(ends, np.maximum(APART * radii, bond))
    first, last = np.exp(-(ends - bond) / softness)
    share = np.linspace(0, 1, POINTS)[:, None]
    return bond - softness * np.log((1 - share) * first + share * last)


def drive(reactants: Systems, products: Systems, model: AbstractModel) -> list[tuple[Drive, Drive]]:
    """Each reaction driven from its reactant and from its product, all of them one batch.

    Args:
        reactants: with the bonds of reactants.
        products: with those of products.
        model: any.

    Raises:
        SCFConvergenceError: as from the model.
    """
    n = reactants.n_systems
    sides = list(zip(reactants.to_ase(), products.to_ase(), strict=True))
    pairs = [changed_bonds(a, b) for a, b in sides] * 2
    ahead = [driven_lengths(a, b) for a, b in sides]
    lengths = [*ahead, *(r[::-1] for r in ahead)]
    here = reactants[list(range(n)) * 2].with_positions(torch.cat([reactants.positions, products.positions]))
    passed: list[Systems] = []
    for k in range(POINTS):
        held = Restraints.of(pairs, [r[k] for r in lengths])
        here = optimize(here, model, fmax=_FMAX, max_steps=_STEPS, restraints=held).systems
        passed.append(here)
    passed.insert(0, optimize(passed[0], model, fmax=_END_FMAX, max_steps=_END_STEPS).systems)
    passed.append(optimize(here, model, fmax=_END_FMAX, max_steps=_END_STEPS).systems)
    energies = _energies(passed, model)
    frames = [systems.to_ase() for systems in passed]
    made = []
    for k in range(2 * n):
        order = slice(None) if k < n else slice(None, None, -1)
        made.append(_drive([f[k] for f in frames[order]], energies[order, k]))
    return list(zip(made[:n], made[n:], strict=True))


def _energies(passed: Sequence[Systems], model: AbstractModel) -> np.ndarray:
    """[points, systems] eV, without constants that have no force."""
    with torch.no_grad():
        return np.array([(model(s).energy - constant_energy(model, s)).numpy() for s in passed])


def _drive(frames: Sequence[Atoms], energies: np.ndarray) -> Drive:
    from ase.build import minimize_rotation_and_translation

    for before, after in pairwise(frames):
        minimize_rotation_and_translation(before, after)
    return Drive(np.stack([f.positions for f in frames]), energies, (set(bonds(frames[0])), set(bonds(frames[-1]))))
