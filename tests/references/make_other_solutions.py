"""Where our solution is not MOPAC's: what MOPAC says of ours, and our field of MOPAC's.

``python tests/references/make_other_solutions.py`` with ``mopac`` on the PATH, after the reference files are made; with
names of sets, these alone are made anew.
Every entry of these is solved as by default. Where its heat of formation, gradient or dipole is not MOPAC's,

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

from reference_data import NAMES, Deviations, deviations, entries, padded, rows, run, square, to_systems

from nddo_ml import NDDO
from nddo_ml.methods.occupation import occupations
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import start
from nddo_ml.scf.newton import lowest_curvature

SETS = ("sp_methods", "mndod", "pm6", "older_metals", "pm6_d3h4", "pm7", "pm6_dh")
HEAT, GRADIENT, DIPOLE = 0.001, 0.05, 0.005  # kcal/mol, kcal/mol/Å, D; larger deviations are another solution
PM7_HEAT = 0.002  # kcal/mol, to which PM7 agrees
DECIMALS = 4  # of the densities that are kept
UNSTABLE = -1e-3  # eV
KEPT = ("heat_of_formation", "gradients", "dipole", "s2")
NOTES = (
    "heat_of_formation, gradients, dipole, s2: MOPAC's numbers of our solution, which it reaches from our density "
    "(OLDENS), units as in the reference files; mopac: its heat of formation of the solution that it finds by itself; "
    "curvature: lowest eigenvalue of the orbital Hessian, eV, at our solution and at MOPAC's (null: no such rotation); "
    "reason: saddle (MOPAC's solution is no minimum), minimum (both are, ours is lower), higher (both are, MOPAC's is "
    "lower), turned (equal energies, the field has less symmetry than the molecule), chance (MOPAC, asked again, "
    "finds another solution than before); start: density of "
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
    return b"".join(np.array(len(r), "i4").tobytes() + r + np.array(len(r), "i4").tobytes() for r in records)


def from_file(data: bytes, n: int, spins: int) -> torch.Tensor:
    """The lower triangles [spin, n (n+1) / 2] of MOPAC's density file."""
    size = n * (n + 1) // 2
    first = np.frombuffer(data, "f8", size, 12)
    second = np.frombuffer(data, "f8", size, 12 + 8 * size + 8) if spins == 2 else first
    return torch.tensor(np.stack([first, second][:spins]))


def by_itself(entry: dict) -> tuple[float, bytes]:
    """What MOPAC says when asked again, less what it said, and its density.

    Where the last digits decide which solution it finds, it is asked with its usual criterion of convergence too.
    """
    for keywords in (KEYWORDS, KEYWORDS.replace("RELSCF=0.001 ", "")):
        result, density = run_with_density(geometry(entry), entry["method"], keywords + " DENOUT")
        change = result["heat_of_formation"] - entry["heat_of_formation"]
        if abs(change) < HEAT:
            break
    return change, density


def curvatures(chosen: list[dict], method: str, uhf: bool, density: torch.Tensor) -> list[float | None]:
    """Lowest eigenvalues of the orbital Hessian at converged densities [systems, spin, M, M], eV."""
    systems, model = to_systems(chosen), NDDO(method, uhf=uhf)
    with torch.no_grad():
        builder = FockBuilder.from_integrals(model.hamiltonian(systems).integrals)
        n_occupied = occupations(systems, model.method)[:, : density.shape[1]]
        state = start(builder, density, n_occupied, 1, 1.0)
        values = lowest_curvature(builder, state, n_occupied)[0].tolist()
    some = torch.isfinite(state.origin.gap).flatten(1).any(dim=1).tolist()
    return [round(v, 4) + 0.0 if k else None for v, k in zip(values, some, strict=True)]


