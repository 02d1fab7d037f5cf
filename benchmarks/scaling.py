"""Size: time and peak memory of energy and forces for water clusters, alkanes, peptides and fullerenes, beside MOPAC.

With ``--mozyme`` beside its localised orbitals, too, whose heats differ from those of the dense field.

Every run is a process of its own, so that its peak memory is its own; the time is that of the calculation
inside the process (for MOPAC, of the process). The exponent p of time = c · atomsᵖ is fitted to the runs of
at least 50 atoms.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from benchmarks.common import Report, finish, mopac_program, note, parser
from benchmarks.engines import mopac_deck
from benchmarks.molecules import alkane, fullerene, peptide, water_cluster

SERIES: dict[str, Callable[[], list[Atoms]]] = {
    "water": lambda: [water_cluster(n) for n in (8, 17, 33, 64, 128, 216, 333, 1000)],
    "alkane": lambda: [alkane(n) for n in (10, 17, 33, 66, 133, 200, 333)],
    "peptide": lambda: [peptide(n) for n in (5, 11, 22, 44, 66, 118)],
    "fullerene": lambda: [fullerene(*n) for n in ((1, 1), (3, 0), (2, 2), (3, 3), (4, 4))],
}
OURS = """
import json, sys, time
from ase.build import molecule
from ase.io import read
from benchmarks.common import peak_memory_mib
from nddo_ml import NDDO, Systems
method, path, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3])
model, systems = NDDO(method), Systems.from_ase(read(path))
model(Systems.from_ase([molecule("CH3CONH2")] * 40), forces=True)  # compiled kernels are loaded
before = peak_memory_mib()
seconds = []
for _ in range(repeats):
    start = time.perf_counter()
    prediction = model(systems, forces=True)
    seconds.append(time.perf_counter() - start)
print(json.dumps({
    "seconds": sorted(seconds)[len(seconds) // 2],
    "peak_MB": peak_memory_mib(),
    "before_MB": before,
    "heat_of_formation_kcal_mol": float(prediction.heat_of_formation),
    "scf_iterations": int(prediction.scf.iterations),
}))
"""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--series", nargs="+", choices=list(SERIES), default=list(SERIES))
    options.add_argument("--method", default="AM1")
    options.add_argument("--max-atoms", type=int, default=1000)
    options.add_argument("--repeats", type=int, default=3, help="below 300 atoms; larger systems run once")
    options.add_argument("--time-limit", type=float, default=1800.0, help="seconds a run")
    options.add_argument("--only", action="store_true", help="leave MOPAC out")
    options.add_argument("--mozyme", action="store_true", help="MOPAC with localised orbitals, too")
    arguments = options.parse_args()
    with_mopac = mopac_program() is not None and not arguments.only
    report: Report = {"benchmark": "scaling", "method": arguments.method, "series": {}, "exponents": {}}
    if not with_mopac:
        report["mopac"] = "left out" if arguments.only else "not installed"
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.series:
            rows = []
            for atoms in SERIES[name]():
                if len(atoms) > arguments.max_atoms:
                    continue
                repeats = arguments.repeats if len(atoms) < 300 else 1
                row: Report = {"formula": str(atoms.symbols.formula.format("hill")), "atoms": len(atoms)}
                row["nddo-ml"] = _ours(atoms, arguments.method, repeats, Path(folder), arguments.time_limit)
                if with_mopac:
                    row["mopac"] = _mopac(arguments.method, Path(folder), arguments.time_limit)
                if with_mopac and arguments.mozyme:
                    row["mozyme"] = _mopac(f"{arguments.method} MOZYME", Path(folder), arguments.time_limit)
                note(json.dumps(row))
                rows.append(row)
            report["series"][name] = rows
            engines = [engine for engine in ("nddo-ml", "mopac", "mozyme") if rows and engine in rows[0]]
            report["exponents"][name] = {engine: _exponent(rows, engine) for engine in engines}
    finish(report, arguments.out)


def _ours(atoms: Atoms, method: str, repeats: int, folder: Path, limit: float) -> Report:
    path = folder / "system.xyz"
    write(path, atoms)
    command = [sys.executable, "-c", OURS, method, str(path), str(repeats)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {limit:g} s"}
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout)


def _mopac(method: str, folder: Path, limit: float) -> Report:
    """One MOPAC process on all cores, on the coordinates that the other engine read."""
    path = folder / "job.mop"
    deck = mopac_deck(read(folder / "system.xyz"), method)
    path.write_text(deck.replace("THREADS=1", f"THREADS={os.cpu_count()} T=1D"))
    path.with_suffix(".aux").unlink(missing_ok=True)
    start = time.perf_counter()
    process = subprocess.Popen(
        [mopac_program() or "mopac", str(path)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        pid, _, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = 0
            break
        if time.perf_counter() - start > limit:
            process.kill()
            process.wait()
            return {"failed": f"more than {limit:g} s"}
        time.sleep(0.002)
    seconds = time.perf_counter() - start
    text = path.with_suffix(".aux").read_text() if path.with_suffix(".aux").exists() else ""
    if "HEAT_OF_FORMATION:KCAL/MOL=" not in text:
        return {"failed": "no result"}
    heat = text.split("HEAT_OF_FORMATION:KCAL/MOL=")[1].split()[0].replace("D", "E")
    return {"seconds": seconds, "peak_MB": usage.ru_maxrss / 1024, "heat_of_formation_kcal_mol": float(heat)}


def _exponent(rows: list[Report], engine: str) -> float | None:
    points = [(r["atoms"], r[engine]["seconds"]) for r in rows if r["atoms"] >= 50 and "seconds" in r[engine]]
    if len(points) < 2:
        return None
    return float(np.polyfit(*np.log(np.array(points)).T, deg=1)[0])


if __name__ == "__main__":
    main()
