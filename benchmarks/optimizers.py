"""Steps to relax QM9 molecules, half of them displaced at random: ours, BFGS and FIRE of ASE, Sella.

All start from the same geometries and stop at the same largest force, on the same model. Reported are the
evaluations of energy and forces after the first and the wall time; ours relaxes the molecules as one batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.optimize import BFGS, FIRE

from benchmarks.common import Report, finish, has_module, note, parser, spread
from benchmarks.molecules import qm9
from nddo_ml import NDDO, Systems
from nddo_ml.workflows.calculator import NDDOCalculator
from nddo_ml.workflows.optimize import optimize


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--molecules", type=int, default=24)
    options.add_argument("--method", default="AM1")
    options.add_argument("--fmax", type=float, default=0.02, help="eV/Å")
    options.add_argument("--max-steps", type=int, default=500)
    arguments = options.parse_args()
    molecules = qm9(arguments.molecules, seed=11)
    for k, atoms in enumerate(molecules[::2]):
        atoms.rattle(0.1, seed=k)
    model = NDDO(arguments.method)
    start = time.perf_counter()
    result = optimize(Systems.from_ase(molecules), model, fmax=arguments.fmax, max_steps=arguments.max_steps)
    report: Report = {
        "nddo-ml": {
            "steps": spread(result.steps.double().tolist()),
            "mean_steps": float(result.steps.double().mean()),
            "not_converged": int((~result.converged).sum()),
            "seconds": time.perf_counter() - start,
        }
    }
    note(f"nddo-ml: {report['nddo-ml']}")
    for name, run in _others(arguments.fmax, arguments.max_steps).items():
        report[name] = _measure(run, molecules, model)
        note(f"{name}: {report[name]}")
    finish({"benchmark": "optimizers", "fmax": arguments.fmax, "steps": report}, arguments.out)


def _measure(run: Callable[[Atoms], bool], molecules: list[Atoms], model: NDDO) -> Report:
    """``run`` relaxes one molecule and says whether it converged."""
    steps, failed, start = [], 0, time.perf_counter()
    for original in molecules:
        atoms = original.copy()
        atoms.calc = Counting(model)
        failed += not run(atoms)
        steps.append(float(atoms.calc.count - 1))
    return {
        "steps": spread(steps),
        "mean_steps": float(np.mean(steps)),
        "not_converged": failed,
        "seconds": time.perf_counter() - start,
    }


class Counting(NDDOCalculator):
    """The calculator, and how often it was asked."""

    count = 0

    def calculate(self, *arguments, **options) -> None:
        """Count the evaluations."""
        super().calculate(*arguments, **options)
        self.count += 1


def _others(fmax: float, max_steps: int) -> dict[str, Callable[[Atoms], bool]]:
    def ase(optimizer: type) -> Callable[[Atoms], bool]:
        return lambda atoms: bool(optimizer(atoms, logfile=None).run(fmax=fmax, steps=max_steps))

    def sella(atoms: Atoms) -> bool:
        from sella import Sella

        return bool(Sella(atoms, order=0, internal=True, logfile=None).run(fmax=fmax, steps=max_steps))

    others = {"ASE BFGS": ase(BFGS), "ASE FIRE": ase(FIRE)}
    return others | ({"Sella": sella} if has_module("sella") else {})


if __name__ == "__main__":
    main()
