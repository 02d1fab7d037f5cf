"""Energies of given charges in a conductor-like continuum by PySCF, for ``tests/environments/test_solvent.py``.

``python tests/references/make_continuum.py`` with PySCF installed writes ``continuum.json``. Charges are AM1's. PySCF
gets our radii, coordinates in bohr and the same grid ("SWIG"), builds its surface and matrices, and its equation for
the surface charges is solved for the potential of the charges.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyscf
from ase.build import molecule
from pyscf import gto
from pyscf.data.elements import charge as number_of
from pyscf.solvent import pcm

from nddo_ml import NDDO, Systems
from nddo_ml.environments.cavity import cavity_radii
from nddo_ml.units import BOHR_ANGSTROM

CASES = (
    ("H2O", 0, 17, 78.3553),
    ("CH3CONH2", 0, 17, 4.7113),
    ("CH3O", -1, 17, 78.3553),
    ("C6H6", 0, 29, 2.2706),
    ("CH3NO2", 0, 29, 35.688),
    ("CH3SH", 0, 17, float("inf")),
    ("SiCl4", 0, 11, 78.3553),
    ("C5H5N", 0, 17, 24.852),
)


def entry(name: str, charge: int, degree: int, eps: float) -> dict:
    """PySCF's numbers of one molecule."""
    systems = Systems.from_ase(molecule(name), charge, 1)
    positions = systems.positions.numpy().round(6)
    charges = NDDO("AM1")(systems).charges.numpy().round(4)
    atoms = [(symbol, *row) for symbol, row in zip(molecule(name).symbols, positions / BOHR_ANGSTROM, strict=True)]
    mol = gto.M(atom=atoms, unit="Bohr", basis="sto-3g", charge=charge, verbose=0)
    model = pcm.PCM(mol)
    model.method, model.eps, model.lebedev_order = "C-PCM", eps, degree
    radii = cavity_radii().numpy()
    model.radii_table = {number_of(s): radii[number_of(s)] / BOHR_ANGSTROM for s in set(molecule(name).symbols)}
    model.build()
    surface, matrices = model.surface, model._intermediates
    spread = gto.fakemol_for_charges(surface["grid_coords"], expnt=surface["charge_exp"] ** 2)
    points = gto.fakemol_for_charges(mol.atom_coords())
    potential = charges @ gto.mole.intor_cross("int2c2e", points, spread)
    answer = np.linalg.solve(matrices["K"], matrices["R"] @ potential)
    return {
        "name": name,
        "numbers": systems.numbers.tolist(),
        "positions": positions.tolist(),
        "charges": charges.tolist(),
        "points": len(pcm.gen_grid.MakeAngularGrid(model.surface["ng"])),
        "eps": None if np.isinf(eps) else eps,
        "energy": float(0.5 * potential @ answer),
        "surface_charge": float(answer.sum()),
        "area": float(surface["area"].sum()),
        "surface_points": len(surface["area"]),
    }


if __name__ == "__main__":
    header = {
        "program": f"PySCF {pyscf.__version__}, pyscf.solvent.pcm, C-PCM, SWIG",
        "units": "Å, e; energy hartree, area bohr²; eps null is a conductor",
    }
    lines = [json.dumps(entry(*case)) for case in CASES]
    text = json.dumps(header)[:-1] + ', "entries": [\n' + ",\n".join(lines) + "\n]}\n"
    Path(__file__).with_name("continuum.json").write_text(text)
