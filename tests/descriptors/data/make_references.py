"""Write dscribe_acsf.json: values of DScribe's ACSF for the descriptor tests.

python tests/descriptors/data/make_references.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from dscribe.descriptors import ACSF

PARAMETERS = {
    "r_cut": 4.5,
    "g2_params": [[1.0, 0.0], [0.4, 1.5], [4.0, 2.5]],
    "g3_params": [1.0, 2.5],
    "g4_params": [[0.02, 1.0, 1.0], [0.02, 1.0, -1.0], [0.1, 4.0, 1.0], [0.3, 2.5, -1.0]],
    "g5_params": [[0.02, 1.0, 1.0], [0.05, 8.0, -1.0], [0.3, 2.0, 1.0]],
}


def structures() -> list[Atoms]:
    """A molecule with four elements and a skewed cell smaller than the cut-off, both off symmetry."""
    rng = np.random.default_rng(4)
    amide = molecule("CH3CONH2")
    amide.positions += rng.normal(0.0, 0.08, amide.positions.shape)
    cell = [[3.6, 0.0, 0.0], [1.3, 3.9, 0.0], [-0.8, 0.9, 4.2]]
    crystal = Atoms("COHN", rng.random((4, 3)) @ np.array(cell), cell=cell, pbc=True)
    return [amide, crystal]


def record(atoms: Atoms) -> dict:
    acsf = ACSF(species=["H", "C", "N", "O"], periodic=bool(atoms.pbc.any()), **PARAMETERS)
    return {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
        "values": acsf.create(atoms).tolist(),
    }


data = {
    "program": f"DScribe {version('dscribe')}, ACSF",
    "species": ["H", "C", "N", "O"],
    "parameters": PARAMETERS,
    "structures": [record(atoms) for atoms in structures()],
}
(Path(__file__).parent / "dscribe_acsf.json").write_text(json.dumps(data))
