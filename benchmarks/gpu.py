"""One device: throughput of small molecules, large systems, hybrids and training steps, and how often the host waits.

The same on every device: ``python -m benchmarks.gpu --device cuda``, or ``cpu`` for comparison. Wall times are taken
between synchronisations; ``synchronisations`` are the host's waits in one call, which CUDA reports as warnings.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.common import Report, finish, note, parser, spread
from benchmarks.molecules import alkane, qm9_chno, water_cluster
from nddo_ml import NDDO, Systems
from nddo_ml.models.open import open_model


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--batches", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--waters", type=int, nargs="+", default=[333, 1000, 1667])
    options.add_argument("--carbons", type=int, nargs="+", default=[333])
    options.add_argument("--hybrid", type=int, default=1_000, help="molecules of the hybrid and of a training step")
    options.add_argument("--repeats", type=int, default=3)
    arguments = options.parse_args()
    bench = _Bench(torch.device(arguments.device), arguments.repeats)
    molecules = qm9_chno(min(max(arguments.batches), 10_000))
    report: Report = {"benchmark": "gpu", "device": bench.name, "seconds": {}}
    am1, found = NDDO("AM1").to(bench.device), report["seconds"]
    for n in arguments.batches:
        systems = bench.systems([molecules[k % len(molecules)] for k in range(n)])
        found[f"AM1, {n} molecules"] = bench(lambda s=systems: am1(s, forces=True, on_failure="mask"))
    large = {f"{n} waters": water_cluster(n) for n in arguments.waters}
    large |= {f"C{n}H{2 * n + 2}": alkane(n) for n in arguments.carbons}
    for name, atoms in large.items():
        systems = bench.systems([atoms])
        found[f"AM1, {name}"] = bench(lambda s=systems: am1(s, forces=True))
    hybrid, systems = open_model("hybrid-chno").to(bench.device), bench.systems(molecules[: arguments.hybrid])
    found["hybrid"] = bench(lambda: hybrid(systems, forces=True, on_failure="mask"))
    hybrid.train()
    found["training step, energies"] = bench(lambda: _step(hybrid, systems, forces=False))
    found["training step, forces"] = bench(lambda: _step(hybrid, systems, forces=True))
    finish(report, arguments.out)


class _Bench:
    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats
        self.cuda = device.type == "cuda"
        self.name = torch.cuda.get_device_name(device) if self.cuda else "cpu"

    def systems(self, frames: list[Any]) -> Systems:
        """A batch on the device."""
        return Systems.from_ase(frames, device=self.device)

    def __call__(self, work: Callable[[], Any]) -> Report:
        """Seconds of some calls after one that is not counted, peak memory, waits of the host."""
        work()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        seconds = [self._seconds(work) for _ in range(self.repeats)]
        result = spread(seconds)
        if self.cuda:
            result["peak_MB"] = torch.cuda.max_memory_allocated() / 2**20
            result["synchronisations"] = self._waits(work)
        note(str(result))
        return result

    def _seconds(self, work: Callable[[], Any]) -> float:
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def _waits(self, work: Callable[[], Any]) -> int:
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchron" in str(w.message) for w in caught)


def _step(model: Any, systems: Systems, *, forces: bool) -> None:
    """Forward and backward of a loss on energies and dipoles, or on forces."""
    prediction = model(systems, forces=forces, on_failure="mask")
    value = prediction.forces if forces else torch.cat((prediction.energy[:, None], prediction.dipole), dim=1)
    value.nan_to_num().square().mean().backward()
    model.zero_grad()


if __name__ == "__main__":
    main()
