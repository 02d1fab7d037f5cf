"""Agreement with MOPAC on the reference files: ``python -m benchmarks.parity pm6 pm7`` (or any other set).

Every system of ``tests/references/<set>.json`` is computed and compared: heat of formation, gradient, dipole. Where a
self-consistent field has several solutions, ours may be lower, and is then not compared further. MOPAC 22 leaves the
flat-nitrogen term of PM6 and weak hydrogen bonds of PM7 out of its gradients; so does the comparison. ``--worst 20``
prints the largest differences.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from nddo_ml import NDDO, Systems
from nddo_ml.elements import number_of
from nddo_ml.methods.tables import METHODS, load_method
from nddo_ml.models.base import Prediction
from nddo_ml.terms.hydrogen_bonds_eh import HydrogenBondsEH
from nddo_ml.terms.pm6 import FlatNitrogen
from nddo_ml.units import DEBYE_PER_E_ANGSTROM

REFERENCES = Path(__file__).resolve().parents[1] / "tests" / "references"
# kcal/mol, kcal/mol/Å, D: what counts as agreement
LIMITS = {"sp_methods": (1e-3, 2e-3, 2e-3), "pm6": (5e-3, 1e-2, 5e-3), "mndod": (5e-3, 1e-2, 5e-3)}
LIMITS |= {"pm7": (5e-3, 2e-2, 5e-3), "pm6_dh": (5e-3, 2e-2, 5e-3)}
WEAK = 0.01  # kcal/mol; hydrogen bonds that MOPAC leaves out of gradients
D3H4_LIMITS = (1e-2, 0.2, 5e-3)  # MOPAC's gradients of H4 are one-sided differences
_BATCH = 64


@dataclass(frozen=True)
class Comparison:
    """One system: what we find less what MOPAC finds."""

    id: str
    converged: bool
    heat: float  # kcal/mol
    gradient: float  # kcal/mol/Å, largest component of the difference
    dipole: float  # D, length of the difference
    noise: float  # kcal/mol/Å, MOPAC's own

    def verdict(self, limits: tuple[float, float, float]) -> str:
        """One of: agrees, lower, higher, not converged, gradient, dipole."""
        if not self.converged:
            return "not converged"
        if abs(self.heat) > limits[0]:
            return "lower" if self.heat < 0 else "higher"
        if self.gradient > limits[1] + self.noise:
            return "gradient"
        return "dipole" if self.dipole > limits[2] else "agrees"


def compare(name: str, *, closed: bool = False) -> list[Comparison]:
    """Run a reference set, or its closed shells."""
    groups: dict[tuple[str, bool], list[dict]] = defaultdict(list)
    for record in json.loads((REFERENCES / f"{name}.json").read_text())["systems"]:
        if not (closed and record["uhf"]):
            groups[record["method"], bool(record["uhf"])].append(record)
    names = {key.upper().replace("/", ""): key for key in METHODS}
    found = []
    for (method, uhf), records in groups.items():
        records.sort(key=lambda r: len(r["symbols"]))
        model = NDDO(names[method.upper().replace("/", "")], uhf=uhf)
        for k in range(0, len(records), _BATCH):
            found += _batch(model, records[k : k + _BATCH])
    return found


def _batch(model: NDDO, records: list[dict]) -> list[Comparison]:
    systems = Systems.build(
        torch.tensor([number_of(s) for r in records for s in r["symbols"]]),
        torch.tensor([x for r in records for x in r["positions"]], dtype=torch.float64),
        torch.repeat_interleave(torch.arange(len(records)), torch.tensor([len(r["symbols"]) for r in records])),
        charge=[r["charge"] for r in records],
        multiplicity=[r["multiplicity"] for r in records],
    )
    prediction = model(systems, forces=True, on_failure="mask")
    gradient = _gradient(model, systems, prediction)
    debye = prediction.dipole * DEBYE_PER_E_ANGSTROM
    found = []
    for k, r in enumerate(records):
        g = gradient[systems.system_idx == k] - torch.tensor(r["gradients"], dtype=torch.float64)
        dipole = torch.tensor(r["dipole"], dtype=torch.float64) if r.get("dipole") else debye[k]
        found.append(
            Comparison(
                r["id"],
                bool(prediction.scf.converged[k]),
                float(prediction.heat_of_formation[k]) - r["heat_of_formation"],
                float(g.abs().max()),
                float((debye[k] - dipole).norm()),
                r.get("gradient_noise") or 0.0,
            )
        )
    return found


def _gradient(model: NDDO, systems: Systems, prediction: Prediction) -> torch.Tensor:
    """kcal/mol/Å, without the flat-nitrogen term and the weak hydrogen bonds of PM7 and DH+."""
    ev_kcal_mol = load_method(model.name).constants.ev_kcal_mol
    x = systems.positions.clone().requires_grad_()
    energy = x.new_zeros(())
    for term in model.all_terms:
        if isinstance(term, FlatNitrogen):
            energy = energy + term.energy(systems.with_positions(x)).sum()
        if isinstance(term, HydrogenBondsEH):
            bonds = term.bond_energies(systems.with_positions(x))[0]
            energy = energy + bonds[bonds > -WEAK / ev_kcal_mol].sum()
    gradient = -prediction.forces * ev_kcal_mol
    return gradient - torch.autograd.grad(energy, x)[0] * ev_kcal_mol if energy.requires_grad else gradient


def _print_worst(found: list[Comparison], limits: tuple[float, float, float], count: int) -> None:
    """A line each of those that differ most in units of the limits; another solution of the field comes first."""
    for c in sorted(found, key=lambda c: -max(abs(c.heat) / limits[0], (c.gradient - c.noise) / limits[1]))[:count]:
        print(f"    {c.id:44s} {c.heat:+11.5f} {c.gradient:9.5f} {c.dipole:8.5f}  {c.verdict(limits)}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", choices=sorted(p.stem for p in REFERENCES.glob("*.json")))
    parser.add_argument("--worst", type=int, default=0, metavar="N", help="print so many systems, worst first")
    parser.add_argument("--closed", action="store_true", help="closed shells only")
    parser.add_argument("--json", type=Path, help="write every comparison to this file")
    arguments = parser.parse_args()
    everything = []
    for name in arguments.sets:
        limits = LIMITS.get(name, D3H4_LIMITS)
        start = time.perf_counter()
        found = compare(name, closed=arguments.closed)
        everything += found
        verdicts = defaultdict(list)
        for c in found:
            verdicts[c.verdict(limits)].append(c)
        worst = max((abs(c.heat) for c in verdicts["agrees"]), default=0.0)
        print(f"{name}: {len(found)} systems in {time.perf_counter() - start:.0f} s; limits {limits}")
        print(f"  agree {len(verdicts['agrees'])}, largest difference of heats of formation {worst:.1e} kcal/mol")
        print(f"  lower than MOPAC {len(verdicts['lower'])}")
        for verdict in ("higher", "not converged", "gradient", "dipole"):
            print(f"  {verdict} {len(verdicts[verdict])}")
            for c in verdicts[verdict]:
                print(f"    {c.id}: heat {c.heat:+.4f}, gradient {c.gradient:.4f}, dipole {c.dipole:.4f}")
        _print_worst(found, limits, arguments.worst)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(c) for c in everything], indent=1))


if __name__ == "__main__":
    main()
