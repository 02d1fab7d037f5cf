"""Excited states by MOPAC's CIS of all orbitals: ``python tests/references/make_cis.py``, ``mopac`` on the PATH."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from ase.build import molecule

ORBITALS = {"H2CO": 10, "C2H4": 12, "H2O": 6, "CH3OH": 12}
METHODS = ("AM1", "PM3", "RM1")
STATE = re.compile(r"^ +\d+\+? +(-?\d+\.\d+) +(-?\d+\.\d+) +\d+ +(SINGLET|TRIPLET)(.*)$", re.M)
NOTES = (
    "energies eV above the ground state of all singles; dipoles: of the singlets' transitions, squares of the "
    "components (e Å)², as MOPAC prints them (POLARIZATION), summed; positions Å, ASE's g2 set"
)


def record(name: str, method: str, folder: Path) -> dict:
    """All states of one molecule in one method."""
    atoms = molecule(name)
    symbols, positions = atoms.get_chemical_symbols(), atoms.positions.round(6).tolist()
    keywords = f"{method} 1SCF CIS C.I.={ORBITALS[name]} MECI SINGLET PRECISE GEO-OK ROOT=1"
    lines = [f"{s} {x:.6f} 1 {y:.6f} 1 {z:.6f} 1" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    (folder / "job.mop").write_text("\n".join([keywords, name, "", *lines, ""]))
    subprocess.run(["mopac", "job.mop"], cwd=folder, capture_output=True, check=True)
    found = STATE.findall((folder / "job.out").read_text())
    states = [(float(above), spin, re.findall(r"\d+\.\d+", rest)) for _, above, spin, rest in found]
    singlets = [(e, sum(map(float, p))) for e, spin, p in states if spin == "SINGLET" and e > 1e-6]
    return {
        "molecule": name,
        "method": method,
        "keywords": keywords,
        "symbols": symbols,
        "positions": positions,
        "singlets": [e for e, _ in singlets],
        "dipoles": [d for _, d in singlets],
        "triplets": [e for e, spin, _ in states if spin == "TRIPLET"],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = [record(name, m, Path(folder)) for name in ORBITALS for m in METHODS]
    target = Path(__file__).with_name("cis.json")
    target.write_text(json.dumps({"program": "MOPAC 22.0.6", "notes": NOTES, "records": found}) + "\n")
