"""Steps to the saddle points of known reactions, from 0.1 Å beside MOPAC's: ours and Sella.

Reported are our Hessians, the evaluations of forces that they cost by differences, and Sella's evaluations (internal
coordinates, its own iterative eigensolver); both stop at the same largest force, on AM1, and say where they arrived: at
the known saddle point or at another one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from benchmarks.common import Report, finish, has_module, note, parser
from benchmarks.optimizers import Counting
from nddo_ml import NDDO, Systems
from nddo_ml.workflows.saddle import find_saddles

REACTIONS = Path(__file__).parents[1] / "tests" / "references" / "reactions.json"
_SAME = 0.01  # kcal/mol, within which a heat of formation is that of the known saddle point


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--fmax", type=float, default=0.005, help="eV/Å")
    options.add_argument("--displacement", type=float, default=0.1, help="Å, root mean square of an atom's")
    options.add_argument("--max-atoms", type=int, default=99)
    arguments = options.parse_args()
    records = json.loads(REACTIONS.read_text())["records"]
    model, report = NDDO("AM1"), {}
    for record in (r for r in records if len(r["symbols"]) <= arguments.max_atoms):
        at = np.array(record["mopac"]["positions"])
        scale = arguments.displacement / 3**0.5
        guess = Atoms(record["symbols"], at + np.random.default_rng(2).normal(scale=scale, size=at.shape))
        report[record["name"]] = _ours(guess, record, model, arguments.fmax)
        if has_module("sella"):
            report[record["name"]] |= _sella(guess, record, model, arguments.fmax)
        note(f"{record['name']}: {report[record['name']]}")
    finish({"benchmark": "saddles", "fmax": arguments.fmax, "reactions": report}, arguments.out)


def _ours(guess: Atoms, record: Report, model: NDDO, fmax: float) -> Report:
    found = find_saddles(Systems.from_ase(guess, charge=record["charge"]), model, fmax=fmax)
    hessians = int(found.steps[0])
    return {
        "hessians": hessians,
        "evaluations": hessians * (6 * len(guess) + 1) + 1,
        "converged": bool(found.converged[0]),
        "same": _is_known(found.systems, record, model),
    }


def _sella(guess: Atoms, record: Report, model: NDDO, fmax: float) -> Report:
    from sella import Sella

    atoms = guess.copy()
    atoms.calc = Counting(model, charge=record["charge"])
    with Sella(atoms, order=1, internal=True, logfile=None) as run:
        try:
            converged = bool(run.run(fmax=fmax, steps=300))
        except RuntimeError as error:  # its internal coordinates do not always lead on
            note(f"Sella: {error}")
            converged = False
        steps = int(run.nsteps)
    end = Systems.from_ase(Atoms(atoms.numbers, atoms.positions), charge=record["charge"])
    return {
        "sella_steps": steps,
        "sella_evaluations": atoms.calc.count,
        "sella_converged": converged,
        "sella_same": _is_known(end, record, model),
    }


def _is_known(systems: Systems, record: Report, model: NDDO) -> bool:
    with torch.no_grad():
        heat = float(model(systems).heat_of_formation)
    return abs(heat - record["mopac"]["heat_of_formation"]) < _SAME


if __name__ == "__main__":
    main()
