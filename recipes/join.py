"""Forces into the frames of the conformers whose geometry they belong to: one field is then solved for all labels.

    python recipes/join.py conformers.extxyz forces.extxyz MORE… --output joined.extxyz

Frames are found by their ``id``; other levels' energies are left out. A conformer without forces stays as it is.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np

_SAME = 1e-3  # Å


def main() -> None:
    """Write the joined frames."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("conformers", type=Path)
    options.add_argument("forces", type=Path, nargs="+")
    options.add_argument("--output", type=Path, required=True)
    arguments = options.parse_args()
    forces = {a.info["id"]: a for path in arguments.forces for a in ase.io.read(path, ":")}
    conformers = ase.io.read(arguments.conformers, ":")
    for atoms in conformers:
        labelled = forces.pop(atoms.info["id"], None)
        if labelled is None:
            continue
        if not np.allclose(labelled.positions, atoms.positions, atol=_SAME):
            raise SystemExit(f"{atoms.info['id']}: the forces belong to another geometry")
        atoms.calc.results["forces"] = labelled.get_forces()
    ase.io.write(arguments.output, conformers)
    print(f"{len(conformers)} conformers; {len(forces)} structures with forces have none")


if __name__ == "__main__":
    main()
