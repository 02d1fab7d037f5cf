"""Local stress by shells about a vacancy and by the layers of a slab."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms, units

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems
from nddo_ml.workflows.local_stress import local_stress
from nddo_ml.workflows.optimize import optimize

_GAP = 0.3  # Å: atoms whose distances or heights differ by more belong to different shells or layers


@dataclass(frozen=True)
class StressProfile:
    """Mean stress of shells or layers, GPa; tension is positive."""

    axis: str  # what ``places`` are
    places: np.ndarray  # [n] Å
    counts: np.ndarray  # [n] atoms
    stress: np.ndarray  # [n, 3, 3]
    tension: float | None = None  # eV/Å², the surface stress of a slab's two faces together

    @property
    def pressure(self) -> np.ndarray:
        """Minus a third of the trace, [n]."""
        return np.asarray(-self.stress.trace(axis1=1, axis2=2) / 3)

    @property
    def lateral(self) -> np.ndarray:
        """``(σ_xx + σ_yy)/2``, [n]."""
        return np.asarray(0.5 * (self.stress[:, 0, 0] + self.stress[:, 1, 1]))


def vacancy_shells(model: AbstractModel, crystal: Atoms, fmax: float = 0.01) -> tuple[StressProfile, Atoms]:
    """Pressure by distance from a vacancy at the first atom's place, relaxed in the cell as it is; and the structure.

    Args:
        model: a potential with per-atom virials.
        crystal: a perfect supercell.
        fmax: eV/Å, of the relaxation.

    Raises:
        InputError: as from :func:`~nddo_ml.workflows.local_stress.local_stress`.
    """
    distance = crystal.get_distances(0, range(1, len(crystal)), mic=True)
    atoms = crystal[1:]
    found = optimize(Systems.from_ase(atoms), model, fmax=fmax)
    stress = local_stress(model, found.systems).numpy() / units.GPa
    atoms.positions = found.systems.positions.numpy()
    return _profile("distance from the vacancy, Å", distance, stress), atoms


def layer_stress(model: AbstractModel, slab: Atoms) -> StressProfile:
    """Stress layer by layer along z of a slab, per atom of the crystal instead of the cell with its vacuum.

    The surface stress, ``Σ_layers (σ_xx + σ_yy)/2`` times a layer's volume over the area, is exactly that of the cell
    times its height (of both faces).

    Raises:
        InputError: fewer than three layers, or as from :func:`~nddo_ml.workflows.local_stress.local_stress`.
    """
    height = slab.positions[:, 2]
    stress = local_stress(model, Systems.from_ase(slab)).numpy() / units.GPa
    shown = _profile("height, Å", height, stress)
    if len(shown.places) < 3:
        raise InputError(f"a slab needs at least three layers; got {len(shown.places)}")
    area = float(np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])))
    atom = float(np.median(np.diff(shown.places))) * area / shown.counts.max()  # Å³, within the crystal
    mean = shown.stress * slab.get_volume() / len(slab) / atom
    tension = float(shown.counts @ (mean[:, 0, 0] + mean[:, 1, 1])) * 0.5 * units.GPa * atom / area
    return replace(shown, stress=mean, tension=tension)


def _profile(axis: str, place: np.ndarray, stress: np.ndarray) -> StressProfile:
    """Means of [atoms, 3, 3] over groups of atoms at one place."""
    order = np.argsort(place, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(place[order]) > _GAP) + 1)
    places = np.array([place[g].mean() for g in groups])
    return StressProfile(
        axis, places, np.array([len(g) for g in groups]), np.array([stress[g].mean(0) for g in groups])
    )
