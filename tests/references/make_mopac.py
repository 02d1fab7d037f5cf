"""Make a reference file with MOPAC: ``python tests/references/make_mopac.py sp_methods`` (or another set).

Every system is one MOPAC run (1SCF GRADIENTS, Cartesian frame kept) in a temporary directory; numbers come
from the AUX file with all its digits. Systems that MOPAC refuses or does not converge are left out,
and listed. A second run with a tighter SCF says how far MOPAC's own numbers are converged (see NOTES).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import sets
from geometries import DIGITS, Geometry

KEYWORDS = "PRECISE RELSCF=0.001 1SCF GRADIENTS AUX(PRECISION=9,XP,XS) NOREOR NOSYM GEO-OK DISP"
SPINS = ["SINGLET", "DOUBLET", "TRIPLET", "QUARTET", "QUINTET", "SEXTET", "SEPTET", "OCTET", "NONET"]
NOTES = (
    "positions Å; heat_of_formation kcal/mol; gradients kcal/mol/Å; dipole D, of ions relative to the "
    "centre of mass (MOPAC's convention); charges e; energies and eigenvalues (alpha, beta) eV; s2 = <S^2>. "
    "lower: heat of formation of a lower SCF solution that MOPAC finds with RELSCF=0.00001; "
    "gradient_noise, dipole_noise: largest change of a component in that run where it exceeds 0.0005 "
    "(the solution being the same): MOPAC's density is less converged than usual there"
)
CORRECTIONS = {  # parts of the heat of formation that MOPAC prints, kcal/mol
    "dispersion": "DISPERSION ENERGY",
    "hydrogen_bond": "H-BOND ENERGY",
    "hh_repulsion": "H - H CORRECTION ENERGY",
}
NUMBER = re.compile(r"[-+]?\d*\.\d+(?:[DE][-+]?\d+)?")


def deck(g: Geometry, method: str, keywords: str = KEYWORDS) -> str:
    """The MOPAC input of one system; a line ends within 80 characters or is continued by ``+``."""
    words = [method, keywords]
    if g.charge:
        words.append(f"CHARGE={g.charge}")
    if g.uhf or g.spin > 1:
        words.append(f"UHF {SPINS[g.spin - 1]}")
    lines = [" ".join(words), g.name, ""]
    for symbol, xyz in zip(g.symbols, g.positions, strict=True):
        lines.append(f"{symbol:2s} " + " ".join(f"{v:.{DIGITS}f} 1" for v in xyz))
    return "\n".join(lines) + "\n"


def identity(method: str, g: Geometry) -> str:
    """Unique name of a run: AM1/g2:C6H6 +1 m2."""
    charge = f" {g.charge:+d}" if g.charge else ""
    return f"{method}/{g.name}{charge}" + (f" m{g.spin}" if g.uhf or g.spin > 1 else "")


def values(aux: str, key: str) -> list[float]:
    """All numbers of the last block ``key`` in an AUX file."""
    blocks = re.findall(rf"^ {re.escape(key)}(?:\[\d+\])?=(.*?)(?=^ [A-Z#]|\Z)", aux, re.M | re.S)
    return [float(v.replace("D", "E")) for v in NUMBER.findall(blocks[-1])] if blocks else []


def printed(out: str, label: str) -> float | None:
    match = re.findall(rf"{re.escape(label)}\s*=\s*(-?\d+\.\d+)", out)
    return float(match[-1]) if match else None


def run_mopac(g: Geometry, method: str, keywords: str = KEYWORDS) -> dict:
    """One MOPAC run; raises ValueError with the reason when it gives no converged result."""
    return run_with_density(g, method, keywords)[0]


def run_with_density(g: Geometry, method: str, keywords: str, density: bytes | None = None) -> tuple[dict, bytes]:
    """One MOPAC run that starts from a density file, where one is given, and the file of its own last density."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.mop"
        stored = path.with_suffix(".den")
        if density is not None:
            stored.write_bytes(density)
            keywords += " OLDENS"
        path.write_text(deck(g, method, keywords))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            process = subprocess.run(
                ["mopac", path], cwd=folder, env=environment, capture_output=True, timeout=120, check=False
            )
        except subprocess.TimeoutExpired:
            raise ValueError("more than 120 s") from None
        if process.returncode < 0:
            raise ValueError(f"MOPAC crashed (signal {-process.returncode})")
        out = path.with_suffix(".out").read_text(errors="replace") if path.with_suffix(".out").exists() else ""
        aux = path.with_suffix(".aux").read_text(errors="replace") if path.with_suffix(".aux").exists() else ""
        last = stored.read_bytes() if stored.exists() else b""
    return parse(g, method, out, aux), last


