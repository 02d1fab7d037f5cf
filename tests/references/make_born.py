"""Energies of given charges in OpenMM's generalised-Born model (OBC II), for ``tests/environments/test_solvent.py``.

``python tests/references/make_born.py`` with OpenMM installed writes ``born.json`` from the molecules and charges of
``continuum.json``: radii of Bondi as ASE has them, the model's scales, solvent 78.5, solute 1, no surface area.
"""

from __future__ import annotations

import json
from pathlib import Path

import openmm
from ase.data import vdw_radii

SCALES = {1: 0.85, 6: 0.72, 7: 0.79, 8: 0.85, 9: 0.88, 15: 0.86, 16: 0.96}


def energy(numbers: list[int], positions: list[list[float]], charges: list[float]) -> float:
    """OpenMM's energy, kJ/mol."""
    system, force = openmm.System(), openmm.GBSAOBCForce()
    force.setSolventDielectric(78.5)
    force.setSoluteDielectric(1.0)
    force.setSurfaceAreaEnergy(0.0)
    for number, charge in zip(numbers, charges, strict=True):
        system.addParticle(1.0)
        force.addParticle(charge, 0.1 * vdw_radii[number], SCALES.get(number, 0.8))
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions([[0.1 * x for x in row] for row in positions])
    return context.getState(getEnergy=True).getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole)


if __name__ == "__main__":
    folder = Path(__file__).parent
    found = []
    for entry in json.loads((folder / "continuum.json").read_text())["entries"]:
        value = energy(entry["numbers"], entry["positions"], entry["charges"])
        found.append({"name": entry["name"], "energy_kJ_mol": value})
    header = {"program": f"OpenMM {openmm.__version__}, GBSAOBCForce", "units": "kJ/mol", "entries": found}
    (folder / "born.json").write_text(json.dumps(header, indent=1) + "\n")
