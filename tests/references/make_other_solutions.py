"""Where our solution is not MOPAC's: what MOPAC says of ours, and our field of MOPAC's.

``python tests/references/make_other_solutions.py`` with ``mopac`` on the PATH, after the reference files are made. Every
entry of these is solved as by default. Where its heat of formation, gradient or dipole is not MOPAC's,

- MOPAC starts from our density (OLDENS) and stays there: its numbers of our solution are recorded;
- our field starts from MOPAC's density (DENOUT) and stays there: that MOPAC's numbers are ours is checked;
- the lowest eigenvalue of the orbital Hessian says whether each of the two is a minimum.

The file is JSON, one entry a line; see NOTES.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from geometries import Geometry
from make_mopac import KEYWORDS, run_with_density, write

sys.path.insert(0, str(Path(__file__).parents[1]))

from reference_data import NAMES, deviations, entries, rows, run, square, to_systems

from nddo_ml import NDDO, SCFConvergenceError
from nddo_ml.methods.occupation import occupations
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import start
from nddo_ml.scf.newton import lowest_curvature

SETS = ("sp_methods", "mndod", "pm6", "older_metals", "pm6_d3h4")
TOLERANCE = {"heat": 0.001, "gradient": 0.01, "dipole": 0.005}  # kcal/mol, kcal/mol/Å, D
UNSTABLE = -1e-3  # eV
NOTES = (
    "heat_of_formation, gradients, dipole, s2: MOPAC's numbers of our solution, which it reaches from our density "
    "(OLDENS), units as in the reference files; mopac: its heat of formation of the solution that it finds by itself; "
    "curvature: lowest eigenvalue of the orbital Hessian, eV, at our solution and at MOPAC's (null: no such rotation); "
    "reason: saddle (MOPAC's solution is no minimum), minimum (both are, ours is lower), higher (both are, MOPAC's is "
    "lower), turned (equal energies, the field has less symmetry than the molecule); start: density of "
    "MOPAC's solution, lower triangles of each spin by rows in MOPAC's order of orbitals"
)


def geometry(entry: dict) -> Geometry:
    """What MOPAC is given."""
    positions = np.array(entry["positions"])
    return Geometry(
        entry["id"], tuple(entry["symbols"]), positions, entry["charge"], entry["multiplicity"], entry["uhf"]
    )


def to_file(density: torch.Tensor, n_atoms: int) -> bytes:
    """MOPAC's density file of spin densities [spin, n, n] in its order of orbitals: Fortran's unformatted records."""
    n = density.shape[1]
    lower = torch.tril_indices(n, n)
    blocks = [d[lower[0], lower[1]].numpy().tobytes() for d in density]
    records = [np.array([n, n_atoms], "i4").tobytes() + blocks[0], *blocks[1:]]
    return b"".join(np.array(len(r), "i4").tobytes() * 1 + r + np.array(len(r), "i4").tobytes() for r in records)


def from_file(data: bytes, n: int, spins: int) -> torch.Tensor:
    """The lower triangles [spin, n (n+1) / 2] of MOPAC's density file."""
    size = n * (n + 1) // 2
    first = np.frombuffer(data, "f8", size, 12)
    second = np.frombuffer(data, "f8", size, 12 + 8 * size + 8) if spins == 2 else first
    return torch.tensor(np.stack([first, second][:spins]))


def curvature(entry: dict, method: str, density: torch.Tensor) -> float | None:
    """Lowest eigenvalue of the orbital Hessian at a converged density [1, spin, n, n], eV."""
    systems, model = to_systems([entry]), NDDO(method, uhf=bool(entry["uhf"]))
    with torch.no_grad():
        builder = FockBuilder.from_integrals(model.field(systems).integrals)
        n_occupied = occupations(systems, model.method)[:, : density.shape[1]]
        state = start(builder, density, n_occupied, 1, 1.0)
        if not state.reference.gap.numel() or not bool(torch.isfinite(state.reference.gap).any()):
            return None
        return round(float(lowest_curvature(builder, state, n_occupied)[0]), 4)


def record(entry: dict, method: str) -> dict:
    """What is known of both solutions of one entry."""
    uhf, g = bool(entry["uhf"]), geometry(entry)
    order, spins, n = rows(entry, method), 2 if uhf else 1, len(entry["symbols"])
    ours, off = run([entry], method, uhf)
    assert ours.scf is not None
    density = ours.scf.density[0][:, order][:, :, order]
    of_ours, _ = run_with_density(g, entry["method"], KEYWORDS, to_file(density, n))
    by_itself, last = run_with_density(g, entry["method"], KEYWORDS + " DENOUT")
    triangles = from_file(last, order.shape[0], spins)
    for decimals in (3, 5, 8):
        begin = [[round(float(v), decimals) + 0.0 for v in t] for t in triangles]
        there, left = run([entry], method, uhf, "first", square(begin, order))
        if good(left):
            break
    assert there.scf is not None
    kept = deviations([of_ours], ours, to_systems([entry]), method)
    values = (curvature(entry, method, ours.scf.density), curvature(entry, method, there.scf.density))
    heat = float(off.heat_of_formation[0])
    if abs(heat) < TOLERANCE["heat"]:
        reason = "turned"
    elif heat > 0:
        reason = "higher"
    else:
        reason = "saddle" if values[1] is not None and values[1] < UNSTABLE else "minimum"
    result = {
        "id": entry["id"],
        "reason": reason,
        "mopac": entry["heat_of_formation"],
        **{key: of_ours[key] for key in ("heat_of_formation", "gradients", "dipole", "s2") if key in of_ours},
        "curvature": values,
        "start": begin,
    }
    checks = {
        "mopac stays at ours": worst(kept),
        "ours stays at mopac's": worst(left),
        "mopac repeats": abs(by_itself["heat_of_formation"] - entry["heat_of_formation"]),
    }
    print(f"{entry['id']:32s} {heat:10.4f} {reason:8s} {values} {decimals} {checks}", flush=True)
    return result


def worst(off) -> tuple[float, float, float]:
    return tuple(round(float(t[0]), 5) for t in (off.heat_of_formation, off.gradient, off.dipole))


def good(off) -> bool:
    heat, gradient, dipole = worst(off)
    return abs(heat) < TOLERANCE["heat"] and gradient < 5 * TOLERANCE["gradient"] and dipole < TOLERANCE["dipole"]


def special(name: str) -> list[tuple[dict, str]]:
    """Entries whose default solution is not MOPAC's."""
    chosen = []
    for key in sorted({(e["method"], bool(e["uhf"])) for e in entries(name)}):
        group = [e for e in entries(name) if (e["method"], bool(e["uhf"])) == key]
        method = NAMES.get(key[0], key[0])
        _, off = run(group, method, key[1])
        for k, e in enumerate(group):
            heat = abs(float(off.heat_of_formation[k])) > TOLERANCE["heat"]
            turned = float(off.dipole[k]) > TOLERANCE["dipole"] + 1.5 * e.get("dipole_noise", 0.0)
            if heat or turned:
                chosen.append((e, method))
    return chosen


def main() -> None:
    torch.set_num_threads(1)
    path = Path(__file__).parent / "other_solutions.json"
    results = []
    for name in SETS:
        for entry, method in special(name):
            try:
                results.append({"set": name} | record(entry, method))
            except (ValueError, SCFConvergenceError) as error:
                print(f"failed: {entry['id']}: {error}", flush=True)
    made = {"program": "MOPAC", "version": "22.0.6 (Debian package mopac)", "notes": NOTES, "systems": results}
    write(made, path)


if __name__ == "__main__":
    main()
