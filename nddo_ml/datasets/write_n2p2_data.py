"""Writing of n2p2's input.data (:mod:`nddo_ml.datasets.n2p2_data`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nddo_ml.datasets.dataset import Dataset
from nddo_ml.errors import InputError


def write_n2p2_data(dataset: Dataset, path: str | Path) -> None:
    """Write structures with their energies, forces, charges; in eV, Å and e.

    Raises:
        InputError: a structure without an energy or forces, which the format cannot leave out.
    """
    labels, lines = dataset.labels, []
    lacking = (labels.weights["energy"] <= 0) | (labels.weights["forces"] <= 0)
    if bool(lacking.any()):
        k = int(lacking.nonzero()[0, 0])
        raise InputError(f"{dataset.origins[k]}: n2p2's format needs an energy and forces of every structure")
    first = 0
    for k, atoms in enumerate(dataset.systems.to_ase()):
        lines += ["begin", f"comment {dataset.origins[k]}"]
        if atoms.pbc.any():
            lines += ["lattice " + " ".join(f"{x:.10f}" for x in row) for row in np.asarray(atoms.cell)]
        own = slice(first, first + len(atoms))
        first += len(atoms)
        forces, charges = labels.values["forces"][own].tolist(), labels.values["charges"][own].tolist()
        for symbol, xyz, q, f in zip(atoms.symbols, atoms.positions, charges, forces, strict=True):
            place, force = (" ".join(f"{x:.10f}" for x in values) for values in (xyz, f))
            lines.append(f"atom {place} {symbol} {q:.8f} 0.0 {force}")
        lines += [f"energy {float(labels.values['energy'][k]):.10f}", f"charge {int(dataset.systems.charge[k])}", "end"]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
