"""Locality: a dislocation's field reaches across the crystal, and a potential that sees 5.5 Å has it right."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.build import bulk

from benchmarks.studies.frame.silicon import SHIPPED
from benchmarks.studies.frame.study import Claim, Findings, Molecule, Study, Table, Work
from nddo_ml.evaluation.crystals import draw_dislocations
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.saved import load_model
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.dislocations import Cylinder, EnergyCurve, cylinder, energy_curve, prefactor, relaxed
from nddo_ml.workflows.solids import elastic_constants, relax

RIM = 11.0  # Å, two cut-offs


def crystal(model: AbstractModel) -> dict[str, Any]:
    """Lattice constant and elastic constants, atoms clamped and relaxed."""
    calculator = NDDOCalculator(model)
    cell = relax(bulk("Si", a=5.47), calculator)
    found = [elastic_constants(cell, calculator, internal=free).constants.tolist() for free in (False, True)]
    return {"lattice": (4 * cell.get_volume()) ** (1 / 3), "clamped": found[0], "relaxed": found[1]}


def curve(model: AbstractModel, solid: dict[str, Any], kind: str, radius: float, free: bool) -> dict[str, Any]:
    """Energy within radii: displaced by clamped elasticity as it is, or by relaxed elasticity and then relaxed."""
    constants = np.array(solid["relaxed" if free else "clamped"])
    made = cylinder("Si", solid["lattice"], constants, kind, radius, RIM)
    atoms = relaxed(model, made) if free else made.displaced
    found = energy_curve(model, made, atoms, radius - 3 if free else radius + RIM - 6)
    return {
        "radii": found.radii.tolist(),
        "energies": found.energies.tolist(),
        "slope": found.slope,
        "core": found.core,
        "elasticity": prefactor(made, constants),
        "atoms": int((made.distance < radius).sum()),
        "shape": _core(made, atoms.positions),
    }


def _core(made: Cylinder, positions: np.ndarray) -> list[Any]:
    near = made.distance < 12
    return [positions[near].tolist(), made.distance[near].tolist()]


def run(work: Work, kinds: list[str], radii: list[float]) -> Findings:
    model = load_model(SHIPPED)
    solid = work.once("crystal", lambda: crystal(model))
    largest = radii[-1]
    rows, shown, molecules, errors = [], {}, [], {}
    for kind in kinds:
        for free in (False, True):
            for radius in radii:
                name = f"{kind[:2]}_{radius:.0f}_{'relaxed' if free else 'clamped'}"
                f = work.once(name, lambda k=kind, r=radius, x=free: curve(model, solid, k, r, x))
                state = "relaxed" if free else "clamped"
                errors[kind, free, radius] = abs(f["slope"] / f["elasticity"] - 1)
                rows.append((kind, state, radius, f["atoms"], f["slope"], f["elasticity"], f["core"]))
                if radius == largest:
                    made = EnergyCurve(np.array(f["radii"]), np.array(f["energies"]), f["slope"], f["core"])
                    shown[f"{kind}, {state}"] = (made, f["elasticity"])
                    if free:
                        places, distance = f["shape"]
                        molecules.append(
                            Molecule(f"core of the {kind} dislocation", ["Si"] * len(places), places, distance)
                        )
    draw_dislocations(shown, work.path("dislocations.png"))
    return Findings(
        text=_TEXT,
        claims=[
            Claim(
                f"{kind}, {'relaxed' if free else 'clamped'}: slope against elasticity",
                errors[kind, free, largest],
                "<",
                0.05,
            )
            for kind in kinds
            for free in (False, True)
        ],
        tables=[
            Table(
                "E(R) = E_core + k ln(R/b), eV/Å, fitted from 2 b to the rim, beside k of the elastic constants",
                ("dislocation", "atoms", "radius, Å", "atoms that move", "k", "k of elasticity", "E_core"),
                rows,
            )
        ],
        figures={"dislocations.png": "Energy within a radius of the line: the potential, and slopes of elasticity"},
        molecules=molecules,
    )


_TEXT = (
    "A potential that sees 5.5 Å carries a strain field of any reach, because each atom passes it on: the energy "
    "grows by ln R with the prefactor that anisotropic elasticity gives with the potential's own constants, those "
    "with clamped atoms where the field is laid on, those with relaxed atoms where the crystal has relaxed. A few "
    "hundred atoms give it to a few percent; what large cells are for is to sample small strains. What no local "
    "potential has are interactions that matter does not pass on, such as those of charges through vacuum "
    "(docs/long_range.md)."
)

STUDY = Study(
    9,
    "dislocation",
    "Locality and the dislocation",
    "Anisotropic elasticity: Bacon, Barnett & Scattergood, Prog. Mater. Sci. 23, 51 (1980); geometries by matscipy.",
    run,
    {"kinds": ["screw", "60°"], "radii": [20.0, 30.0, 45.0]},
    {"kinds": ["screw"], "radii": [16.0]},
)
