"""From reactants and products to barriers: relaxed ends, paths, saddle points, and the ways down, reactions in a batch.

Each stage takes what the one before has found, so that it can be kept in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems
from nddo_ml.workflows.driven import Drive, changed_bonds, drive
from nddo_ml.workflows.elastic_band import Band, check_atoms, evenly, first_path, relax_bands
from nddo_ml.workflows.fragments import Bond, bonds
from nddo_ml.workflows.normal_modes import free_motions, normal_modes
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.reaction_path import Branch, descend
from nddo_ml.workflows.saddle import Saddles, find_saddles
from nddo_ml.workflows.second_derivatives import second_derivatives

if TYPE_CHECKING:
    from ase import Atoms

END_FORCE = 0.005  # eV/Å, of relaxed reactants and products
FIRST_STEPS = 40  # after which a band that has not converged is refined around its highest image
DRIVEN_STEPS = 60  # of a band around the highest point of a drive
SAME_SHAPE = 0.3  # Å, root mean square deviation within which an end is the one that was given
SAME = 0.003  # Å, likewise, within which reactant and product are one


@dataclass(frozen=True)
class Path:
    """A relaxed path and where its saddle point is looked for."""

    positions: np.ndarray  # [images, atoms, 3] Å
    energies: np.ndarray  # [images] eV
    tangent: np.ndarray  # [atoms, 3] at the highest image
    highest: int
    force: float  # eV/Å
    converged: bool
    steps: int


@dataclass(frozen=True)
class _Asked:
    """What is asked of every band."""

    images: int
    fmax: float  # eV/Å
    max_steps: int

    def relaxed(self, systems: Systems, model: AbstractModel, paths: Sequence[np.ndarray], steps: int) -> list[Band]:
        """Bands relaxed from these paths in so many steps, no more than are asked for."""
        return relax_bands(systems, model, paths, fmax=self.fmax, max_steps=min(steps, self.max_steps))


def relaxed_ends(reactants: Systems, products: Systems, model: AbstractModel) -> list[tuple[Atoms, Atoms]]:
    """The reactant and the product of each reaction at minima.

    Raises:
        SCFConvergenceError: as from the model.
    """
    relaxed = [optimize(side, model, fmax=END_FORCE, max_steps=500).systems.to_ase() for side in (reactants, products)]
    return list(zip(*relaxed, strict=True))


def relaxed_paths(
    reactants: Systems,
    products: Systems,
    model: AbstractModel,
    ends: Sequence[tuple[Atoms, Atoms]],
    *,
    images: int,
    fmax: float,
    max_steps: int,
) -> list[list[Path]]:
    """Nudged elastic bands on which the saddle point of each reaction may be.

    Where bonds change, they are driven from either end (as given, where it relaxes to other bonds), and a band is
    relaxed around the highest point of each drive that links both; where none does, and where no bonds change, one is
    relaxed between the ends.

    Args:
        reactants: as given.
        products: as given.
        model: any.
        ends: both of each reaction, relaxed.
        images: of each band.
        fmax: eV/Å, largest force of a band.
        max_steps: of each band.

    Raises:
        InputError: other atoms in product than in reactant, or in another order; ends that are the same.
        SCFConvergenceError: as from the model.
    """
    found: list[list[Path]] = [[] for _ in ends]
    asked = _Asked(images, fmax, max_steps)
    given = list(zip(reactants.to_ase(), products.to_ase(), strict=True))
    for a, b in given:
        check_atoms(a, b)
    which = [k for k, (a, b) in enumerate(given) if changed_bonds(a, b)]
    if which:
        first, last = (
            _bonded_as_given(side[which], [ends[k][n] for k in which]) for n, side in enumerate((reactants, products))
        )
        pairs = drive(first, last, model)
        drives = [
            (k, one)
            for k, pair in zip(which, pairs, strict=True)
            for one in pair
            if all(made in meant for made, meant in zip(one.bonds, _meant(given[k], ends[k]), strict=True))
        ]
        for (k, _), path in zip(drives, _driven_paths(reactants, model, drives, asked), strict=True):
            found[k].append(path)
    left = [k for k, paths in enumerate(found) if not paths]
    if left:
        between = _paths_between(reactants[left], model, [ends[k] for k in left], asked)
        for k, path in zip(left, between, strict=True):
            found[k].append(path)
    return found


def _bonded_as_given(given: Systems, relaxed: Sequence[Atoms]) -> Systems:
    """The relaxed structures, and those that were given where these relax to other bonds."""
    kept = [
        after if set(bonds(before)) == set(bonds(after)) else before
        for before, after in zip(given.to_ase(), relaxed, strict=True)
    ]
    return given.with_positions(torch.as_tensor(np.concatenate([a.positions for a in kept])))


def _meant(given: tuple[Atoms, Atoms], relaxed: tuple[Atoms, Atoms]) -> list[list[set[Bond]]]:
    """The bonds that count as the reactant's and as the product's: those given, and those after relaxation."""
    return [[set(bonds(a)), set(bonds(b))] for a, b in zip(given, relaxed, strict=True)]


def _driven_paths(
    reactions: Systems,
    model: AbstractModel,
    drives: Sequence[tuple[int, Drive]],
    asked: _Asked,
) -> list[Path]:
    """Drives with a relaxed band for what is around their highest points."""
    if not drives:
        return []
    near = [one.around_highest for _, one in drives]
    pieces = [evenly(one.positions[here], asked.images) for here, (_, one) in zip(near, drives, strict=True)]
    bands = asked.relaxed(reactions[[k for k, _ in drives]], model, pieces, DRIVEN_STEPS)
    return [
        _joined(one.positions, one.energies, here, _path(band))
        for (_, one), here, band in zip(drives, near, bands, strict=True)
    ]


def _paths_between(
    reactions: Systems,
    model: AbstractModel,
    ends: Sequence[tuple[Atoms, Atoms]],
    asked: _Asked,
) -> list[Path]:
    """Bands between both ends, refined around their highest images where they have not converged."""
    for a, b in ends:
        if _deviation(a, b) < SAME:
            raise InputError("expected two structures; reactant and product are the same once relaxed")
    bands = asked.relaxed(reactions, model, [first_path(a, b, asked.images) for a, b in ends], FIRST_STEPS)
    found = [_path(band) for band in bands]
    left = [k for k, band in enumerate(bands) if not band.converged]
    if left and asked.max_steps > FIRST_STEPS:
        zoomed = [_around_highest(bands[k], ends[k][0], asked.images) for k in left]
        closer = asked.relaxed(reactions[left], model, zoomed, asked.max_steps - FIRST_STEPS)
        for k, band in zip(left, closer, strict=True):
            top = bands[k].highest
            joined = _joined(bands[k].positions, bands[k].energies, slice(top - 1, top + 2), _path(band))
            found[k] = replace(joined, steps=bands[k].steps + band.steps)
    return found


def saddles_on(reactions: Systems, model: AbstractModel, paths: Sequence[Path], *, fmax: float) -> Saddles:
    """The saddle point near the highest image of each path, walked to along the path."""
    guesses = torch.as_tensor(np.concatenate([p.positions[p.highest] for p in paths]))
    tangents: list[Tensor | None] = [torch.as_tensor(p.tangent) for p in paths]
    return find_saddles(reactions.with_positions(guesses), model, along=tangents, fmax=fmax)


def ways_down(saddles: Systems, model: AbstractModel, *, step: float, max_steps: int) -> list[tuple[Branch, Branch]]:
    """Both ways down along the softest mode of each saddle point."""
    found = second_derivatives(model, saddles)
    free = free_motions(model)
    modes = [normal_modes(saddles[k], d, free).modes[0] for k, d in enumerate(found)]
    return descend(saddles, model, modes, step=step, max_steps=max_steps)


def ended_at(
    ends: Systems, model: AbstractModel, given: tuple[Atoms, Atoms], relaxed: tuple[Atoms, Atoms]
) -> list[str]:
    """What the relaxed ends of a path are: "reactant", "product", a conformer of either, or "another minimum".

    Args:
        ends: of paths of one reaction.
        model: any.
        given: reactant and product before relaxation; what has the bonds of one counts as its conformer.
        relaxed: both at minima.
    """
    found = optimize(ends, model, fmax=0.01, max_steps=500).systems.to_ase()
    return [_named(atoms, given, relaxed) for atoms in found]


def _named(atoms: Atoms, given: tuple[Atoms, Atoms], relaxed: tuple[Atoms, Atoms]) -> str:
    names = ("reactant", "product")
    for name, one in zip(names, relaxed, strict=True):
        if _deviation(atoms, one) < SAME_SHAPE:
            return name
    for name, meant in zip(names, _meant(given, relaxed), strict=True):
        if set(bonds(atoms)) in meant:
            return f"a conformer of the {name}"
    return "another minimum"


def _deviation(atoms: Atoms, other: Atoms) -> float:
    """Root mean square distance of the atoms, one structure laid on the other, Å."""
    from ase.build import minimize_rotation_and_translation

    moved = atoms.copy()
    minimize_rotation_and_translation(other, moved)
    return float(np.sqrt(((moved.positions - other.positions) ** 2).sum(axis=1).mean()))


def _around_highest(band: Band, atoms: Atoms, images: int) -> np.ndarray:
    """A path between the neighbours of a band's highest image, through it."""
    frames = []
    for x in band.positions[band.highest - 1 : band.highest + 2]:
        frame = atoms.copy()
        frame.set_positions(x, apply_constraint=False)
        frames.append(frame)
    half = images // 2 + 1
    before = first_path(frames[0], frames[1], half)
    frames[1].set_positions(before[-1], apply_constraint=False)  # as it was laid on its neighbour
    return np.concatenate([before, first_path(frames[1], frames[2], half)[1:]])


def _joined(positions: np.ndarray, energies: np.ndarray, piece: slice, closer: Path) -> Path:
    """A path with a refined one in place of the images ``piece``."""
    return replace(
        closer,
        positions=np.concatenate([positions[: piece.start], closer.positions, positions[piece.stop :]]),
        energies=np.concatenate([energies[: piece.start], closer.energies, energies[piece.stop :]]),
        highest=piece.start + closer.highest,
    )


def _path(band: Band) -> Path:
    k = band.highest
    return Path(band.positions, band.energies, band.tangent(k), k, band.force, band.converged, band.steps)
