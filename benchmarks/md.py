"""Dynamics: milliseconds a step through ASE for single molecules, beside Sparrow, tblite and MOPAC.

Velocity Verlet at 300 K with steps of half a femtosecond. All engines take their turn in every round, each on one
thread, after some steps that are not counted. Wall and processor time; MOPAC is a process a step. ``--drift 10`` adds
the slope of the total energy over ten picoseconds of caffeine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.md.verlet import VelocityVerlet

from benchmarks.common import Report, finish, has_module, mopac_program, note, parser, spread
from benchmarks.engines import Engine, mopac, sparrow
from benchmarks.molecules import caffeine, peptide
from nddo_ml import NDDOCalculator
from nddo_ml.units import EV_KCAL_MOL
from nddo_ml.workflows.solids import energy_drift

MOLECULES: dict[str, Callable[[], Atoms]] = {
    "water": lambda: molecule("H2O"),
    "caffeine": caffeine,
    "peptide": lambda: peptide(11),
}
MODELS = ("AM1", "PM6", "hybrid-chno", "nnp-chno")
STEP = 0.5 * units.fs


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--molecules", nargs="+", choices=list(MOLECULES), default=list(MOLECULES))
    options.add_argument("--models", nargs="+", default=list(MODELS))
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", action="store_true", help="leave the other engines out")
    options.add_argument("--drift", type=float, default=0.0, help="picoseconds of caffeine with AM1 and hybrid-chno")
    arguments = options.parse_args()
    torch.set_num_threads(1)
    report: Report = {"benchmark": "md", "ms_a_step": {}}
    for name in arguments.molecules:
        runs = {engine: _started(MOLECULES[name](), made) for engine, made in _engines(arguments).items()}
        times: dict[str, list[tuple[float, float]]] = {engine: [] for engine in runs}
        for _ in range(arguments.rounds):
            for engine, dynamics in runs.items():
                steps = arguments.steps if engine in arguments.models else max(2, arguments.steps // 10)
                times[engine].append(_timed(dynamics, steps))
                note(f"{name}, {engine}: {times[engine][-1][0]:.2f} ms a step")
        report["ms_a_step"][name] = {
            engine: {"wall": spread([w for w, _ in found]), "processor": spread([p for _, p in found])}
            for engine, found in times.items()
        }
    if arguments.drift:
        report["drift_meV_per_atom_per_ps"] = {m: _drift(m, arguments.drift) for m in ("AM1", "hybrid-chno")}
    finish(report, arguments.out)


class _OneByOne(Calculator):
    """An engine that takes lists of molecules, asked for one at a time."""

    implemented_properties: Sequence[str] = ("energy", "forces")

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, gradient = self.engine([self.atoms])[0]
        self.results = {"energy": energy / EV_KCAL_MOL, "forces": -gradient / EV_KCAL_MOL}


def _engines(arguments: Any) -> dict[str, Callable[[], Calculator]]:
    """Calculators by name; those of other programs where these are installed."""
    found: dict[str, Callable[[], Calculator]] = {m: lambda m=m: NDDOCalculator(m) for m in arguments.models}
    if arguments.only:
        return found
    if has_module("scine_sparrow"):
        found["sparrow AM1"] = lambda: _OneByOne(sparrow)
    if has_module("tblite"):
        from tblite.ase import TBLite

        found["tblite GFN2-xTB"] = lambda: TBLite(method="GFN2-xTB", verbosity=0)
    if mopac_program() is not None:
        found["mopac AM1"] = lambda: _OneByOne(mopac)
    return found


def _started(atoms: Atoms, made: Callable[[], Calculator]) -> VelocityVerlet:
    """A run at 300 K that has taken ten steps."""
    atoms.calc = made()
    width = np.sqrt(units.kB * 300 * atoms.get_masses())[:, None]
    atoms.set_momenta(width * np.random.default_rng(0).normal(size=(len(atoms), 3)))
    dynamics = VelocityVerlet(atoms, STEP)
    dynamics.run(10)
    return dynamics


def _timed(dynamics: VelocityVerlet, steps: int) -> tuple[float, float]:
    """Wall and processor time a step, ms."""
    wall, processor = time.perf_counter(), time.process_time()
    dynamics.run(steps)
    return 1000 * (time.perf_counter() - wall) / steps, 1000 * (time.process_time() - processor) / steps


def _drift(model: str, picoseconds: float) -> float:
    dynamics = _started(caffeine(), lambda: NDDOCalculator(model))
    energies: list[float] = []
    dynamics.attach(lambda: energies.append(dynamics.atoms.get_total_energy()), interval=10)
    dynamics.run(round(picoseconds * 1000 * units.fs / STEP))
    times = np.arange(len(energies)) * 10 * STEP / (1000 * units.fs)
    return 1000 * energy_drift(times, np.array(energies) / len(dynamics.atoms))


if __name__ == "__main__":
    main()
