"""Descriptors alone: values, and values with the contraction dE/dG · dG/dR, beside DScribe and TorchANI.

Silicon: 27 functions (3 radial, 24 narrow angular) of a 1,000-atom cell, the same in DScribe. Molecules:
those of ASE's G2 collection made of H, C, N and O, in one batch, this package's default sets beside
TorchANI's ANI-1x functions (384 features). The programs take turns in each round. Growth: silicon of up to
100,000 atoms, every size in a process of its own so that the peak memory is its own. One thread unless told
otherwise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from ase.collections import g2

from benchmarks.common import Report, finish, has_module, note, parser, spread
from bp_descriptors import Cutoff, Function, SymmetryFunctions, neighbor_list, pair_vectors
from bp_descriptors.structures import structures_of

CUTOFF, R_S = 5.5, 4.0  # Å
ETAS = (0.0357, 0.0714, 0.1786)  # Å⁻²; with the shapes below the set of a published silicon potential
SHAPES = [(zeta, lambda_) for zeta in (1.0, 2.0, 4.0, 16.0) for lambda_ in (-1.0, 1.0)]
GROWTH = """
import json, sys, time, torch
from benchmarks.common import peak_memory_mib
from benchmarks.descriptors import gradient, silicon, silicon_functions
torch.set_num_threads(int(sys.argv[2]))
functions, small = silicon_functions(), silicon(2)
gradient(functions, [small])
before = peak_memory_mib()
atoms = silicon(int(sys.argv[1]))
seconds = []
for _ in range(3):
    start = time.perf_counter()
    gradient(functions, [atoms])
    seconds.append(time.perf_counter() - start)
