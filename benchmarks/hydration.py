"""Free energies of hydration beside experiment, MOPAC's COSMO and xtb: ``python -m benchmarks.hydration AM1 PM6 PM7``.

60 molecules and ions of ``hydration.csv``, relaxed in the gas by each method and kept there: the energy in water less
that of the gas. ``--mopac`` and ``--xtb`` run these programs on the same geometries (``EPS=78.4``, ``--alpb water``).

Experiment, kcal/mol, 1 mol/l in both phases: FreeSolv 0.52 (Duarte Ramos Matos et al., J. Chem. Eng. Data 62, 1559
(2017)) for molecules, all 45 as in its database.txt. For ions the cycle of gas-phase basicities or acidities (NIST),
pK_a, and FreeSolv's value of the neutral form, with -265.9 for the proton (Tissandier et al., J. Phys. Chem. A 102,
7787 (1998)), a convention: another value moves all cations one way and all anions the other. Twelve of the fifteen
stand in the Minnesota solvation database with the same convention (Kelly, Cramer & Truhlar, J. Phys. Chem. B 110, 16066
(2006), as redistributed beside MoletoSolv, told by their zero-point energies): phenoxide differs by 0.6, the others by
0.1 or less. Chloride is Kelly's; hydroxide and hydrogen sulfide ion stand unchecked. All are good to 2 or 3.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from nddo_ml import Systems, load_model
from nddo_ml.environments.born import GeneralizedBorn
from nddo_ml.environments.solvent import Solvent
from nddo_ml.models.base import AbstractModel
from nddo_ml.structures.smiles import record_of
from nddo_ml.units import EV_KCAL_MOL, HARTREE_EV
from nddo_ml.workflows.optimize import optimize

DATA = Path(__file__).with_suffix(".csv")
EPS = 78.4
Columns = dict[str, np.ndarray]


def hydration(model: AbstractModel, systems: Systems, seconds: dict[str, float]) -> Columns:
    """Energies in water less those in the gas, kcal/mol, of continuum, continuum with area and generalised Born."""
    kinds = {
        "C-PCM": Solvent(eps=EPS),
        "C-PCM + γA": Solvent("water"),
        "GB": GeneralizedBorn("water", surface_tension=0),
        "GB + γA": GeneralizedBorn("water"),
    }
    gas, found = model(systems, forces=True), {}
    for name, environment in kinds.items():
        begin = time.perf_counter()
        wet = model(systems, forces=True, environment=environment, on_failure="mask")
        seconds[name] = time.perf_counter() - begin
        found[name] = ((wet.energy - gas.energy) * EV_KCAL_MOL).numpy()
    return found


def by_mopac(frames: Sequence[Atoms], method: str) -> np.ndarray:
    """MOPAC's heats of formation with EPS less those without, kcal/mol."""
    found = []
    for atoms in frames:
        heats = []
        for word in (f"EPS={EPS}", ""):
            with tempfile.TemporaryDirectory() as folder:
                lines = [f"{s} {x:.8f} 1 {y:.8f} 1 {z:.8f} 1" for s, (x, y, z) in _rows(atoms)]
                keywords = f"{method} 1SCF GRAD PRECISE CHARGE={atoms.info['charge']} GEO-OK THREADS=1 {word}"
                Path(folder, "in.mop").write_text("\n".join([keywords, "", "", *lines, ""]))
                subprocess.run(["mopac", "in.mop"], cwd=folder, capture_output=True, check=False)
                text = Path(folder, "in.out").read_text(errors="replace")
            heat = re.search(r"FINAL HEAT OF FORMATION =\s+(\S+)", text)
            heats.append(float(heat[1]) if heat else np.nan)
        found.append(heats[0] - heats[1])
    return np.array(found)


