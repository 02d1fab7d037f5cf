"""Energy and forces of a potential on silicon cells: time an atom, growth with the number of atoms, memory.

    python -m benchmarks.nnp_speed --sizes 1000 10000 100000 --json speed.json

One thread unless --threads says otherwise. Each size is timed --repeat times after one warm-up; the structure
is diamond silicon displaced by 0.1 Å. Neighbour list, descriptors, networks and forces are one call, as in
molecular dynamics. The processor's own time stands beside the wall's, for machines that are shared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

from benchmarks.common import peak_memory_mib
from nddo_ml import Systems, load_model
from nddo_ml.models.nnp import NNP

ROOT = Path(__file__).parents[1]
SILICON = ROOT / "tests" / "data" / "mlearn_si" / "n2p2_model"


def silicon_cell(n_atoms: int) -> Systems:
    """At least ``n_atoms`` atoms of diamond silicon, displaced by 0.1 Å."""
    repeats = [1, 1, 1]
    while 8 * np.prod(repeats) < n_atoms:
        repeats[int(np.argmin(repeats))] += 1
    atoms = bulk("Si", cubic=True) * tuple(repeats)
    atoms.rattle(0.1, seed=1)
    return Systems.from_ase(atoms)


def measure(model: NNP, systems: Systems, repeat: int, stress: bool) -> dict[str, float]:
    """Median and spread of the time, peak memory so far, and the net force as a check."""
    model(systems, forces=True, stress=stress)
    times, busy = [], []
    for _ in range(repeat):
        start, start_cpu = time.perf_counter(), time.process_time()
        result = model(systems, forces=True, stress=stress)
        times.append(time.perf_counter() - start)
        busy.append(time.process_time() - start_cpu)
    n = systems.n_atoms
    return {
        "atoms": n,
        "ms_per_atom": 1e3 * statistics.median(times) / n,
        "cpu_ms_per_atom": 1e3 * statistics.median(busy) / n,
        "fastest_ms_per_atom": 1e3 * min(times) / n,
        "slowest_ms_per_atom": 1e3 * max(times) / n,
        "repeat": repeat,
        "peak_memory_mib": peak_memory_mib(),
        "net_force": float(result.forces.sum(0).abs().max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="model file; default: the published silicon potential (27 functions)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4096, 10000, 32768, 100000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stress", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.model) if options.model else NNP.from_n2p2(SILICON)
    base = peak_memory_mib()
    results = []
    for n in sorted(options.sizes):
        row = measure(model, silicon_cell(n), options.repeat if n <= 20000 else 2, options.stress)
        results.append(row)
        print(
            f"{row['atoms']:7d} atoms  {row['ms_per_atom']:.4f} ms/atom "
            f"({row['fastest_ms_per_atom']:.4f} to {row['slowest_ms_per_atom']:.4f}), "
            f"{row['cpu_ms_per_atom']:.4f} of the processor's time, "
            f"{row['peak_memory_mib'] - base:.0f} MiB above {base:.0f}"
        )
    if options.json:
        record = {
            "threads": options.threads,
            "base_memory_mib": base,
            "torch": torch.__version__,
            "results": results,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
