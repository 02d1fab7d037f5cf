"""Do the tests notice? Puts deliberate faults into a copy of the package, one at a time, and runs the tests named.

    python tests/mutate.py                 # all faults of mutations.toml
    python tests/mutate.py virial helium   # those whose names contain one of the words
    python tests/mutate.py --workers 4
    python tests/mutate.py --journal FILE  # goes on where it was interrupted

A fault is a text that occurs once in the sources and what stands there instead. It is killed when a test fails with it
that passes without it, and survives when all pass or are skipped; anything else (a test that cannot be collected, say)
is an error. The exit code is 1 unless all are killed. Faults in C come last, since each compiles the libraries twice.

A journal has a line a fault that was killed, which is not tried again unless it, its source or its tests have changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from importlib import import_module
from multiprocessing import Process, get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

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

    def key(self) -> str:
        """Of what it is, where it is put and who must notice."""
        noticing = {ROOT / test.partition("::")[0] for test in self.tests}
        files = [self.file(ROOT), *sorted(noticing)]
        texts = [path.read_text() for path in files if path.is_file()]
        return sha256("\0".join([self.old, self.new, *self.tests, *texts]).encode()).hexdigest()[:16]

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
    chosen = [f for f in made if not words or any(word in f.name for word in words)]
    return sorted(chosen, key=lambda fault: fault.file(ROOT).suffix != ".py")


class Bench:
    """A copy of the tree, in which one fault after the other is put and taken out again.

    Tests run in processes that fork from this one, which has imported what they need beside the package; kernels that
    numba compiled are kept from one fault to the next.
    """

    def __init__(self, folder: str) -> None:
        self.tree = Path(folder) / "tree"
        shutil.copytree(ROOT, self.tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        cache = str(Path(folder) / "numba")
        self.environment = {"PYTHONPATH": str(self.tree), "OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": cache}
        self.passing: dict[tuple[str, ...], str] = {}  # what tests that failed with a fault say without
        if not all(any((self.tree / package).rglob("*.so")) for package in PACKAGES):
            self._compile()

    def outcome(self, fault: Fault) -> tuple[str, float]:
        """killed, survived or an error, and the seconds it took."""
        path, start = fault.file(self.tree), time.monotonic()
        whole, times = path.read_text(), (path.stat().st_atime, path.stat().st_mtime)
        path.write_text(whole.replace(fault.old, fault.new))
        libraries = {} if path.suffix == ".py" else {p: p.read_bytes() for p in self.tree.rglob("*.so")}
        try:
            if libraries:
                self._compile()
            result = self._tested(fault.tests)
        finally:
            path.write_text(whole)
            os.utime(path, times)
            for library, built in libraries.items():
                library.unlink()
                library.write_bytes(built)
        if result == "killed" and self._without(fault.tests) != "survived":
            result = "error: the tests fail without the fault"
        return result, time.monotonic() - start

    def _without(self, tests: tuple[str, ...]) -> str:
        if tests not in self.passing:
            self.passing[tests] = self._tested(tests)
        return self.passing[tests]

    def _compile(self) -> None:
        build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--force"]
        subprocess.run(build, cwd=self.tree, capture_output=True, check=True)

    def _tested(self, tests: tuple[str, ...]) -> str:
        log = self.tree.parent / "log"
        process = Process(target=_run_tests, args=(self.tree, self.environment, tests, log))
        process.start()
        process.join(TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join()
            return "error: out of time"
        last = (log.read_text().strip().splitlines() or ["nothing was said"])[-1]
        if process.exitcode == 1 and " failed" in last:
            return "killed"
        return "survived" if process.exitcode == 0 else f"error: {last}"


def _run_tests(tree: Path, environment: dict[str, str], tests: tuple[str, ...], log: Path) -> None:
    """In a process of its own: pytest's exit code, what it says in a file."""
    os.chdir(tree)
    os.environ.update(environment)
    sys.path[0] = str(tree)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os._exit(pytest.main(["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]))


def preload() -> None:
    """What all tests import, but nothing of the packages."""
    import_module("torch").set_num_threads(1)
    for name in ("ase.build", "ase.io", "scipy.spatial.transform", "scipy.optimize", "numba", "matplotlib", "pydantic"):
        import_module(name)


@cache
def bench(folder: str) -> Bench:
    """This worker's own."""
    return Bench(str(Path(folder) / str(os.getpid())))


def outcome(folder: str, fault: Fault) -> tuple[str, float]:
    """Of one fault, on the bench of the worker that takes it."""
    return bench(folder).outcome(fault)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="parts of the names of faults")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--journal", type=Path, default=Path(os.devnull), help="the faults that were killed so far")
    arguments = parser.parse_args()
    chosen = faults(arguments.words)
    before = set(arguments.journal.read_text().splitlines()) if arguments.journal.exists() else set()
    keys = {fault: fault.key() for fault in chosen}
    left = [fault for fault in chosen if keys[fault] not in before]
    bad = 0
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(arguments.workers, get_context("fork"), preload) as pool,
        arguments.journal.open("a") as journal,
    ):
        for fault, (result, took) in zip(left, pool.map(partial(outcome, folder), left), strict=True):
            if result == "killed":
                print(keys[fault], file=journal, flush=True)
            bad += result != "killed"
            print(f"{result:9s} {took:6.0f} s  {fault.name}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} killed")
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
