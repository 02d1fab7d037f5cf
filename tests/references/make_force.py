"""Vibrations by MOPAC's FORCE THERMO: ``python tests/references/make_force.py``, with ``mopac`` on the PATH."""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from ase.build import molecule

MOLECULES = ("H2O", "CO2", "CH4", "C2H6", "CH3CONH2", "C6H6", "CH3")
METHODS = ("AM1", "PM6", "PM7")
TEMPERATURES = (298, 400)
NOTES = (
    "optimised (GNORM=0.01), then FORCE THERMO at the positions rounded to 6 digits; positions Å; frequencies cm-1; "
    "zero_point kcal/mol; symmetry_number; at the temperatures K: enthalpy cal/mol (without the zero-point energy), "
    "entropy cal/K/mol, heat_of_formation kcal/mol. MOPAC differentiates forces numerically."
)


def run(keywords: str, symbols: list[str], positions: list[list[float]], folder: Path) -> tuple[str, str]:
    """Output and AUX file of one job."""
    lines = [f"{s} {x:.6f} 1 {y:.6f} 1 {z:.6f} 1" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    (folder / "job.mop").write_text("\n".join([f"{keywords} GEO-OK LET PRECISE AUX(PRECISION=9)", "", "", *lines, ""]))
    subprocess.run(["mopac", "job.mop"], cwd=folder, capture_output=True, check=True)
    return (folder / "job.out").read_text(), (folder / "job.aux").read_text()


def values(aux: str, key: str) -> list[float]:
    """The last block of this name."""
    block = re.findall(rf"^ {re.escape(key)}\[\d+\]=\s*\n(.*?)(?=^ [A-Z#])", aux, re.M | re.S)[-1]
    return [float(v) for v in block.split()]


def record(name: str, method: str, folder: Path) -> dict:
    """One molecule of ASE's g2 set in one method."""
    atoms = molecule(name)
    symbols = atoms.get_chemical_symbols()
    spin = " UHF DOUBLET" if name == "CH3" else ""
    _, aux = run(f"{method}{spin} GNORM=0.01 RELSCF=0.001", symbols, atoms.positions.tolist(), folder)
    flat = values(aux, "ATOM_X_OPT:ANGSTROMS")
    positions = [[round(v, 6) for v in flat[k : k + 3]] for k in range(0, len(flat), 3)]
    first, last = TEMPERATURES
    keywords = f"{method}{spin} FORCE THERMO({first},{last},{last - first}) RELSCF=0.001"
    out, aux = run(keywords, symbols, positions, folder)
    temperatures = values(aux, "THERMODYNAMIC_PROPERTIES_TEMPS:K")
    at = [len(temperatures) - 1 - temperatures[::-1].index(t) for t in TEMPERATURES]
    linear = "MOLECULE IS LINEAR" in out
    count = 3 * len(symbols) - (5 if linear else 6)
    return {
        "molecule": name,
        "method": method,
        "keywords": keywords,
        "symbols": symbols,
        "positions": positions,
        "frequencies": sorted(values(aux, "VIB._FREQ:CM(-1)")[:count]),
        "zero_point": float(re.search(r"ZERO_POINT_ENERGY:KCAL/MOL=\s*(\S+)", aux)[1]),
        "symmetry_number": int(re.search(r"SYMMETRY NUMBER FOR POINT-GROUP .*=\s*(\d+)", out)[1]),
        "temperatures": list(TEMPERATURES),
        "enthalpy": [values(aux, "ENTHALPY_TOT:CAL/MOL")[k] for k in at],
        "entropy": [values(aux, "ENTROPY_TOT:CAL/K/MOL")[k] for k in at],
        "heat_of_formation": [values(aux, "H_O_F(T):KCAL/MOL")[k] for k in at],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = [record(name, m, Path(folder)) for name in MOLECULES for m in METHODS]
    target = Path(__file__).with_name("force.json")
    target.write_text(json.dumps({"program": "MOPAC 22.0.6", "notes": NOTES, "records": found}, indent=1) + "\n")
