"""Cost of a hybrid beside its parent: energies and forces, and steps of training.

Processor time of one thread, least of some repeats, in milliseconds a molecule, and how it compares with the parent's
single point of the same batch. The networks are new but of full size, or those of --model; the loss is a sum of
squares.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchmarks.common import Report, finish, parser, spread
from benchmarks.molecules import qm9, qm9_chno
from nddo_ml import NDDO, Systems
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.hybrid.pair_functions import PairCorrection
from nddo_ml.hybrid.parameter_shifts import ParameterCorrection
from nddo_ml.models.open import open_model


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--molecules", type=int, default=128)
    options.add_argument("--heavy-atoms", type=int, default=9)
    options.add_argument("--method", default="AM1")
    options.add_argument("--size", default="small", help="of the symmetry functions")
    options.add_argument("--model", help="a hybrid, by file or shipped name, beside its parent; instead of a new one")
    options.add_argument("--repeats", type=int, default=5)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    if arguments.model:
        hybrid = open_model(arguments.model)
        if not isinstance(hybrid, NDDO):
            raise SystemExit(f"--model must be a hybrid; {arguments.model} is a {type(hybrid).__name__}")
        systems = Systems.from_ase(qm9_chno(arguments.molecules))
    else:
        systems = Systems.from_ase(qm9(arguments.molecules, arguments.heavy_atoms))
        features = AtomFeatures.default(["H", "C", "N", "O", "F"], 5.0, size=arguments.size, data=[systems])
        hybrid = NDDO(arguments.method, correction=[ParameterCorrection(features), PairCorrection(features)])
    parent = NDDO(hybrid.method.name)
    density = parent(systems).scf.density
    work: dict[str, Callable[[], object]] = {
        "parent, energy": lambda: parent(systems),
        "parent, energy and forces": lambda: parent(systems, forces=True),
        "hybrid, energy": lambda: hybrid(systems),
        "hybrid, energy and forces": lambda: hybrid(systems, forces=True),
        "step on energies and dipoles": lambda: step(hybrid, systems, forces=False, start=None),
        "the same from the last density": lambda: step(hybrid, systems, forces=False, start=density),
        "step on energies, dipoles and forces": lambda: step(hybrid, systems, forces=True, start=None),
        "the same with forces from the last density": lambda: step(hybrid, systems, forces=True, start=density),
    }
    times = {name: measure(call, arguments.repeats) for name, call in work.items()}
    per_molecule = {name: spread([1000 * t / systems.n_systems for t in values]) for name, values in times.items()}
    least = {name: entry["min"] for name, entry in per_molecule.items()}
    report: Report = {
        "benchmark": "hybrid",
        "model": arguments.model,
        "method": parent.name,
        "molecules": systems.n_systems,
        "atoms": systems.n_atoms,
        "weights": sum(p.numel() for p in hybrid.parameters()),
        "ms_per_molecule": per_molecule,
        "over_parent_energy": {name: value / least["parent, energy"] for name, value in least.items()},
        "over_parent_energy_and_forces": {
            name: value / least["parent, energy and forces"] for name, value in least.items()
        },
    }
    finish(report, arguments.out)


def step(model: NDDO, systems: Systems, *, forces: bool, start: torch.Tensor | None) -> None:
    """Prediction, loss and its gradient by the weights."""
    model.train()
    prediction = model(systems, forces=forces, start=start)
    loss = prediction.energy.square().sum() + prediction.dipole.square().sum()
    if forces:
        loss = loss + prediction.forces.square().sum()
    loss.backward(inputs=list(model.parameters()))
    model.eval()


def measure(call: Callable[[], object], repeats: int) -> list[float]:
    """Processor time of calls, s, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return times


if __name__ == "__main__":
    main()
