"""Do the tests notice? Puts deliberate faults into a copy of the package, one at a time, and runs the tests named.

    python tests/mutate.py                 # all faults of mutations.toml
    python tests/mutate.py virial helium   # those whose names contain one of the words
    python tests/mutate.py --workers 4

A fault is a text that occurs once in the sources and what stands there instead. It is killed when a test fails with it,
and survives when all pass; anything else (a test that cannot be collected, say) is an error. The exit code is 1 unless
all are killed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("nddo_ml", "bp_descriptors")
LEFT_OUT = (".*", "__pycache__", "runs", "demo", "build", "dist", "*.egg-info")
SOURCES = (".py", ".c", ".h")  # faults in C are compiled
TIMEOUT = 1800  # s, a fault


@dataclass(frozen=True)
class Fault:
    """One deliberate fault."""

    name: str
    old: str
    new: str
    tests: tuple[str, ...]

    def file(self, tree: Path) -> Path:
        """The only source file that holds the text, once."""
        sources = [p for package in PACKAGES for p in sorted((tree / package).rglob("*")) if p.suffix in SOURCES]
        found = [path for path in sources for _ in range(path.read_text().count(self.old))]
        if len(found) != 1:
            raise SystemExit(f"{self.name}: the text must occur once in the sources; found {len(found)} times")
        return found[0]


def faults(words: list[str]) -> list[Fault]:
    """Those of the table whose names contain one of the words; all without words."""
    table = tomllib.loads((Path(__file__).parent / "mutations.toml").read_text())["fault"]
    made = [Fault(f["name"], f["old"], f["new"], tuple(f["tests"])) for f in table]
    return [f for f in made if not words or any(word in f.name for word in words)]


def outcome(fault: Fault) -> tuple[str, float]:
    """killed, survived or an error, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        path = fault.file(tree)
        path.write_text(path.read_text().replace(fault.old, fault.new))
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *fault.tests]
        if path.suffix != ".py":
            build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--force"]
            subprocess.run(build, cwd=tree, env=environment, capture_output=True, check=True)
        start = time.monotonic()
        try:
            process = subprocess.run(
                command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return "error: out of time", time.monotonic() - start
    took = time.monotonic() - start
    last = (process.stdout.strip().splitlines() or [process.stderr.strip()[-200:]])[-1]
    if process.returncode == 1 and " failed" in last:
        return "killed", took
    return ("survived", took) if process.returncode == 0 else (f"error: {last}", took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of the names of faults")
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    chosen = faults(arguments.words)
    for fault in chosen:
        fault.file(ROOT)
    bad = 0
    with ThreadPoolExecutor(arguments.workers) as pool:
        for fault, (result, took) in zip(chosen, pool.map(outcome, chosen), strict=True):
            bad += result != "killed"
            print(f"{result:9s} {took:6.0f} s  {fault.name}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} killed")
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
