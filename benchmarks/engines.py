"""Other semi-empirical programs behind one function each: molecules in, heats of formation and gradients out.

Each is optional; a missing one is reported as not installed. Energies are heats of formation in kcal/mol
(total energies in eV for Sparrow, which has none), gradients kcal/mol/Å.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ase import Atoms

from benchmarks.common import has_module, mopac_program

Results = list[tuple[float, np.ndarray]]
Engine = Callable[[Sequence[Atoms]], Results]

HARTREE_BOHR_TO_KCAL_ANGSTROM = 627.5094740631 / 0.529177210903
NUMBER = re.compile(r"[-+]?\d*\.\d+(?:[DE][-+]?\d+)?")
SERIAL = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")}
MOPAC_KEYWORDS = "1SCF GRADIENTS NOREOR NOSYM GEO-OK THREADS=1 AUX(PRECISION=9,XP,XS)"


def mopac(molecules: Sequence[Atoms], method: str = "AM1", keywords: str = "") -> Results:
    """MOPAC on all molecules in one input, so that it starts once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.mop"
        path.write_text("\n".join(mopac_deck(m, method, keywords) for m in molecules))
        program = mopac_program()
        if program is None:
            raise RuntimeError("mopac is not installed")
        environment = {**os.environ, **SERIAL}
        subprocess.run([program, str(path)], cwd=folder, env=environment, capture_output=True, check=False)
        text = path.with_suffix(".aux").read_text(errors="replace")
    heats = [float(v.replace("D", "E")) for v in re.findall(r"HEAT_OF_FORMATION:KCAL/MOL=(\S+)", text)]
    blocks = re.findall(r"^ GRADIENTS:KCAL/MOL/ANGSTROM\[\d+\]=\s*$(.*?)^ [A-Z#]", text, re.M | re.S)
    if len(heats) != len(molecules) or len(blocks) != len(molecules):
        raise RuntimeError(f"expected {len(molecules)} results of MOPAC; got {len(heats)}")
    gradients = [np.array([float(v.replace("D", "E")) for v in NUMBER.findall(b)]) for b in blocks]
    return [(h, g.reshape(-1, 3)) for h, g in zip(heats, gradients, strict=True)]


def mopac_deck(atoms: Atoms, method: str, keywords: str = "") -> str:
    """The MOPAC input of one neutral closed-shell molecule."""
    lines = [f"{method} {MOPAC_KEYWORDS} {keywords}".rstrip(), str(atoms.symbols)[:70], ""]
    for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        lines.append(f"{symbol:2s} {x:.10f} 1 {y:.10f} 1 {z:.10f} 1")
    return "\n".join(lines) + "\n"


def sparrow(molecules: Sequence[Atoms], method: str = "AM1") -> Results:
    """SCINE Sparrow through its Python bindings."""
    import scine_sparrow
    import scine_utilities as scine

    calculator = scine.core.ModuleManager.get_instance().get("calculator", method)
    assert scine_sparrow is not None
    calculator.log = scine.core.Log.silent()
    results: Results = []
    for atoms in molecules:
        elements = [scine.ElementInfo.element_from_symbol(s) for s in atoms.get_chemical_symbols()]
        calculator.structure = scine.AtomCollection(elements, atoms.positions / 0.529177210903)
        calculator.set_required_properties([scine.Property.Energy, scine.Property.Gradients])
        found = calculator.calculate()
        gradient = np.asarray(found.gradients) * HARTREE_BOHR_TO_KCAL_ANGSTROM
        results.append((found.energy * 27.211386245988, gradient))
    return results


def mopac_py(molecules: Sequence[Atoms], method: str = "AM1") -> Results:
    """mopac-py, the engine in Rust, one thread."""
    import mopac_py as engine

    engine.set_num_threads(1)
    results: Results = []
    for atoms in molecules:
        found = engine.calculate(atoms.numbers.tolist(), atoms.positions.tolist(), method=method)
        results.append((found.heat_of_formation_kcal, np.array(found.gradients_kcal_mol_angstrom)))
    return results


@dataclass(frozen=True)
class Peer:
    """Another engine, and what it can do here."""

    engine: Engine
    installed: Callable[[], bool]
    methods: frozenset[str] | None = None  # that it has; None: all of ours


_CLASSIC = frozenset({"MNDO", "AM1", "RM1", "PM3", "PM6"})
PEERS = {
    "mopac": Peer(mopac, lambda: mopac_program() is not None),
    "sparrow": Peer(sparrow, lambda: has_module("scine_sparrow"), _CLASSIC),
    "mopac-py": Peer(mopac_py, lambda: has_module("mopac_py"), _CLASSIC | {"PM7"}),
}


class InProcesses:
    """A serial engine on several cores: one process each, started and warmed up before any timing."""

    def __init__(self, engine: Engine, processes: int) -> None:
        os.environ.update(SERIAL)  # for the processes, which inherit it; this one's threads exist already
        self.engine = engine
        self.processes = processes
        self.pool: Executor = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))

    def __call__(self, molecules: Sequence[Atoms]) -> Results:
        """The results in the order of the molecules, which are dealt out in turn."""
        shares = [list(molecules[k :: self.processes]) for k in range(self.processes)]
        done = list(self.pool.map(self.engine, shares))
        results: Results = [(0.0, np.empty(0))] * len(molecules)
        for k, share in enumerate(done):
            results[k :: self.processes] = share
        return results

    def close(self) -> None:
        """End the processes."""
        self.pool.shutdown()