def run_checked(g: Geometry, method: str) -> dict:
    """A run, and what a tighter SCF criterion changes."""
    result = run_mopac(g, method)
    try:
        tight = run_mopac(g, method, KEYWORDS.replace("RELSCF=0.001", "RELSCF=0.00001"))
    except ValueError:
        return result
    change = tight["heat_of_formation"] - result["heat_of_formation"]
    if change < -1e-4:
        return result | {"lower": tight["heat_of_formation"]}
    if change > 1e-4:
        return result
    for key, name in (("gradients", "gradient_noise"), ("dipole", "dipole_noise")):
        noise = float(np.abs(np.subtract(tight[key], result[key])).max())
        if noise > 5e-4:
            result[name] = round(noise, 5)
    return result


def parse(g: Geometry, method: str, out: str, aux: str) -> dict:
    if "SCF FIELD WAS ACHIEVED" not in out or "UNABLE TO ACHIEVE" in out:
        refusals = re.findall(r"DATA ARE NOT AVAILABLE.*|.*ERROR.*|UNABLE TO ACHIEVE", out)
        raise ValueError(refusals[-1].strip() if refusals else "no converged SCF")
    n = len(g.symbols)
    positions = np.reshape(values(aux, "ATOM_X:ANGSTROMS"), (-1, 3))
    gradients = values(aux, "GRADIENTS:KCAL/MOL/ANGSTROM") if n > 1 else [0.0] * 3  # MOPAC prints none for an atom
    if positions.shape != (n, 3) or np.abs(positions - g.positions).max() > 1e-9 or len(gradients) != 3 * n:
        raise ValueError("MOPAC changed the frame or gave no gradient")
    dipole = values(aux, "DIP_VEC:DEBYE") or [0.0] * 3  # not printed where it is zero
    result = {
        "id": identity(method, g),
        "method": method,
        "symbols": list(g.symbols),
        "positions": [[round(float(v), DIGITS) for v in row] for row in g.positions],
        "charge": g.charge,
        "multiplicity": g.spin,
        "uhf": g.uhf or g.spin > 1,
        "heat_of_formation": round(values(aux, "HEAT_OF_FORMATION:KCAL/MOL")[0], 8),
        "gradients": [[round(v, 5) + 0.0 for v in gradients[k : k + 3]] for k in range(0, 3 * n, 3)],
        "dipole": [round(v, 6) + 0.0 for v in dipole],
        "charges": [round(v, 6) + 0.0 for v in values(aux, "ATOM_CHARGES")],
        "total_energy": printed(out, "TOTAL ENERGY"),
        "electronic_energy": printed(out, "ELECTRONIC ENERGY"),
        "core_energy": printed(out, "CORE-CORE REPULSION"),
    }
    if "-D3" in method:
        result |= {key: printed(out, label) or 0.0 for key, label in CORRECTIONS.items()}
    if result["uhf"]:
        result["s2"] = round(values(aux, "TOTAL_SPIN")[0], 8)
    if n <= 2:
        keys = ("ALPHA_EIGENVALUES", "BETA_EIGENVALUES") if result["uhf"] else ("EIGENVALUES",)
        result["eigenvalues"] = [[round(v, 5) for v in values(aux, key)] for key in keys]
    return result


def make(jobs: list[tuple[str, Geometry]], workers: int) -> dict:
    """All runs of a set; the systems in the order of the jobs, and what MOPAC could not do."""
    jobs = [(method, frozen(g)) for method, g in jobs]
    names = Counter(identity(*job) for job in jobs)
    repeated = [name for name, count in names.items() if count > 1]
    if repeated:
        raise SystemExit(f"names used twice: {repeated}")

    def attempt(job: tuple[str, Geometry]) -> dict:
        try:
            return run_checked(job[1], job[0])
        except ValueError as error:
            return {"id": identity(*job), "reason": str(error)[:160]}

    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(attempt, jobs))
    return {
        "program": "MOPAC",
        "version": "22.0.6 (Debian package mopac)",
        "keywords": KEYWORDS + "; CHARGE=n for ions; UHF and DOUBLET, TRIPLET, ... where uhf is true",
        "notes": NOTES,
        "systems": [r for r in results if "reason" not in r],
        "left_out": [r for r in results if "reason" in r],
    }


def frozen(g: Geometry) -> Geometry:
    """The geometry with the very digits that MOPAC reads."""
    return Geometry(g.name, g.symbols, np.round(g.positions, DIGITS) + 0.0, g.charge, g.multiplicity, g.uhf)


def write(reference: dict, path: Path) -> None:
    """JSON with one system a line."""
    parts = []
    for key, value in reference.items():
        if isinstance(value, list):
            lines = [json.dumps(item, separators=(",", ":"), ensure_ascii=False) for item in value]
            parts.append(f'"{key}": [\n' + ",\n".join(lines) + "\n]")
        else:
            parts.append(f'"{key}": {json.dumps(value, ensure_ascii=False)}')
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=sorted(sets.SETS))
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    reference = make(sets.SETS[arguments.set](), arguments.workers)
    path = Path(__file__).parent / f"{arguments.set}.json"
    write(reference, path)
    for item in reference["left_out"]:
        print(f"left out: {item['id']}: {item['reason']}")
    print(f"{path.name}: {len(reference['systems'])} systems, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
