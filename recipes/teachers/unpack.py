"""Writes packed teacher labels as extxyz, with the energies and forces of one teacher.

    python recipes/teachers/unpack.py recipes/data/teacher_labels.npz.xz data/teacher_labels.extxyz [aimnet2 | aiqm2]

Headers: ``smiles``, ``mol`` (number of the molecule), ``group`` (molecules to be compared: tautomers, protomers, a
dimer and its parts), ``kind``, ``charge``, ``spread`` (eV). Needs NumPy and ASE only; the arrays are described in
README.md.
"""

import io
import lzma
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with lzma.open(path) as file:
        return dict(np.load(io.BytesIO(file.read())))


def structures(packed: dict[str, np.ndarray], level: str) -> list[Atoms]:
    """The structures that the teacher has labelled."""
    ends = np.cumsum(packed["atoms"])
    second = packed["second_frame"]
    made = []
    of_frame = range(len(ends)) if level == "aimnet2" else second
    second_ends = np.cumsum(packed["atoms"][second])
    for row, frame in enumerate(of_frame):
        size = packed["atoms"][frame]
        part = slice(ends[frame] - size, ends[frame])
        molecule = packed["molecule"][frame]
        if level == "aimnet2":
            energy, spread, forces = packed["energy"][frame], packed["energy_spread"][frame], packed["forces"][part]
        else:
            energy, spread = packed["second_energy"][row], packed["second_spread"][row]
            forces = packed["second_forces"][second_ends[row] - size : second_ends[row]]
        atoms = Atoms(packed["numbers"][part], packed["positions"][part] / 1000)
        atoms.info = {
            "smiles": str(packed["smiles"][molecule]),
            "mol": int(molecule),
            "group": int(packed["group"][molecule]),
            "kind": str(packed["kind"][frame]),
            "charge": int(packed["charge"][frame]),
            "spread": round(float(spread), 5),
        }
        results = {"energy": float(energy), "forces": forces / 1000}
        if level == "aimnet2" and "charges" in packed:
            results["charges"] = packed["charges"][part] / 1000
        atoms.calc = SinglePointCalculator(atoms, **results)
        made.append(atoms)
    return made


if __name__ == "__main__":
    source, target, *level = sys.argv[1:]
    write(target, structures(arrays_of(Path(source)), *(level or ["aimnet2"])))
