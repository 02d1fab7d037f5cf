"""Pairs of molecules that teach a correction of atomic energies to leave the interaction of molecules to the parent.

python recipes/additive_pairs.py --conformers data/conformers_train.extxyz --output data/pairs_train.extxyz

Two conformers in random orientation, their nearest atoms at 0.65 to 1.6 of the sum of their van der Waals radii. The
label is E(A) + E(B) of the conformers and the parent's interaction energy, so that the correction learns that it is
additive.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import ase.io
import numpy as np
import torch
import typer
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import vdw_radii
from scipy.spatial.transform import Rotation

from nddo_ml import NDDO, Systems

RANGE = (0.65, 1.6)  # of the sum of van der Waals radii
LARGEST = 14  # atoms of a conformer


def contact(one: Atoms, other: Atoms) -> float:
    """The smallest distance between atoms over the sum of their van der Waals radii."""
    distance = np.linalg.norm(one.positions[:, None] - other.positions[None], axis=2)
    radii = vdw_radii[one.numbers][:, None] + vdw_radii[other.numbers][None]
    return float((distance / radii).min())


def pair(one: Atoms, other: Atoms, generator: np.random.Generator) -> Atoms:
    """Both molecules at a random contact."""
    one, other = (Atoms(a.numbers, a.positions - a.positions.mean(axis=0)) for a in (one, other))
    other.positions = Rotation.random(random_state=generator).apply(other.positions)
    direction = generator.normal(size=3)
    direction /= np.linalg.norm(direction)
    wanted, start = generator.uniform(*RANGE), other.positions.copy()
    near, far = 0.0, 40.0
    while far - near > 1e-3:  # the contact grows along the way out, but for small dents
        middle = 0.5 * (near + far)
        other.positions = start + middle * direction
        near, far = (middle, far) if contact(one, other) < wanted else (near, middle)
    return one + other


def main(
    conformers: Annotated[Path, typer.Option(help="Molecules with energies, eV.")],
    output: Annotated[Path, typer.Option(help="The pairs.")],
    number: Annotated[int, typer.Option(help="How many pairs.")] = 2500,
    method: Annotated[str, typer.Option(help="The parent.")] = "PM6-D3H4",
) -> None:
    """Make, label and write the pairs."""
    generator = np.random.default_rng(1)
    frames = [a for a in ase.io.read(conformers, ":") if len(a) <= LARGEST]
    chosen = generator.integers(len(frames), size=(number, 2))
    pairs = [pair(frames[i], frames[j], generator) for i, j in chosen]
    model = NDDO(method)

    def energies(structures: list[Atoms]) -> np.ndarray:
        batches = [Systems.from_ase(structures[k : k + 100]) for k in range(0, len(structures), 100)]
        return torch.cat([model(b, on_failure="mask").energy for b in batches]).numpy()

    parts = [energies([frames[k] for k in column]) for column in chosen.T]
    interaction = energies(pairs) - parts[0] - parts[1]
    good = []
    for atoms, (i, j), energy in zip(pairs, chosen, interaction, strict=True):
        if np.isfinite(energy):
            total = frames[i].get_potential_energy() + frames[j].get_potential_energy() + float(energy)
            atoms.calc = SinglePointCalculator(atoms, energy=total)
            good.append(atoms)
    ase.io.write(output, good)


if __name__ == "__main__":
    typer.run(main)
