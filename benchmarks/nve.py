"""Constant-energy dynamics of silicon with a trained model: drift of the total energy, an atom and picosecond.

    python benchmarks/nve.py MODEL --picoseconds 5 --json nve.json

512 atoms of diamond silicon at the model's own lattice constant; velocities for twice the temperature on the
lattice sites, of which half goes into vibrations. The drift is the slope of the total energy from the second half
picosecond on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from nddo_ml import load_model
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.solids import energy_drift, relax, run_nve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--symbol", default="Si")
    parser.add_argument("--repeat", type=int, default=4, help="cubic cells in each direction; 4 is 512 silicon atoms")
    parser.add_argument("--temperature", type=float, default=600.0)
    parser.add_argument("--picoseconds", type=float, default=5.0)
    parser.add_argument("--timestep", type=float, default=1.0, help="fs")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    calculator = NDDOCalculator(model)
    atoms = relax(bulk(options.symbol, cubic=True), calculator) * (options.repeat, options.repeat, options.repeat)
    start = time.perf_counter()
    run = simulate(atoms, calculator, options)
    seconds = time.perf_counter() - start
    settled = run["time"] >= 0.5
    steps = options.picoseconds * 1000 / options.timestep
    record = {
        "atoms": len(atoms),
        "temperature_K": float(run["temperature"][settled].mean()),
        "picoseconds": options.picoseconds,
        "timestep_fs": options.timestep,
        "drift_meV_per_atom_per_ps": 1000 * energy_drift(run["time"][settled], run["energy"][settled]),
        "fluctuation_meV_per_atom": 1000 * float(np.std(run["energy"][settled])),
        "ms_per_step": 1000 * seconds / steps,
        "threads": options.threads,
    }
    print(json.dumps(record, indent=1))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def simulate(atoms: Atoms, calculator: NDDOCalculator, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """The run, from velocities for twice the temperature."""
    return run_nve(
        atoms,
        calculator,
        temperature=2 * options.temperature,
        picoseconds=options.picoseconds,
        timestep=options.timestep,
    )


if __name__ == "__main__":
    main()
