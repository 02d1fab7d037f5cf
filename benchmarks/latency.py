"""Latency: what the import and a single water molecule from the command line cost, and where the time goes.

Every figure is the wall time of a fresh process (after one run that is not counted), but for the last part,
which times the stages inside one process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import finish, note, parser, spread

WATER = "3\n\nO 0.000 0.000 0.119\nH 0.000 0.763 -0.477\nH 0.000 -0.763 -0.477\n"
IMPORTS = ["numpy", "torch", "numba", "ase.io", "typer, rich.table, rich.progress", "nddo_ml, nddo_ml.models.nddo"]
STAGES = """
import json, sys, time
marks = [("", time.perf_counter())]
def mark(name): marks.append((name, time.perf_counter()))
import torch; mark("import torch")
import nddo_ml.models.nddo; mark("import nddo_ml.models.nddo")
import nddo_ml.cli.energy, nddo_ml.structures.read, ase.io; mark("import of the command line and ase.io")
model = nddo_ml.models.nddo.NDDO("AM1"); mark("load the method")
frames = [s.atoms for s in nddo_ml.structures.read.read_structures(sys.argv[1])]; mark("read the file")
systems = nddo_ml.Systems.from_ase(frames); mark("build Systems")
model(systems, forces=True); mark("first energy and forces")
model(systems, forces=True); mark("second energy and forces")
print(json.dumps({name: 1000 * (t - marks[k][1]) for k, (name, t) in enumerate(marks[1:])}))
"""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=7)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        water = Path(folder) / "water.xyz"
        water.write_text(WATER)
        program = ["-c", "from nddo_ml.cli import main; main()"]
        commands = {"python": ["-c", "pass"]}
        commands |= {f"import {name}": ["-c", f"import {name}"] for name in IMPORTS}
        commands |= {
            "nddo-ml --help": [*program, "--help"],
            "nddo-ml methods": [*program, "methods"],
            "nddo-ml energy water.xyz": [*program, "energy", str(water)],
            "nddo-ml energy water.xyz --forces --json -": [
                *program,
                "energy",
                str(water),
                "--forces",
                "--json",
                "-",
            ],
        }
        seconds = {}
        for name, command in commands.items():
            seconds[name] = spread([_run(command)[0] for _ in range(arguments.repeats + 1)][1:])
            note(f"{name}: {seconds[name]['median']:.2f} s")
        stages = [json.loads(_run(["-c", STAGES, str(water)])[1]) for _ in range(arguments.repeats)]
    finish(
        {
            "benchmark": "latency",
            "seconds_of_a_fresh_process": seconds,
            "stages_ms": {name: spread([s[name] for s in stages]) for name in stages[0]},
        },
        arguments.out,
    )


def _run(arguments: list[str]) -> tuple[float, str]:
    """Wall time in seconds and standard output of a Python process."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


if __name__ == "__main__":
    main()
