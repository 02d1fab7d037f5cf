"""The (100) face of crystals with diamond's structure: slabs, their dimer reconstructions, what a model says of them.

A bulk-terminated (100) face has two dangling bonds an atom, in one plane. Atoms pair along that axis to dimers, p(2×1);
dimers buckle, the one atom up and the other down, all alike, p(2×1), alternating along the row, p(2×2), or along and
across the rows, c(4×2). The axis turns by 90° from layer to layer, so that each face of a slab has its own
(Chadi, Phys. Rev. Lett. 43, 43 (1979); Ramstad, Brocks & Kelly, Phys. Rev. B 51, 14504 (1995)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, diamond100
from ase.constraints import FixSymmetry
from ase.neighborlist import neighbor_list

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.dynamics import Motion, first_state, run
from nddo_ml.workflows.optimize import OptimizationResult, optimize
from nddo_ml.workflows.solids import relax

Pattern = Literal["symmetric", "same", "row", "checker"]
RECONSTRUCTIONS: Mapping[str, tuple[tuple[int, int], Pattern]] = {  # cells along and across the dimers; buckling
    "p(2×1) symmetric": ((2, 1), "symmetric"),
    "p(2×1) buckled": ((2, 1), "same"),
    "p(2×2)": ((2, 2), "row"),
    "c(4×2)": ((4, 2), "checker"),
}
LENGTH, BUCKLING = 0.98, 0.3  # of a bulk bond: the first dimers' length, and their height difference
VACUUM = 8.0  # Å to each side of a slab, more than any cut-off
_FACE = 0.4  # of a bulk bond: heights of one face, buckled or not; layers are 0.58 apart
_BOND = 1.2  # of a bulk bond: the longest that counts


@dataclass(frozen=True)
class Dimer:
    """Two atoms of a face that are bonded."""

    atoms: tuple[int, int]
    length: float  # Å
    buckling: float  # Å, height of the one above the other
    tilt: float  # degrees to the face


@dataclass(frozen=True)
class Reconstruction:
    """A relaxed slab, both faces reconstructed."""

    name: str
    atoms: Atoms
    energy: float  # eV a dimer, relative to the bulk-terminated slab
    dimers: tuple[Dimer, ...]
    converged: bool
    outside: int  # atoms with a symmetry function outside the range of the training data; -1: the model has no ranges

    def mean(self, what: Literal["length", "buckling", "tilt"]) -> float:
        """Mean over the dimers; NaN where there are none."""
        return float(np.mean([getattr(d, what) for d in self.dimers])) if self.dimers else float("nan")


def ideal_slab(element: str, lattice: float, repeat: tuple[int, int], layers: int = 10) -> Atoms:
    """A bulk-terminated (100) slab, its upper face's dimers along x.

    Args:
        element: one with diamond's structure.
        lattice: Å, of the cubic cell.
        repeat: cells of the face along and across the dimers.
        layers: 6, 10, 14 …, so that the atoms of both faces pair along the same axis about the same mirror planes.

    Raises:
        InputError: other numbers of layers.
    """
    if layers < 6 or layers % 4 != 2:
        raise InputError(f"a slab with like faces has 6, 10, 14, … layers, two more than a multiple of 4; got {layers}")
    slab = diamond100(element, (1, 1, layers), a=lattice, vacuum=VACUUM)
    slab.pbc = True
    if abs(_dangling_axis(slab, upper=True)[1]) > 0.5:  # along y: the mirror image has it along x
        slab.positions = slab.positions[:, [1, 0, 2]]
    return slab * (*repeat, 1)


def reconstructed(slab: Atoms, pattern: Pattern) -> Atoms:
    """A slab whose faces' atoms are paired along their own dangling bonds' axis, and buckled by a pattern.

    Raises:
        InputError: a face that cannot be paired in this cell.
    """
    atoms = slab.copy()
    bond = _bond(slab)
    for upper in (True, False):
        axis = _dangling_axis(slab, upper)
        for left, right, along, across in _pairs(slab, _face(slab, upper), axis):
            up = {"symmetric": 0, "same": 1, "row": (-1) ** across, "checker": (-1) ** (along + across)}[pattern]
            height = 0.5 * BUCKLING * bond * up
            span = np.sqrt((LENGTH * bond) ** 2 - (2 * height) ** 2)
            shift = 0.5 * (_edge(bond) - span) * axis + np.array([0.0, 0.0, height])
            atoms.positions[left] += shift
            atoms.positions[right] -= shift
    return atoms


def dimers(atoms: Atoms, bond: float, upper: bool = True) -> list[Dimer]:
    """Bonded pairs within one face.

    Args:
        atoms: a slab, its normal along z.
        bond: Å, of the bulk.
        upper: which face.
    """
    face = _face(atoms, upper, _FACE * bond)
    i, j, d, offset = neighbor_list("ijdD", atoms[face], _BOND * bond)
    found = []
    for a, b, length, vector in zip(i, j, d, offset, strict=True):
        if a < b:
            height = abs(float(vector[2]))
            tilt = float(np.degrees(np.arcsin(height / length)))
            found.append(Dimer((int(face[a]), int(face[b])), float(length), height, tilt))
    return found


def reconstructions(
    model: AbstractModel,
    element: str = "Si",
    *,
    names: Sequence[str] = tuple(RECONSTRUCTIONS),
    layers: int = 10,
    fmax: float = 0.01,
    max_steps: int = 300,
) -> list[Reconstruction]:
    """Relax reconstructions of (100) at the model's own lattice constant; the bulk-terminated slab relaxed comes first.

    Energies are ``(E − E_ideal) / dimers`` with E_ideal of the bulk-terminated slab of the same cell, not relaxed, and
    a pair of face atoms counted for a dimer whether it is bonded or not.

    Raises:
        InputError: an unknown name; an element or cell that the model does not take.
        RelaxationError: the crystal does not relax.
    """
    unknown = [name for name in names if name not in RECONSTRUCTIONS]
    if unknown:
        raise InputError(f"reconstructions of (100) are {', '.join(RECONSTRUCTIONS)}; got {unknown[0]!r}")
    lattice = lattice_constant(model, element)
    starts = [("1×1", ideal_slab(element, lattice, (2, 1), layers))]
    for name in names:
        repeat, pattern = RECONSTRUCTIONS[name]
        starts.append((name, reconstructed(ideal_slab(element, lattice, repeat, layers), pattern)))
    for name, start in starts:
        if "symmetric" in name:  # a saddle point of models that buckle: rounding would lead away from it
            start.set_constraint(FixSymmetry(start))
            start.positions = relax(start, NDDOCalculator(model), cell=False, force=fmax, steps=max_steps).positions
            start.set_constraint()
    batch = optimize(Systems.from_ase([a for _, a in starts]), model, fmax=1.1 * fmax, max_steps=max_steps)
    ideal = float(model(Systems.from_ase(ideal_slab(element, lattice, (1, 1), layers))).energy[0])
    return [_found(model, name, start, ideal, lattice, batch, k) for k, (name, start) in enumerate(starts)]


def annealed(
    model: AbstractModel,
    element: str = "Si",
    *,
    repeat: tuple[int, int] = (4, 2),
    layers: int = 10,
    noise: float = 0.1,
    temperature: float = 900.0,
    picoseconds: float = 2.0,
    seed: int = 0,
) -> Reconstruction:
    """What the bulk-terminated slab becomes by itself: noise, Langevin dynamics that cool in ten stages, relaxation.

    Args:
        model: a potential or method for cells.
        element: one with diamond's structure.
        repeat: cells of the face.
        layers: of the slab.
        noise: Å, standard deviation of the first displacements.
        temperature: K, of the first stage; the last has a tenth of it.
        picoseconds: in total.
        seed: of noise and dynamics.

    Raises:
        InputError: as from :func:`reconstructions`.
    """
    lattice = lattice_constant(model, element)
    start = ideal_slab(element, lattice, repeat, layers)
    ideal = float(model(Systems.from_ase(start)).energy[0]) / (repeat[0] * repeat[1])
    start.positions += np.random.default_rng(seed).normal(scale=noise, size=(len(start), 3))
    systems, stream = Systems.from_ase(start), torch.zeros(1, dtype=torch.int64)
    motion = Motion(timestep=2.0, temperature=temperature, friction=5.0, seed=seed)
    state = first_state(systems, motion, stream)
    steps = max(1, round(picoseconds * 100 / motion.timestep))
    for stage in range(10):
        cooled = Motion(motion.timestep, temperature * (1 - stage / 10), motion.friction, seed)
        state, _ = run(systems, model, cooled, state, stream, steps, steps)
    found = optimize(systems.with_positions(state.positions), model, fmax=0.02, max_steps=300)
    return _found(model, "annealed", start, ideal, lattice, found, 0)


def lattice_constant(model: AbstractModel, element: str) -> float:
    """Of the cubic cell of an element with diamond's structure, Å.

    Raises:
        RelaxationError: the crystal does not relax.
    """
    cell = relax(bulk(element, "diamond", a=_guess(element)), NDDOCalculator(model))
    return float((4 * cell.get_volume()) ** (1 / 3))


def _guess(element: str) -> float:
    known = {"C": 3.567, "Si": 5.431, "Ge": 5.658, "Sn": 6.489}  # Å, measured
    if element not in known:
        raise InputError(f"elements with diamond's structure are {', '.join(known)}; got {element!r}")
    return known[element]


def _found(
    model: AbstractModel, name: str, start: Atoms, ideal: float, lattice: float, result: OptimizationResult, k: int
) -> Reconstruction:
    """System ``k`` of a relaxation; ``ideal`` is the energy of one bulk-terminated cell."""
    atoms, bond = start.copy(), lattice * 3**0.5 / 4
    atoms.positions = result.systems.positions[result.systems.system_idx == k].numpy()
    cells = round(float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1]))) / _edge(bond) ** 2)
    energy = float(result.prediction.energy[k]) / cells - ideal  # two faces, two atoms a dimer
    both = (*dimers(atoms, bond, upper=True), *dimers(atoms, bond, upper=False))
    outside = -1
    if model.capabilities.training_range:
        outside = len({e.atom for e in model.extrapolation(Systems.from_ase(atoms))})
    return Reconstruction(name, atoms, energy, both, bool(result.converged[k]), outside)


def _bond(slab: Atoms) -> float:
    """The shortest distance of a bulk-terminated slab, Å."""
    return float(neighbor_list("d", slab, 3.5).min())


def _edge(bond: float) -> float:
    """Of the 1×1 face, Å: ``a / √2`` with ``a = 4 bond / √3``."""
    return bond * 4 / 6**0.5


def _face(slab: Atoms, upper: bool, depth: float = 0.1) -> np.ndarray:
    """Atoms of the outermost layer, which is ``depth`` thick, Å."""
    z = slab.positions[:, 2] if upper else -slab.positions[:, 2]
    return np.flatnonzero(z > z.max() - depth)


def _dangling_axis(slab: Atoms, upper: bool) -> np.ndarray:
    """Direction in the face, a unit vector, of the two bonds that its atoms lack.

    The two that they have lie in one plane with the normal, those that they lack in that at right angles.
    """
    i, offset = neighbor_list("iD", slab, 1.1 * _bond(slab))
    kept = offset[i == _face(slab, upper)[0]][0]
    axis = np.abs(np.array([kept[1], kept[0], 0.0]))
    return np.asarray(axis / np.linalg.norm(axis))


def _pairs(slab: Atoms, face: np.ndarray, axis: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Pairs of neighbours along an axis: left, right, number along the axis, number of the row."""
    edge = _edge(_bond(slab))
    across = np.array([axis[1], axis[0], 0.0])
    columns, rows = (
        np.rint((p - p.min()) / edge).astype(int) for p in (slab.positions[face] @ v for v in (axis, across))
    )
    if (columns.max() + 1) % 2:
        raise InputError(
            f"a face with {columns.max() + 1} atoms along its dangling bonds cannot be paired in this cell"
        )
    place = {(int(c), int(r)): int(k) for c, r, k in zip(columns, rows, face, strict=True)}
    return [(k, place[c + 1, r], c // 2, r) for (c, r), k in place.items() if c % 2 == 0]