def record(chosen: list[dict], method: str, uhf: bool) -> list[dict]:
    """What is known of both solutions of some entries of one method and spin treatment."""
    ours, off = run(chosen, method, uhf)
    assert ours.scf is not None
    orders = [rows(e, method) for e in chosen]
    starts, of_ours, repeated = [], [], []
    for k, entry in enumerate(chosen):
        density = ours.scf.density[k][:, orders[k]][:, :, orders[k]]
        data = to_file(density, len(entry["symbols"]))
        of_ours.append(run_with_density(geometry(entry), entry["method"], KEYWORDS, data)[0])
        again, last = by_itself(entry)
        repeated.append(again)
        triangles = from_file(last, orders[k].shape[0], density.shape[0])
        starts.append([[round(float(v), DECIMALS) + 0.0 for v in t] for t in triangles])
    guess = padded([square(t, order) for t, order in zip(starts, orders, strict=True)])
    there, left = run(chosen, method, uhf, "first", guess)
    assert there.scf is not None
    kept = deviations(of_ours, ours, to_systems(chosen), method)
    values = [curvatures(chosen, method, uhf, p.scf.density) for p in (ours, there)]
    results = []
    for k, entry in enumerate(chosen):
        heat = float(off.heat_of_formation[k])
        reason = "turned" if abs(heat) < HEAT else "higher" if heat > 0 else "minimum"
        if reason == "minimum" and values[1][k] is not None and values[1][k] < UNSTABLE:
            reason = "saddle"
        if reason == "turned" and float(kept.gradient[k]) > GRADIENT:
            continue  # the same solution, at a jump of MOPAC's overlap
        if abs(repeated[k]) > HEAT:
            reason, starts[k] = "chance", []
        elif reason == "turned" and float(left.gradient[k]) > GRADIENT:
            starts[k] = []  # from there the field turns again
        result = {"id": entry["id"], "reason": reason, "mopac": entry["heat_of_formation"]}
        result |= {
            key: of_ours[k][key] for key in ("heat_of_formation", "gradients", "dipole", "s2") if key in of_ours[k]
        }
        results.append(result | {"curvature": [values[0][k], values[1][k]], "start": starts[k]})
        checks = f"MOPAC from ours {numbers(kept, k)}, ours from MOPAC's {numbers(left, k)}, again {repeated[k]:.4f}"
        print(f"{entry['id']:32s} {heat:10.4f} {reason:8s} {values[0][k]} {values[1][k]} {checks}", flush=True)
    return results


def numbers(off: Deviations, k: int) -> tuple[float, ...]:
    return tuple(round(float(t[k]), 5) for t in (off.heat_of_formation, off.gradient, off.dipole))


def special(chosen: list[dict], method: str, uhf: bool) -> list[dict]:
    """Entries whose default solution is not MOPAC's."""
    _, off = run(chosen, method, uhf)
    noise = [torch.tensor([1.5 * e.get(key, 0.0) for e in chosen]) for key in ("gradient_noise", "dipole_noise")]
    heat = PM7_HEAT if method in ("PM7", "PM6-DH+") else HEAT
    other = (off.heat_of_formation.abs() > heat) | (off.dipole > DIPOLE + noise[1])
    if "-D3" not in method:  # whose gradients MOPAC does not differentiate from its energies
        other |= off.gradient > GRADIENT + noise[0]
    return [e for e, k in zip(chosen, other.tolist(), strict=True) if k]


def main() -> None:
    torch.set_num_threads(1)
    asked = sys.argv[1:] or SETS
    results = [e for e in entries("other_solutions") if e["set"] not in asked]
    for name in asked:
        for method, uhf in sorted({(e["method"], bool(e["uhf"])) for e in entries(name)}):
            group = [e for e in entries(name) if (e["method"], bool(e["uhf"])) == (method, uhf)]
            known = NAMES.get(method, method)
            chosen = special(group, known, uhf)
            if chosen:
                results += [{"set": name} | r for r in record(chosen, known, uhf)]
    made = {"program": "MOPAC", "version": "22.0.6 (Debian package mopac)", "notes": NOTES, "systems": results}
    write(made, Path(__file__).parent / "other_solutions.json")


if __name__ == "__main__":
    main()
