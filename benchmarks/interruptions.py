"""Commands that are killed at random moments and started again: what is lost, doubled or different at the end.

Every command runs once undisturbed and once with SIGKILL at random moments, by forks of one process, so that imports
are paid once (of `label`, which starts processes, tests/results/test_killed.py). Outputs must be the same to the byte,
but for the times that `compare` and `scan` report.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import molecule
from ase.io import write

from benchmarks.common import finish, note, parser

NAMES = ["H2O", "CH4", "H2", "CH3OH", "NH3"]
SCAN = ["--torsion", "2", "0", "1", "3", "--from", "90", "--to", "150", "--steps", "13", "--relaxed"]
LONGEST = 20.0  # s before a kill
OUTPUTS = {
    "energy": ["--json", "out.json", "--output", "out.xyz"],
    "optimize": ["--json", "out.json", "--output", "out.xyz"],
    "compare": ["--json", "out.json", "-m", "AM1", "-m", "PM3", "--summary"],
    "scan": ["--json", "out.json", "--output", "out.xyz", *SCAN, "-m", "AM1", "-m", "PM3"],
}


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--structures", type=int, default=2000)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--commands", nargs="+", default=list(OUTPUTS), choices=list(OUTPUTS))
    arguments = options.parse_args()
    found, rng = {}, np.random.default_rng(1)
    for module in ("cli.common", "models.open", "structures.read"):  # which every child then has already
        import_module(f"nddo_ml.{module}")
    for command in arguments.commands:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            write_structures(Path("in.xyz"), 1 if command == "scan" else arguments.structures)
            found[command] = compared(command, arguments.kills, rng)
            os.chdir("/")
        note(f"{command}: {found[command]}")
    finish({"benchmark": "interruptions", "structures": arguments.structures, "commands": found}, arguments.out)


def compared(command: str, kills: int, rng: np.random.Generator) -> dict[str, Any]:
    """An undisturbed run and a killed one, in the current folder."""
    program = [command, "in.xyz", *OUTPUTS[command]]
    start = time.perf_counter()
    assert finished(started(program)) == 0
    seconds = time.perf_counter() - start
    whole = outputs(clean=True)
    codes = []
    while codes.count(-signal.SIGKILL) < kills:
        child = started(program)
        time.sleep(rng.uniform(0, min(seconds / 4, LONGEST)))
        os.kill(child, signal.SIGKILL)
        codes.append(finished(child))
        if codes[-1] == 0:  # it was quicker: once more from the beginning
            assert outputs(clean=True) == whole
    last = finished(started(program))
    made = outputs(clean=False)
    left = sorted(p.name for p in Path().iterdir() if p.name not in {"in.xyz", *made})
    return {
        "kills": codes.count(-signal.SIGKILL),
        "whole runs between": codes.count(0),
        "last exit code": last,
        "same": made == whole,
        "left over": left,
        "seconds undisturbed": round(seconds, 1),
    }


def started(program: list[str]) -> int:
    """A child that runs a command."""
    from nddo_ml.cli import main as command_line

    child = os.fork()
    if child == 0:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        try:
            command_line(program)
        except SystemExit as left:
            os._exit(int(left.code or 0))
        except BaseException:
            os._exit(99)
        os._exit(0)
    return child


def finished(child: int) -> int:
    """Its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def outputs(clean: bool) -> dict[str, bytes]:
    """The outputs without times; deleted where a new run is to come."""
    found = {}
    for path in sorted(Path().glob("out.*")):
        if path.suffix == ".part":
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            content = json.dumps(json.loads(content, object_hook=_without_times)).encode()
        found[path.name] = content
        if clean:
            path.unlink()
    return found


def _without_times(table: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in table.items() if "seconds" not in k}


def write_structures(path: Path, n: int) -> None:
    """Small molecules, no two alike; one alone is hydrogen peroxide."""
    rng = np.random.default_rng(0)
    frames = [molecule("H2O2" if n == 1 else NAMES[k % len(NAMES)]) for k in range(n)]
    for frame in frames:
        frame.positions += rng.normal(0, 0.02, frame.positions.shape)
    write(path, frames, format="xyz")


if __name__ == "__main__":
    sys.exit(main())
