"""Files of small molecules for jobs that are interrupted."""

from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.io import write

NAMES = ["H2O", "CH4", "H2", "CH3OH", "NH3"]


def structures(path: Path, n: int) -> Path:
    """A file of n small molecules, no two alike."""
    rng = np.random.default_rng(0)
    frames = [molecule(NAMES[k % len(NAMES)]) for k in range(n)]
    for frame in frames:
        frame.positions += rng.normal(0, 0.02, frame.positions.shape)
    write(path, frames, format="xyz")
    return path
