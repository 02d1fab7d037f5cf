"""Robustness of the self-consistent field: how often it fails, and how many iterations it takes.

QM9 molecules as they are and displaced at random, bonds pulled to 4 Å in UHF, ion pairs, zwitterions and long
polyenes. A failure is a system whose field does not converge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from ase import Atoms

from benchmarks.common import Report, finish, note, parser
from benchmarks.molecules import ion_pairs, polyene, qm9, stretched, zwitterions
from nddo_ml import NDDO, Systems


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--molecules", type=int, default=5000, help="of QM9")
    options.add_argument("--stretched", type=int, default=200)
    options.add_argument("--methods", nargs="+", default=["AM1"])
    options.add_argument("--batch", type=int, default=500)
    options.add_argument("--only", nargs="+", help="names of the groups to run")
    arguments = options.parse_args()
    report: Report = {"benchmark": "robustness", "methods": {}}
    groups = _groups(arguments.molecules, arguments.stretched)
    for method in arguments.methods:
        report["methods"][method] = {}
        for name, (make, uhf) in groups.items():
            if arguments.only and name not in arguments.only:
                continue
            result = run(NDDO(method, uhf=uhf), list(make()), arguments.batch)
            note(f"{method}, {name}: {result}")
            report["methods"][method][name] = result
    finish(report, arguments.out)


def _groups(molecules: int, pulled: int) -> dict[str, tuple[Callable[[], Iterator[Atoms] | list[Atoms]], bool | None]]:
    """Name -> the systems, and whether the field is unrestricted."""
    return {
        "QM9": (lambda: qm9(molecules), None),
        "QM9 displaced by 0.1 Å": (lambda: _displaced(molecules, 0.1), None),
        "QM9 displaced by 0.3 Å": (lambda: _displaced(molecules, 0.3), None),
        "bonds pulled to 4 Å, UHF": (lambda: stretched(qm9(2 * pulled + 50), pulled), True),
        "bonds pulled to 4 Å, RHF": (lambda: stretched(qm9(2 * pulled + 50), pulled), False),
        "ion pairs": (ion_pairs, None),
        "zwitterions": (zwitterions, None),
        "polyenes to C100H102": (lambda: [polyene(n) for n in range(10, 101, 10)], None),
    }


def _displaced(molecules: int, deviation: float) -> Iterator[Atoms]:
    """QM9 molecules with normally distributed displacements of every coordinate, in Å."""
    rng = np.random.default_rng(1)
    for atoms in qm9(molecules):
        atoms.positions += deviation * rng.standard_normal(atoms.positions.shape)
        yield atoms


def run(model: NDDO, molecules: list[Atoms], batch: int) -> Report:
    """How many of the molecules fail, and the iterations of the others."""
    iterations: list[int] = []
    failed: list[str] = []
    start = time.perf_counter()
    for first in range(0, len(molecules), batch):
        part = molecules[first : first + batch]
        prediction = model(Systems.from_ase(part), on_failure="mask")
        if prediction.scf is None:
            raise RuntimeError("expected the result of a self-consistent field")
        converged = prediction.scf.converged.tolist()
        iterations += [n for n, good in zip(prediction.scf.iterations.tolist(), converged, strict=True) if good]
        failed += [f"{first + k}: {part[k].symbols}" for k, good in enumerate(converged) if not good]
    return {
        "systems": len(molecules),
        "failures": len(failed),
        "failed": failed[:20],
        "iterations_median": float(np.median(iterations)) if iterations else None,
        "iterations_max": max(iterations, default=None),
        "seconds": time.perf_counter() - start,
    }


if __name__ == "__main__":
    main()
