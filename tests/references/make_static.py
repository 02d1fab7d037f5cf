"""Polarisabilities by MOPAC's STATIC: ``python tests/references/make_static.py``, with ``mopac`` on the PATH."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from ase.build import molecule

NUMBER = r"\s+(\S+)"
TENSOR = re.compile(
    rf"Polarizability Tensor from Heat of Formation:.*?\n -+\n\s+1{NUMBER}\n\s+2{2 * NUMBER}\n\s+3{3 * NUMBER}", re.S
)
AVERAGE = re.compile(r"Average Polarizability from:.*?\n\s+([\d.]+)")
NOTES = (
    "STATIC: polarisability, atomic units, from the heats of formation in fields of 0.002 and 0.004 a.u.; average and "
    "lower triangle (xx, yx, yy, zx, zy, zz). All but RM1 are fitted to experiment by MOPAC."
)


def record(name: str, method: str, folder: Path) -> dict:
    """One molecule of ASE's g2 set in one method."""
    atoms = molecule(name)
    symbols, positions = atoms.get_chemical_symbols(), atoms.positions.round(6).tolist()
    keywords = f"{method} 1SCF STATIC LET RELSCF=0.0001 GEO-OK"
    lines = [f"{s} {x:.6f} 1 {y:.6f} 1 {z:.6f} 1" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    (folder / "job.dat").write_text("\n".join([keywords, name, "", *lines, ""]))
    subprocess.run(["mopac", "job.dat"], cwd=folder, capture_output=True, check=True)
    text = (folder / "job.out").read_text()
    lower = [float(number) for number in TENSOR.search(text).groups()]
    average = float(AVERAGE.search(text)[1])
    return {
        "molecule": name,
        "method": method,
        "keywords": keywords,
        "symbols": symbols,
        "positions": positions,
        "average": average,
        "lower": lower,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        methods = ("MNDO", "AM1", "PM3", "PM6", "PM7", "RM1")
        found = [record(name, m, Path(folder)) for name in ("H2O", "CH3CONH2", "C5H5N") for m in methods]
    target = Path(__file__).with_name("static.json")
    target.write_text(json.dumps({"program": "MOPAC 22.0.6", "notes": NOTES, "records": found}, indent=1) + "\n")
