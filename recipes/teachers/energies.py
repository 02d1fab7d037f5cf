"""Packs and unpacks energies of structures of many molecules: ``recipes/data/teacher_energies.npz.xz``.

    python recipes/teachers/energies.py pack labelled.extxyz recipes/data/teacher_energies.npz.xz
    python recipes/teachers/energies.py unpack recipes/data/teacher_energies.npz.xz data/teacher_energies.extxyz

Arrays: of structures ``atoms`` (their number), ``molecule`` (place in ``smiles``), ``kind``, ``energy`` (eV, of AIQM2);
of all atoms in one row ``numbers`` and ``positions`` (0.0001 Å).
"""

import io
import lzma
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

UNIT = 1e-4  # Å


def packed(frames: list[Atoms]) -> dict[str, np.ndarray]:
    """The arrays of structures with ``smiles`` and ``kind``."""
    smiles = list(dict.fromkeys(str(a.info["smiles"]) for a in frames))
    place = {s: k for k, s in enumerate(smiles)}
    positions = np.concatenate([a.positions - a.positions.mean(0) for a in frames])
    return {
        "smiles": np.array(smiles),
        "atoms": np.array([len(a) for a in frames], dtype=np.int16),
        "molecule": np.array([place[str(a.info["smiles"])] for a in frames], dtype=np.int16),
        "kind": np.array([str(a.info["kind"]) for a in frames]),
        "energy": np.array([a.get_potential_energy() for a in frames]),
        "numbers": np.concatenate([a.numbers for a in frames]).astype(np.uint8),
        "positions": np.round(positions / UNIT).astype(np.int32),
    }


def unpacked(arrays: dict[str, np.ndarray]) -> list[Atoms]:
    """The structures of the arrays; ``group`` is the molecule."""
    frames, last = [], 0
    for k, size in enumerate(arrays["atoms"].tolist()):
        part = slice(last, last + size)
        last += size
        molecule = int(arrays["molecule"][k])
        info = {"smiles": str(arrays["smiles"][molecule]), "group": f"s{molecule}", "kind": str(arrays["kind"][k])}
        atoms = Atoms(arrays["numbers"][part], arrays["positions"][part] * UNIT, info=info)
        atoms.calc = SinglePointCalculator(atoms, energy=float(arrays["energy"][k]))
        frames.append(atoms)
    return frames


def main() -> None:
    """See the module."""
    action, source, target = sys.argv[1:]
    if action == "unpack":
        with lzma.open(source) as file:
            arrays = dict(np.load(io.BytesIO(file.read())))
        write(target, unpacked(arrays))
        return
    data = io.BytesIO()
    np.savez(data, **packed(read(source, ":")))
    Path(target).write_bytes(lzma.compress(data.getvalue(), preset=6))


if __name__ == "__main__":
    main()
