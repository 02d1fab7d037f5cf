"""Throughput: energies and forces of 512 QM9 molecules, beside MOPAC, Sparrow and mopac-py.

All engines take their turn in every round of one run, each on both cores (the serial ones in two processes
that are started and warmed up before any timing; MOPAC reads all its molecules from one input a process).
Milliseconds are wall time over the number of molecules; the accuracy is the difference from MOPAC.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from ase import Atoms
from ase.io import read

from benchmarks.common import Report, finish, note, parser, peak_memory_mib, spread
from benchmarks.engines import PEERS, InProcesses, Results
from benchmarks.molecules import qm9, with_third_row
from nddo_ml import Systems, load_model
from nddo_ml.units import EV_KCAL_MOL


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--molecules", type=int, default=512)
    options.add_argument("--heavy-atoms", type=int, default=9)
    options.add_argument("--file", help="molecules of this file instead of QM9's")
    options.add_argument("--method", default="AM1", help="or a shipped model or file")
    options.add_argument("--third-row", action="store_true", help="put Cl and S into the molecules")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--processes", type=int, default=2, help="of the serial engines")
    options.add_argument("--only", action="store_true", help="leave the other engines out")
    arguments = options.parse_args()
    if arguments.file:
        molecules = read(arguments.file, f":{arguments.molecules}")
    else:
        molecules = qm9(arguments.molecules, arguments.heavy_atoms)
    if arguments.third_row:
        molecules = with_third_row(molecules)
    ours = _Ours(arguments.method)
    known = ours.model.capabilities.elements
    molecules = [m for m in molecules if set(m.numbers.tolist()) <= set(known)]
    engines: dict[str, _Ours | InProcesses] = {"nddo-ml": ours}
    if arguments.method != "AM1":
        engines["nddo-ml AM1"] = _Ours("AM1")
    missing = {}
    for name, peer in ({} if arguments.only else PEERS).items():
        if not peer.installed():
            missing[name] = "not installed"
        elif peer.methods is not None and arguments.method not in peer.methods:
            missing[name] = f"has no {arguments.method}"
        else:
            engines[name] = InProcesses(partial(peer.engine, method=arguments.method), arguments.processes)
    times, results = _rounds(engines, molecules, arguments.rounds)
    report: Report = {
        "benchmark": "throughput",
        "method": arguments.method,
        "molecules": len(molecules),
        "heavy_atoms": arguments.heavy_atoms,
        "ms_per_molecule": {name: spread(values) for name, values in times.items()},
        "against_mopac": _accuracy(results),
        "peak_memory_MB": peak_memory_mib(),
    } | missing
    finish(report, arguments.out)


class _Ours:
    def __init__(self, method: str) -> None:
        self.model = load_model(method)

    def __call__(self, molecules: Sequence[Atoms]) -> Results:
        systems = Systems.from_ase(list(molecules))
        prediction = self.model(systems, forces=True)
        gradients = (-EV_KCAL_MOL * prediction.forces).split(systems.atoms_per_system.tolist())
        return [(float(h), g.numpy()) for h, g in zip(prediction.heat_of_formation, gradients, strict=True)]

    def close(self) -> None:
        pass


def _rounds(
    engines: dict[str, _Ours | InProcesses], molecules: list[Atoms], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Results]]:
    """Milliseconds a molecule of every engine in every round, and the results of the last."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    results: dict[str, Results] = {}
    for engine in engines.values():
        engine(molecules[: min(32, len(molecules))])
    for k in range(rounds):
        for name, engine in engines.items():
            start = time.perf_counter()
            results[name] = engine(molecules)
            times[name].append(1000 * (time.perf_counter() - start) / len(molecules))
            note(f"round {k + 1}: {name} {times[name][-1]:.3f} ms a molecule")
    for engine in engines.values():
        engine.close()
    return times, results


def _accuracy(results: dict[str, Results]) -> Report:
    """Greatest differences from MOPAC; Sparrow has no heats of formation, and its gradients speak for it."""
    if "mopac" not in results:
        return {}
    report = {}
    for name, found in results.items():
        if name in ("mopac", "nddo-ml AM1"):
            continue
        heat = [abs(a[0] - b[0]) for a, b in zip(found, results["mopac"], strict=True)]
        gradient = [np.abs(a[1] - b[1]).max() for a, b in zip(found, results["mopac"], strict=True)]
        report[name] = {
            "heat_of_formation_kcal_mol": None if name == "sparrow" else spread(heat),
            "gradient_kcal_mol_A": spread([float(g) for g in gradient]),
        }
    return report


if __name__ == "__main__":
    main()
