"""Write the reference data of the descriptor tests.

    python tests/descriptors/data/make_references.py            DScribe's ACSF -> dscribe_acsf.json
    python tests/descriptors/data/make_references.py FOLDER     two cells of n2p2 -> n2p2_si.json

FOLDER holds test.extxyz and n2p2_reference.json of the silicon data (Zuo et al. 2020).
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read
from dscribe.descriptors import ACSF

HERE = Path(__file__).parent
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


def plain(atoms: Atoms) -> dict:
    return {
        "numbers": atoms.numbers.tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
    }


def dscribe_acsf() -> None:
    records = []
    for atoms in structures():
        acsf = ACSF(species=["H", "C", "N", "O"], periodic=bool(atoms.pbc.any()), **PARAMETERS)
        records.append({**plain(atoms), "values": acsf.create(atoms).tolist()})
    data = {
        "program": f"DScribe {version('dscribe')}, ACSF",
        "species": ["H", "C", "N", "O"],
        "parameters": PARAMETERS,
        "structures": records,
    }
    (HERE / "dscribe_acsf.json").write_text(json.dumps(data))


def n2p2_silicon(folder: Path) -> None:
    reference = json.loads((folder / "n2p2_reference.json").read_text())
    frames = read(folder / "test.extxyz", ":")
    chosen = [reference["results"][k] for k in (0, 2)]
    records = [{**plain(frames[r["test_index"]]), **r} for r in chosen]
    data = {"program": reference["program"], "bohr_angstrom": 0.52917721092, "structures": records}
    (HERE / "n2p2_si.json").write_text(json.dumps(data))


if len(sys.argv) > 1:
    n2p2_silicon(Path(sys.argv[1]))
else:
    dscribe_acsf()
