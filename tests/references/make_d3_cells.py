"""D3 energies of cells by s-dftd3: ``pip install dftd3 ase``, then ``python make_d3_cells.py``."""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from dftd3.interface import DispersionModel, ZeroDampingParam

BOHR, HARTREE = 0.529177210903, 27.211386245988
FACE_CENTRED = 0.5 * (1 - np.eye(3))
AMMONIA = [[0, 0, 0.1], [0.94, 0.02, -0.28], [-0.47, 0.81, -0.27], [-0.46, -0.82, -0.28]]
CELLS = {
    "argon": ("Ar", [[0, 0, 0]], 5.26 * FACE_CENTRED),
    "silicon": ("Si Si", [[0, 0, 0], [1.36, 1.36, 1.36]], 5.44 * FACE_CENTRED),
    "rock salt": ("Na Cl", [[0, 0, 0], [2.82, 0, 0]], 5.64 * FACE_CENTRED),
    "ammonia, triclinic": ("N H H H", AMMONIA, np.array([[3.9, 0, 0], [0.6, 4.1, 0], [-0.4, 0.5, 4.3]])),
}

cases = []
for name, (elements, positions, cell) in CELLS.items():
    symbols = elements.split()
    numbers = np.array([atomic_numbers[s] for s in symbols])
    places = np.array(positions, dtype=float)
    model = DispersionModel(numbers, places / BOHR, lattice=cell / BOHR, periodic=np.array([True] * 3))
    damping = ZeroDampingParam(s6=1.0, s8=0.722, rs6=1.217, rs8=1.0, alp=14.0, s9=0.0)
    energy = float(model.get_dispersion(damping, grad=False)["energy"]) * HARTREE
    cases.append(
        {"name": name, "symbols": symbols, "positions": places.tolist(), "cell": cell.tolist(), "energy": energy}
    )
table = {
    "program": f"s-dftd3, Python package dftd3 {version('dftd3')}",
    "input": "ZeroDampingParam(s6=1.0, s8=0.722, rs6=1.217, rs8=1.0, alp=14.0, s9=0.0), default cut-offs",
    "notes": "energies in eV, positions and cells in Å",
    "cases": cases,
}
Path(__file__).with_name("d3_cells.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
