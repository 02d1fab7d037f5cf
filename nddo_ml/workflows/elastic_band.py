"""Minimum-energy paths: nudged elastic bands of many reactions, all images of all of them one batch.

Improved tangents: Henkelman & Jónsson, J. Chem. Phys. 113, 9978 (2000); climbing image: Henkelman, Uberuaga & Jónsson,
J. Chem. Phys. 113, 9901 (2000); first path: Smidstrup, Pedersen, Stokbro & Jónsson, J. Chem. Phys. 140, 214106 (2014);
optimiser: Bitzek, Koskinen, Gähler, Moseler & Gumbsch, Phys. Rev. Lett. 97, 170201 (2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.constant import constant_energy
from nddo_ml.systems import Systems
from nddo_ml.workflows.second_derivatives import given

if TYPE_CHECKING:
    from ase import Atoms

SPRING = 2.0  # eV/Å²
_CLIMB = 0.5  # eV/Å, largest force of a band from which its highest image climbs
_MAX_STEP = 0.1  # Å, of an atom
_PATIENCE, _LONGEST, _MIXING = 5, 0.6, 0.1  # of FIRE: downhill steps before longer ones, longest Δt, first α


@dataclass
class Band:
    """One reaction's path: the ends stay, what is between them moves."""

    positions: np.ndarray  # [images, atoms, 3] Å
    energies: np.ndarray  # [images] eV
    force: float = np.inf  # eV/Å, the largest of the band's
    converged: bool = False
    climbing: bool = False
    steps: int = 0
    _timestep: float = 0.1
    _mixing: float = 0.1
    _downhill: int = 0  # steps since the power was negative
    _velocity: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._velocity = np.zeros_like(self.positions[1:-1])

    @property
    def highest(self) -> int:
        """The image with the highest energy between the ends."""
        return 1 + int(self.energies[1:-1].argmax())

    def tangent(self, k: int) -> np.ndarray:
        """Unit vector [atoms, 3] along the path at an image, towards the higher neighbour."""
        ahead, back = (self.positions[k + 1] - self.positions[k]), (self.positions[k] - self.positions[k - 1])
        before, here, after = self.energies[k - 1 : k + 2]
        if after > here > before:
            direction = ahead
        elif after < here < before:
            direction = back
        else:
            large, small = sorted((abs(after - here), abs(before - here)), reverse=True)
            weights = (large, small) if after > before else (small, large)
            direction = weights[0] * ahead + weights[1] * back
        return direction / np.linalg.norm(direction)

    def forces(self, true: np.ndarray) -> np.ndarray:
        """Forces of the band [images − 2, atoms, 3]: true ones across the path, springs along it."""
        made = np.empty_like(true)
        for k in range(1, len(self.positions) - 1):
            tangent, force = self.tangent(k), true[k - 1]
            along = (force * tangent).sum() * tangent
            if self.climbing and k == self.highest:
                made[k - 1] = force - 2 * along
                continue
            ahead = np.linalg.norm(self.positions[k + 1] - self.positions[k])
            back = np.linalg.norm(self.positions[k] - self.positions[k - 1])
            made[k - 1] = force - along + SPRING * (ahead - back) * tangent
        return made

    def move(self, forces: np.ndarray) -> None:
        """One step of FIRE of the whole band, each atom at most 0.1 Å: ``v ← (1 − α) v + α |v| F/|F| + Δt F``.

        The forces of a band are no gradient, which a method that learns curvatures takes amiss.

        Args:
            forces: [images − 2, atoms, 3] eV/Å.
        """
        power = float((forces * self._velocity).sum())
        if power > 0:
            self._downhill += 1
            length = np.linalg.norm(self._velocity) / np.linalg.norm(forces)
            self._velocity = (1 - self._mixing) * self._velocity + self._mixing * length * forces
            if self._downhill > _PATIENCE:
                self._timestep = min(1.1 * self._timestep, _LONGEST)
                self._mixing *= 0.99
        else:
            self._downhill, self._velocity, self._mixing = 0, np.zeros_like(forces), _MIXING
            self._timestep *= 0.5
        self._velocity = self._velocity + self._timestep * forces
        step = self._timestep * self._velocity
        self.positions[1:-1] += step * min(1.0, _MAX_STEP / max(np.linalg.norm(step, axis=2).max(), 1e-12))
        self.steps += 1

    def climb(self) -> None:
        """Have the highest image climb from here, and the band start from rest."""
        self.climbing = True
        self._velocity = np.zeros_like(self._velocity)


