"""The same structures by one process, by two, and by a Dask cluster of two workers, one of which is killed.

Structures a second of ``nddo-ml energy`` from its start to its end, and whether the records are those of one process,
in their order. The start of the cluster does not count.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

from benchmarks.common import finish, note, parser
from benchmarks.interruptions import write_structures

COMMAND = [sys.executable, "-m", "nddo_ml", "energy", "in.xyz", "-m", "PM6", "--json", "out.json"]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--structures", type=int, default=20_000)
    arguments = options.parse_args()
    from distributed import LocalCluster

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        write_structures(Path("in.xyz"), arguments.structures)
        found["one process"] = measured(arguments.structures)
        found["two processes"] = measured(arguments.structures, "--workers", "2")
        for name in ("cluster", "cluster that loses a worker"):
            with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
                cluster.wait_for_workers(2)
                if name != "cluster":
                    victim = next(iter(cluster.workers.values())).pid
                    Timer(found["cluster"]["seconds"] / 2, os.kill, (victim, signal.SIGKILL)).start()
                found[name] = measured(arguments.structures, "--scheduler", cluster.scheduler_address)
        os.chdir("/")
    finish({"benchmark": "distributed", "structures": arguments.structures, "runs": found}, arguments.out)


def measured(n: int, *resources: str) -> dict[str, float]:
    """Time of a run with these resources, and how its records differ from those of the first run."""
    out, first = Path("out.json"), Path("first.json")
    start = time.perf_counter()
    subprocess.run([*COMMAND, *resources], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - start
    out.rename(Path("next.json") if first.exists() else first)
    largest = difference(first, Path("next.json")) if Path("next.json").exists() else 0.0
    made = {"seconds": seconds, "structures a second": n / seconds, "largest difference, eV": largest}
    note(f"{' '.join(resources)}: {made}")
    return made


def difference(one: Path, other: Path) -> float:
    """Of the energies, eV, in the order of the records."""
    left, right = (json.loads(p.read_text()) for p in (one, other))
    assert [r["frame"] for r in left] == [r["frame"] for r in right]
    return float(np.abs(np.array([a["energy_eV"] - b["energy_eV"] for a, b in zip(left, right, strict=True)])).max())


if __name__ == "__main__":
    sys.exit(main())