peak = peak_memory_mib()
answer = {"atoms": len(atoms), "seconds": seconds, "before_MiB": before, "peak_MiB": peak}
print(json.dumps(answer))
"""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=7, help="how often every program is measured")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--cells", type=int, nargs="*", default=[3, 5, 8, 11, 15, 19, 23], help="edge of the cells")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    report: Report = {"threads": chosen.threads}
    report["silicon"] = measure("silicon", [silicon(5)], silicon_programs(), chosen.rounds)
    report["molecules"] = measure("molecules", molecules(), molecule_programs(), chosen.rounds)
    report["growth"] = growth(chosen.cells, chosen.threads)
    finish(report, chosen.out)


def silicon(edge: int) -> Atoms:
    """Diamond, edge³ cells of eight atoms, off symmetry."""
    atoms = bulk("Si", cubic=True) * (edge, edge, edge)
    atoms.rattle(0.1, seed=1)
    return atoms


def molecules() -> list[Atoms]:
    """Molecules of H, C, N and O of at least three atoms, four times over."""
    found = [g2[name] for name in g2.names]
    return [m for m in found if len(m) > 2 and set(m.get_chemical_symbols()) <= set("HCNO")] * 4


def silicon_functions() -> SymmetryFunctions:
    """The 27 functions."""
    cutoff = Cutoff(CUTOFF)
    radial = [Function("Si", "G2", cutoff, ("Si",), eta, R_S) for eta in ETAS]
    shapes = [{"eta": eta, "zeta": zeta, "lambda_": lambda_} for eta in ETAS for zeta, lambda_ in SHAPES]
    return SymmetryFunctions([*radial, *(Function("Si", "G4", cutoff, ("Si", "Si"), **s) for s in shapes)])


def gradient(functions: SymmetryFunctions, frames: list[Atoms]) -> torch.Tensor:
    """Neighbours, values and dΣG/dR, [atoms, 3]."""
    batch = structures_of(frames)
    positions = batch.positions.clone().requires_grad_()
    pairs = neighbor_list(batch.positions, functions.cutoff, batch.system_idx, batch.cell, batch.pbc)
    vectors = pair_vectors(positions, pairs, batch.system_idx, batch.cell)
    return torch.autograd.grad(functions(batch.numbers, vectors, pairs).sum(), positions)[0]


Program = Callable[[list[Atoms]], Any]


def silicon_programs() -> dict[str, Program]:
    functions = silicon_functions()
    programs: dict[str, Program] = {
        "ours, values": functions.describe,
        "ours, values and gradient": lambda frames: gradient(functions, frames),
    }
    if has_module("dscribe"):
        from dscribe.descriptors import ACSF

        angular = [[eta, zeta, lambda_] for eta in ETAS for zeta, lambda_ in SHAPES]
        radial = [[eta, R_S] for eta in ETAS]
        acsf = ACSF(species=["Si"], r_cut=CUTOFF, g2_params=radial, g4_params=angular, periodic=True)
        # DScribe always puts G1 before the others
        programs["DScribe ACSF, values (28)"] = lambda frames: acsf.create(frames[0])
    return programs


def molecule_programs() -> dict[str, Program]:
    functions = SymmetryFunctions.default(["H", "C", "N", "O"])
    large = SymmetryFunctions.default(["H", "C", "N", "O"], size="large")
    programs: dict[str, Program] = {
        f"ours ({functions.n_features}), values": functions.describe,
        f"ours ({functions.n_features}), values and gradient": lambda frames: gradient(functions, frames),
        f"ours ({large.n_features}), values": large.describe,
        f"ours ({large.n_features}), values and gradient": lambda frames: gradient(large, frames),
    }
    if has_module("torchani"):
        from torchani.aev import AEVComputer

        computer = AEVComputer("ani1x", "ani1x", num_species=4).double()
        for name, derive in (("values", False), ("values and gradient", True)):
            programs[f"TorchANI AEV (384), {name}"] = lambda frames, d=derive: torchani_aev(computer, frames, d)
    return programs


def torchani_aev(computer: Any, frames: list[Atoms], derive: bool) -> torch.Tensor:
    """TorchANI's features of a padded batch, and the derivative of their sum."""
    size = max(len(f) for f in frames)
    species = torch.full((len(frames), size), -1)
    positions = torch.zeros(len(frames), size, 3, dtype=torch.float64)
    order = {1: 0, 6: 1, 7: 2, 8: 3}
    for k, frame in enumerate(frames):
        species[k, : len(frame)] = torch.tensor([order[z] for z in frame.numbers.tolist()])
        positions[k, : len(frame)] = torch.as_tensor(frame.positions)
    with torch.set_grad_enabled(derive):
        values = computer(species, positions.requires_grad_(derive))
    return torch.autograd.grad(values.sum(), positions)[0] if derive else values


def measure(name: str, frames: list[Atoms], programs: dict[str, Program], rounds: int) -> Report:
    """Milliseconds an atom of every program, which take turns; the first round is not counted."""
    n_atoms = sum(len(f) for f in frames)
    times: dict[str, list[float]] = {p: [] for p in programs}
    for k in range(rounds + 1):
        note(f"{name}: round {k} of {rounds}")
        for program, run in programs.items():
            start = time.perf_counter()
            run(frames)
            if k:
                times[program].append((time.perf_counter() - start) / n_atoms * 1e3)
    return {"atoms": n_atoms, "ms_per_atom": {p: spread(t) for p, t in times.items()}}


def growth(edges: list[int], threads: int) -> Report:
    """Time and peak memory by size, each in its own process, and the exponent of time = c · atomsᵖ."""
    runs = []
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    for edge in edges:
        note(f"growth: {8 * edge**3} atoms")
        command = [sys.executable, "-c", GROWTH, str(edge), str(threads)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)
        seconds = answer.pop("seconds")
        used = answer["peak_MiB"] - answer["before_MiB"]
        ms = [t / answer["atoms"] * 1e3 for t in seconds]
        runs.append({**answer, "ms_per_atom": spread(ms), "KiB_per_atom": used * 1024 / answer["atoms"]})
    large = [r for r in runs if r["atoms"] >= 1000]
    report: Report = {"runs": runs}
    if len(large) > 1:
        logs = np.log([[r["atoms"], r["atoms"] * r["ms_per_atom"]["median"]] for r in large])
        report["exponent"] = float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
    return report


if __name__ == "__main__":
    main()
