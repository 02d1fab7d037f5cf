"""Dimers and ion pairs: two molecules brought into contact at a random orientation."""

from __future__ import annotations

import numpy as np
from ase import Atoms

CONTACT = (0.85, 1.25)  # nearest approach over the sum of van der Waals radii


def pair(first: Atoms, second: Atoms, rng: np.random.Generator, contact: tuple[float, float] = CONTACT) -> Atoms:
    """The second molecule, turned at random, moved along a random line until it touches the first.

    The smallest ratio of a distance between the two to the sum of the van der Waals radii is drawn from ``contact``;
    charges add up. Radii: Alvarez, Dalton Trans. 42, 8617 (2013), from ASE.
    """
    from ase.data.vdw_alvarez import vdw_radii

    wanted = rng.uniform(*contact)
    turned = (second.positions - second.positions.mean(axis=0)) @ _rotation(rng).T
    centred = first.positions - first.positions.mean(axis=0)
    line = rng.normal(size=3)
    line /= np.linalg.norm(line)
    radii = vdw_radii[first.numbers][:, None] + vdw_radii[second.numbers]

    def closest(distance: float) -> float:
        gaps = np.linalg.norm(centred[:, None] - (turned + distance * line)[None], axis=-1)
        return float((gaps / radii).min())

    near, far = 0.0, 4.0
    while closest(far) < wanted:
        far *= 2.0
    for _ in range(40):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if closest(middle) < wanted else (near, middle)
    charge = int(first.info.get("charge", 0)) + int(second.info.get("charge", 0))
    numbers = np.concatenate([first.numbers, second.numbers])
    return Atoms(numbers, np.concatenate([centred, turned + far * line]), info={"charge": charge})


def _rotation(rng: np.random.Generator) -> np.ndarray:
    """A uniformly random rotation, from a unit quaternion."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
