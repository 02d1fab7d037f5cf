"""Hydrogen pulled apart: closed shell against open shell with broken spin symmetry, one batch a curve."""

import numpy as np
from ase import Atoms

from nddo_ml import NDDO, Systems

distances = np.arange(0.6, 4.01, 0.2)
curve = Systems.from_ase([Atoms("HH", [[0, 0, 0], [0, 0, r]]) for r in distances])
atoms = Systems.from_ase([Atoms("H"), Atoms("H")])

separate = NDDO("AM1")(atoms).energy.sum()
closed = NDDO("AM1")(curve).energy - separate
broken = NDDO("AM1", uhf=True)(curve).energy - separate
print("   r/Å    closed shell/eV    open shell/eV")
for r, a, b in zip(distances, closed.tolist(), broken.tolist(), strict=True):
    print(f"{r:6.1f} {a:18.3f} {b:16.3f}")
