"""Molecules in MOPAC's electric fields and beside its charged sparkles (``make_environments.py``, with ``mopac``).

A sparkle (``+``, ``++``, ``-``) is a charge with an additive radius of half a bohr; MOPAC adds a repulsion of the core
to it, so that the electronic energy is what can be compared. MOPAC's FIELD has the opposite sign of the usual one, and
no matrix elements between p and d orbitals.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from ase.build import molecule
from geometries import DIGITS, Geometry
from make_mopac import KEYWORDS, deck, parse, printed, write

FIELD = (0.3, -0.2, 0.5)  # V/Å, in the usual sign
SITE = (0.5, 0.3, 3.4)  # Å
OFF = np.array([0.4, -0.7, 1.1])  # Å, of ions from the origin
SPARKLES = {"+": 1, "++": 2, "-": -1}
BESIDE = ("H2O", "SO2", "CH3Cl", "CH3", "ZnH2")
METHODS = ("MNDO", "AM1", "PM3", "RM1", "PM6", "PM7", "MNDOD", "PM6-D3H4")
IONS = {"NH4+": ("CH4", 1, 7), "OH-": ("OH", -1, None)}  # of a molecule of ASE, with a charge and another first atom


def systems() -> list[Geometry]:
    """Closed shells, a radical, a triplet and ions off the origin, with and without d orbitals."""
    found = [plain(name) for name in ("H2O", "CH3CONH2", "SO2", "CH3SH", "CH3Cl")]
    found += [plain("CH3", spin=2), plain("O2", spin=3), plain("NO2", spin=2)]
    for name, (of, charge, first) in IONS.items():
        atoms = molecule(of)
        if first is not None:
            atoms.numbers[0] = first
        found.append(Geometry(name, tuple(atoms.symbols), (atoms.positions + OFF).round(DIGITS), charge))
    zinc = np.array([[0, 0, 0], [1.5, 0, 0.1], [-1.45, 0.3, 0]])
    return [*found, Geometry("ZnH2", ("Zn", "H", "H"), zinc), Geometry("TiO", ("Ti", "O"), zinc[:2], 0, 3, True)]


def plain(name: str, spin: int = 1) -> Geometry:
    atoms = molecule(name)
    return Geometry(name, tuple(atoms.symbols), atoms.positions.round(DIGITS), 0, spin, spin > 1)


def run(g: Geometry, method: str, keywords: str, sparkle: str = "") -> tuple[str, str]:
    """The OUT and AUX files of a run."""
    text = deck(g, method, keywords)
    if sparkle:
        text += f"{sparkle} " + " ".join(f"{x:.{DIGITS}f} 1" for x in SITE) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.mop"
        path.write_text(text)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(["mopac", path], cwd=folder, env=environment, capture_output=True, timeout=60, check=False)
        files = (path.with_suffix(s) for s in (".out", ".aux"))
        out, aux = (f.read_text(errors="replace") if f.exists() else "" for f in files)
        return out, aux


def in_field(g: Geometry, method: str) -> dict:
    words = KEYWORDS + " FIELD=(" + ",".join(str(-f) for f in FIELD) + ")"
    found = parse(g, method, *run(g, method, words))
    return {"kind": "field", **{k: v for k, v in found.items() if k != "eigenvalues"}}


def beside(g: Geometry, method: str, sparkle: str) -> dict:
    charge = SPARKLES[sparkle]
    out, _ = run(Geometry(g.name, g.symbols, g.positions, charge, g.spin, g.uhf), method, KEYWORDS, sparkle)
    about = {"kind": "charge", "id": f"{method}/{g.name}", "method": method, "symbols": list(g.symbols), "charge": 0}
    about |= {"positions": g.positions.tolist(), "multiplicity": g.spin, "uhf": g.uhf, "site_charge": charge}
    energy = printed(out, "ELECTRONIC ENERGY")
    if energy is None or "SCF FIELD WAS ACHIEVED" not in out:
        raise ValueError(re.findall(r".*(?:ERROR|NOT AVAILABLE).*", out)[-1:] or "no converged SCF")
    return about | {"electronic_energy": energy}


def main() -> None:
    found, left_out = [], []
    for method in METHODS:
        jobs = [(g, None) for g in systems()]
        if "-" not in method:
            jobs += [(g, s) for k, g in enumerate(systems()) if g.name in BESIDE for s in [*SPARKLES][k % 3 :][:2]]
        for g, sparkle in jobs:
            try:
                found.append(in_field(g, method) if sparkle is None else beside(g, method, sparkle))
            except (ValueError, IndexError) as error:
                left_out.append(f"{method}/{g.name} {sparkle or 'field'}: {error}")
    notes = f"field {FIELD} V/Å; charges at {SITE} Å, additive radius 0.5 bohr; {__doc__.splitlines()[2]}"
    made = {"program": "MOPAC", "version": "22.0.6 (Debian package mopac)", "keywords": KEYWORDS, "notes": notes}
    write(made | {"left_out": left_out, "systems": found}, Path(__file__).parent / "environments.json")


if __name__ == "__main__":
    main()