def by_xtb(frames: Sequence[Atoms]) -> np.ndarray:
    """GFN2-xTB's energies with ALPB less those without, kcal/mol, 1 mol/l in both phases."""
    found = []
    for atoms in frames:
        energies = []
        for words in (["--alpb", "water"], []):
            with tempfile.TemporaryDirectory() as folder:
                atoms.write(Path(folder, "in.xyz"))
                run = ["xtb", "in.xyz", "--grad", "--chrg", str(atoms.info["charge"]), *words]
                done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=False)
            energy = re.search(r"TOTAL ENERGY\s+(\S+) Eh", done.stdout)
            energies.append(float(energy[1]) * HARTREE_EV * EV_KCAL_MOL if energy else np.nan)
        found.append(energies[0] - energies[1])
    return np.array(found)


def _rows(atoms: Atoms) -> zip:
    return zip(atoms.symbols, atoms.positions, strict=True)


def line(name: str, found: np.ndarray, expected: np.ndarray, chosen: np.ndarray) -> str:
    """Mean signed and unsigned error, correlation, largest error."""
    good = chosen & np.isfinite(found)
    error = found[good] - expected[good]
    r = np.corrcoef(found[good], expected[good])[0, 1]
    numbers = f"{error.mean():9.2f}{np.abs(error).mean():9.2f}{r:8.3f}{error[abs(error).argmax()]:9.2f}"
    return f"{name:34s}{good.sum():4d}{numbers}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["AM1", "PM6", "PM7"])
    parser.add_argument("--mopac", action="store_true")
    parser.add_argument("--xtb", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with DATA.open() as file:
        rows = list(csv.DictReader(file))
    experiment = np.array([float(row["experiment"]) for row in rows])
    ions = np.array([row["charge"] != "0" for row in rows])
    start = [record_of(row["smiles"]).atoms for row in rows]
    kept: dict[str, dict[str, list[float]]] = {}
    for name in options.models:
        model = load_model(name)
        known = [k for k, atoms in enumerate(start) if set(atoms.numbers.tolist()) <= model.elements]
        charges = [int(rows[k]["charge"]) for k in known]
        systems = Systems.from_ase([start[k] for k in known], charges, [1] * len(known))
        relaxed = optimize(systems, model, fmax=0.02, max_steps=300)
        systems = systems.with_positions(relaxed.systems.positions)
        frames = systems.to_ase()
        for atoms, k in zip(frames, known, strict=True):
            atoms.info["charge"] = int(rows[k]["charge"])
        seconds: dict[str, float] = {}
        columns = hydration(model, systems, seconds)
        if options.mopac and name in ("AM1", "PM3", "PM6", "PM7", "RM1", "MNDO"):
            begin = time.perf_counter()
            columns["MOPAC EPS"] = by_mopac(frames, name)
            seconds["MOPAC EPS"] = (time.perf_counter() - begin) / 2
        if options.xtb:
            begin = time.perf_counter()
            columns["GFN2 ALPB"] = by_xtb(frames)
            seconds["GFN2 ALPB"] = (time.perf_counter() - begin) / 2
        for column, found in columns.items():
            full = np.full(len(rows), np.nan)
            full[known] = found
            columns[column] = full
        report(name, columns, experiment, ions, seconds)
        kept[name] = {column: found.tolist() for column, found in columns.items()}
    if options.json:
        record = {"smiles": [row["smiles"] for row in rows], "experiment": experiment.tolist(), "found": kept}
        options.json.write_text(json.dumps(record))


def report(name: str, columns: Columns, experiment: np.ndarray, ions: np.ndarray, seconds: dict[str, float]) -> None:
    """The table of a model."""
    print(f"\n{name}, kcal/mol{'':19s}   n     mean      MAE       r  largest    seconds")
    for label, chosen in (("molecules", ~ions), ("ions", ions)):
        for column, found in columns.items():
            print(line(f"  {label}: {column}", found, experiment, chosen), f"{seconds[column]:10.2f}")
    if "MOPAC EPS" in columns:
        for column in ("C-PCM", "GB"):
            for label, chosen in (("molecules", ~ions), ("ions", ions)):
                print(line(f"  {label}: {column} − MOPAC", columns[column], columns["MOPAC EPS"], chosen))


if __name__ == "__main__":
    main()
