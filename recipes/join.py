"""Forces into the frames of the conformers whose geometry they belong to: one field is then solved for all labels.

    python recipes/join.py conformers.extxyz forces_train.extxyz data/conformers_train.extxyz

Frames are found by their ``id``; energies of the forces' level are left out. A conformer without forces stays as it is.
"""

import sys

import ase.io
import numpy as np
from ase import Atoms

SAME = 1e-3  # Å


def joined(conformers: list[Atoms], forces: list[Atoms]) -> list[Atoms]:
    """The conformers, with the forces that belong to them."""
    labelled = {a.info["id"]: a for a in forces}
    for atoms in conformers:
        found = labelled.pop(atoms.info["id"], None)
        if found is None:
            continue
        if not np.allclose(found.positions, atoms.positions, atol=SAME):
            raise SystemExit(f"{atoms.info['id']}: the forces belong to another geometry")
        atoms.calc.results["forces"] = found.get_forces()
    if labelled:
        raise SystemExit(f"no conformer for the forces of {', '.join(list(labelled)[:5])}")
    return conformers


if __name__ == "__main__":
    source, added, target = sys.argv[1:]
    ase.io.write(target, joined(ase.io.read(source, ":"), ase.io.read(added, ":")))