def first_path(reactant: Atoms, product: Atoms, images: int) -> np.ndarray:
    """Positions [images, atoms, 3] between two structures, by distances of atoms that change evenly (IDPP).

    The product is laid on the reactant first.

    Raises:
        InputError: other atoms, or in another order; fewer than three images.
    """
    from ase.build import minimize_rotation_and_translation
    from ase.mep import NEB

    check_atoms(reactant, product)
    if images < 3:
        raise InputError(f"a path needs at least 3 images; got {images}")
    end = product.copy()
    minimize_rotation_and_translation(reactant, end)
    frames = [reactant.copy() for _ in range(images - 1)] + [end]
    for frame in frames:
        frame.set_constraint()
        frame.pbc = False
    NEB(frames, allow_shared_calculator=True, method="improvedtangent").interpolate(method="idpp")
    return np.stack([f.positions for f in frames])


def evenly(positions: np.ndarray, images: int) -> np.ndarray:
    """So many structures [images, atoms, 3] at even distances along the line through ``positions``."""
    flat = positions.reshape(len(positions), -1)
    passed = np.concatenate([[0.0], np.linalg.norm(np.diff(flat, axis=0), axis=1).cumsum()])
    at = np.linspace(0, passed[-1], images)
    return np.stack([np.interp(at, passed, x) for x in flat.T], axis=1).reshape(images, *positions.shape[1:])


def check_atoms(reactant: Atoms, product: Atoms) -> None:
    """Refuse a reactant and a product whose atoms are not the same in the same order.

    Raises:
        InputError: naming the first atom that differs.
    """
    one, other = reactant.get_chemical_formula(), product.get_chemical_formula()
    if one != other:
        raise InputError(f"expected the same atoms in reactant and product; got {one} and {other}")
    bad = np.flatnonzero(reactant.numbers != product.numbers)
    if len(bad):
        k = int(bad[0])
        raise InputError(
            f"expected the atoms of reactant and product in the same order; atom {k} is {reactant.symbols[k]} in one "
            f"and {product.symbols[k]} in the other"
        )


def relax_bands(
    reactions: Systems,
    model: AbstractModel,
    paths: Sequence[np.ndarray],
    *,
    fmax: float = 0.1,
    max_steps: int = 300,
) -> list[Band]:
    """Relax paths until the largest force of each band is at most ``fmax``, all images of all bands one batch.

    Args:
        reactions: a system a reaction, for its atoms, charge and multiplicity.
        model: any.
        paths: [images, atoms, 3] Å of each reaction, the ends at minima.
        fmax: eV/Å; the highest image climbs from 0.5 on.
        max_steps: of each band.

    Raises:
        SCFConvergenceError: as from the model.
    """
    images = [len(p) for p in paths]
    owner = torch.arange(len(paths)).repeat_interleave(torch.tensor(images))
    energies, _ = _evaluate(reactions, model, owner, [x for p in paths for x in p])
    bands = [Band(p.copy(), e) for p, e in zip(paths, np.split(energies, np.cumsum(images)[:-1]), strict=True)]
    for _ in range(max_steps + 1):
        active = [k for k, band in enumerate(bands) if not band.converged]
        if not active:
            break
        inner = torch.tensor([k for k in active for _ in range(images[k] - 2)])
        found, true = _evaluate(reactions, model, inner, [x for k in active for x in bands[k].positions[1:-1]])
        first = 0
        for k in active:
            here = slice(first, first + images[k] - 2)
            bands[k].energies[1:-1] = found[here]
            _advance(bands[k], np.stack(true[here]), fmax, max_steps)
            first += images[k] - 2
    return bands


def _advance(band: Band, true: np.ndarray, fmax: float, max_steps: int) -> None:
    """Take note of a band's forces, and move it where they are too large."""
    forces = band.forces(true)
    band.force = float(np.linalg.norm(forces, axis=2).max())
    if not band.climbing and band.force < max(_CLIMB, fmax):
        band.climb()
        forces = band.forces(true)
        band.force = float(np.linalg.norm(forces, axis=2).max())
    band.converged = band.climbing and band.force <= fmax
    if not band.converged and band.steps < max_steps:
        band.move(forces)


def _evaluate(
    reactions: Systems, model: AbstractModel, owner: Tensor, positions: list[np.ndarray]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Energies of structures of the reactions ``owner``, without constants that have no force, and forces."""
    systems = reactions.select(owner).with_positions(torch.as_tensor(np.concatenate(positions)))
    prediction = model(systems, forces=True).detached()
    energy = prediction.energy - constant_energy(model, systems)
    forces = given(prediction.forces).split([len(x) for x in positions])
    return energy.numpy(), [f.numpy() for f in forces]
