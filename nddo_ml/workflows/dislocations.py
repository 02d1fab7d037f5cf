"""Dislocations of crystals with diamond's structure: their elastic and core energies, and what elasticity says of them.

The energy within a radius R of a straight dislocation is, an Å of its line, ``E(R) = E_core + k ln(R / b)``. The
prefactor ``k = b·B·b`` follows from the elastic constants alone by the integral formalism
``B = 1/(8π²) ∫_0^2π [(mm) − (mn)(nn)⁻¹(nm)] dθ``, ``(ab)_jk = a_i C_ijkl b_l``
(Bacon, Barnett & Scattergood, Prog. Mater. Sci. 23, 51 (1980)). Geometries are matscipy's (LGPL, an optional extra).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.optimize import LBFGS

from nddo_ml.errors import InputError
from nddo_ml.models.base import AbstractModel
from nddo_ml.systems import Systems
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.crystal_axes import full_constants, turned
from nddo_ml.workflows.solids import RelaxationError

KINDS: Mapping[str, str] = {"screw": "DiamondGlideScrew", "60°": "DiamondGlide60Degree"}  # matscipy's classes
_ANGLES = 180  # of the integral, which converges exponentially
_RADII = 60  # of a curve
_INNERMOST = 2.0  # of a Burgers vector: where fits begin


@dataclass(frozen=True)
class Cylinder:
    """A dislocation along z amid a cylinder of crystal."""

    kind: str
    crystal: Atoms
    displaced: Atoms  # by the elastic solution, its rim a constraint
    burgers: np.ndarray  # [3] Å, in the cylinder's frame
    axes: np.ndarray  # [3, 3] rows: the frame's unit vectors in the cubic cell's
    distance: np.ndarray  # [atoms] Å of the crystal's atoms from the line

    @property
    def line(self) -> float:
        """Å along the line."""
        return float(self.crystal.cell[2, 2])


@dataclass(frozen=True)
class EnergyCurve:
    """Energy within radii, and its fit."""

    radii: np.ndarray  # [n] Å
    energies: np.ndarray  # [n] eV/Å, relative to the crystal
    slope: float  # k, eV/Å
    core: float  # E_core, eV/Å, at the radius of a Burgers vector


def elastic_prefactor(constants: np.ndarray, burgers: np.ndarray) -> float:
    """``k = b·B·b`` of a dislocation along z, eV/Å.

    Args:
        constants: [6, 6] GPa in the frame of the dislocation (:func:`~nddo_ml.workflows.crystal_axes.turned`).
        burgers: [3] Å.
    """
    c = full_constants(constants) * units.GPa
    total = np.zeros((3, 3))
    for theta in np.pi * np.arange(_ANGLES) / _ANGLES:  # the integrand has the period π
        m = np.array([np.cos(theta), np.sin(theta), 0.0])
        n = np.array([-np.sin(theta), np.cos(theta), 0.0])
        mm, mn, nn = (np.einsum("i,ijkl,l->jk", a, c, b) for a, b in ((m, m), (m, n), (n, n)))
        total += mm - mn @ np.linalg.solve(nn, mn.T)
    return float(burgers @ total @ burgers) / (4 * np.pi * _ANGLES)


def cylinder(
    element: str, lattice: float, constants: np.ndarray, kind: str = "screw", radius: float = 30.0, rim: float = 11.0
) -> Cylinder:
    """A cylinder displaced by anisotropic elasticity, undissociated, in the glide set.

    Args:
        element: one with diamond's structure.
        lattice: Å.
        constants: [6, 6] GPa, of the cubic cell.
        kind: "screw" or "60°".
        radius: Å, of the atoms that may move.
        rim: Å, of the fixed atoms around: two cut-offs, so that no atom that moves feels the free surface.

    Raises:
        InputError: matscipy is not installed; an unknown kind.
    """
    if kind not in KINDS:
        raise InputError(f"dislocations are {', '.join(KINDS)}; got {kind!r}")
    try:
        from matscipy import dislocation
    except ImportError:
        raise InputError("dislocations need matscipy: pip install nddo-ml[dislocations]") from None
    made = getattr(dislocation, KINDS[kind])(lattice, C=constants, symbol=element)
    options: dict[str, Any] = {"method": "adsl", "self_consistent": False, "verbose": False}
    crystal, displaced = made.build_cylinder(radius + rim, fix_width=rim, **options)
    axes = made.axes / np.linalg.norm(made.axes, axis=1)[:, None]
    centre = np.asarray(displaced.info["core_positions"][0])
    distance = np.linalg.norm((crystal.positions - centre)[:, :2], axis=1)
    crystal.info, displaced.info = {}, {}
    displaced.set_constraint(FixAtoms(mask=distance > radius))
    return Cylinder(kind, crystal, displaced, axes @ made.burgers, axes, distance)


def relaxed(model: AbstractModel, made: Cylinder, *, force: float = 0.01, steps: int = 500) -> Atoms:
    """The cylinder's atoms within the rim relaxed to forces below ``force`` eV/Å.

    Raises:
        RelaxationError: not reached within ``steps``.
    """
    atoms = made.displaced.copy()
    atoms.calc = NDDOCalculator(model)
    optimizer = LBFGS(atoms, logfile=os.devnull)
    if not optimizer.run(fmax=force, steps=steps):
        raise RelaxationError(f"{made.kind} dislocation: forces did not fall below {force} eV/Å in {steps} steps")
    return atoms


def energy_curve(model: AbstractModel, made: Cylinder, atoms: Atoms, within: float) -> EnergyCurve:
    """The sum of atomic energies within radii, relative to the crystal's, and its slope over ln R.

    Args:
        model: one that gives atomic energies.
        made: the cylinder.
        atoms: it, displaced or relaxed.
        within: Å, the largest radius: a cut-off less than the cylinder's.

    Raises:
        InputError: a model without atomic energies.
    """
    if "atomic_energies" not in model.capabilities.properties:
        raise InputError(f"energies within radii need atomic energies, which {model.name} does not give")
    both = model(Systems.from_ase([atoms, made.crystal]))
    if both.atomic_energies is None:
        raise InputError(f"energies within radii need atomic energies, which {model.name} did not give")
    here, bulk = both.atomic_energies.detach().numpy().reshape(2, -1)
    b = float(np.linalg.norm(made.burgers))
    radii = np.geomspace(_INNERMOST * b, within, _RADII)
    reference = bulk[made.distance < 0.5 * within].mean()
    energies = np.array([(here - reference)[made.distance < r].sum() for r in radii]) / made.line
    slope, core = np.polyfit(np.log(radii / b), energies, 1)
    return EnergyCurve(radii, energies, float(slope), float(core))


def prefactor(made: Cylinder, constants: np.ndarray) -> float:
    """``k`` of a cylinder's dislocation by elastic constants [6, 6] GPa of the cubic cell, eV/Å."""
    return elastic_prefactor(turned(constants, made.axes), made.burgers)
