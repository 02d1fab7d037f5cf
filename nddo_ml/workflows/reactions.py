"""From reactants and products to barriers: relaxed ends, paths, saddle points, and the ways down, reactions in a batch.

Each stage takes what the one before has found, so that it can be kept in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems
from nddo_ml.workflows.elastic_band import Band, first_path, relax_bands
from nddo_ml.workflows.fragments import bonds
from nddo_ml.workflows.normal_modes import free_motions, normal_modes
from nddo_ml.workflows.optimize import optimize
from nddo_ml.workflows.reaction_path import Branch, descend
from nddo_ml.workflows.saddle import Saddles, find_saddles
from nddo_ml.workflows.second_derivatives import second_derivatives

if TYPE_CHECKING:
    from ase import Atoms

END_FORCE = 0.005  # eV/Å, of relaxed reactants and products
FIRST_STEPS = 40  # after which a band that has not converged is refined around its highest image
SAME_SHAPE = 0.3  # Å, root mean square deviation within which an end is the one that was given


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


def relaxed_paths(
    reactants: Systems, products: Systems, model: AbstractModel, *, images: int, fmax: float, max_steps: int
) -> list[Path]:
    """Relaxed ends and a nudged elastic band between those of each reaction.

    Raises:
        InputError: other atoms in product than in reactant, or in another order.
        SCFConvergenceError: as from the model.
    """
    starts, ends = (
        optimize(side, model, fmax=END_FORCE, max_steps=500).systems.to_ase() for side in (reactants, products)
    )
    paths = [first_path(a, b, images) for a, b in zip(starts, ends, strict=True)]
    bands = relax_bands(reactants, model, paths, fmax=fmax, max_steps=min(FIRST_STEPS, max_steps))
    found = [_path(band) for band in bands]
    left = [k for k, band in enumerate(bands) if not band.converged]
    if left and max_steps > FIRST_STEPS:
        zoomed = [_around_highest(bands[k], starts[k], images) for k in left]
        closer = relax_bands(
            reactants.select(torch.tensor(left)), model, zoomed, fmax=fmax, max_steps=max_steps - FIRST_STEPS
        )
        for k, band in zip(left, closer, strict=True):
            found[k] = _joined(bands[k], _path(band))
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


def ended_at(ends: Systems, model: AbstractModel, reactant: Atoms, product: Atoms) -> list[str]:
    """What the relaxed ends of a path are: "reactant", "product", a conformer of either, or "another minimum"."""
    relaxed = optimize(ends, model, fmax=0.01, max_steps=500).systems.to_ase()
    return [_named(atoms, reactant, product) for atoms in relaxed]


def _named(atoms: Atoms, reactant: Atoms, product: Atoms) -> str:
    known = {"reactant": reactant, "product": product}
    for name, one in known.items():
        if _deviation(atoms, one) < SAME_SHAPE:
            return name
    for name, one in known.items():
        if set(bonds(atoms)) == set(bonds(one)):
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


def _joined(band: Band, closer: Path) -> Path:
    """The band with the refined path in place of its highest image and what is between its neighbours."""
    k = band.highest
    return Path(
        np.concatenate([band.positions[: k - 1], closer.positions, band.positions[k + 2 :]]),
        np.concatenate([band.energies[: k - 1], closer.energies, band.energies[k + 2 :]]),
        closer.tangent,
        k - 1 + closer.highest,
        closer.force,
        closer.converged,
        band.steps + closer.steps,
    )


def _path(band: Band) -> Path:
    k = band.highest
    return Path(band.positions, band.energies, band.tangent(k), k, band.force, band.converged, band.steps)
