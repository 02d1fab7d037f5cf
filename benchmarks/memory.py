"""Memory: the largest resident size of `nddo-ml energy` on 1,000 and on 100,000 methanols, and how fast they go.

Every figure is that of a fresh process, which writes JSON and extended XYZ.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase.build import molecule

from benchmarks.common import finish, note, parser

PROGRAM = """
import json, sys, time
from benchmarks.common import peak_memory_mib
from nddo_ml.cli import main
start = time.perf_counter()
try:
    main(sys.argv[1:])
except SystemExit as left:
    assert not left.code, left.code
print(json.dumps({"peak_MiB": peak_memory_mib(), "seconds": time.perf_counter() - start}))
"""


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--structures", type=int, nargs="+", default=[1_000, 100_000])
    options.add_argument("--model", default="AM1")
    arguments = options.parse_args()
    found = {}
    for n in arguments.structures:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "in.xyz"
            write_methanols(source, n)
            files = ["--json", f"{folder}/out.json", "--output", f"{folder}/out.xyz"]
            command = [sys.executable, "-c", PROGRAM, "energy", str(source), "--model", arguments.model, *files]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[str(n)] = json.loads(done.stdout.splitlines()[-1])
            note(f"{n} structures: {found[str(n)]}")
    finish({"benchmark": "memory", "model": arguments.model, "structures": found}, arguments.out)


def write_methanols(path: Path, n: int) -> None:
    """Methanols, each a little different."""
    atoms, rng = molecule("CH3OH"), np.random.default_rng(1)
    with path.open("w") as file:
        for k in range(n):
            moved = atoms.positions + rng.normal(0, 0.03, atoms.positions.shape)
            rows = (f"{s} {x:.6f} {y:.6f} {z:.6f}\n" for s, (x, y, z) in zip(atoms.symbols, moved, strict=True))
            file.write(f"{len(atoms)}\nmethanol {k}\n{''.join(rows)}")


if __name__ == "__main__":
    main()
