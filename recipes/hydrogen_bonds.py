"""How much of a method's H4 term a hybrid needs: its charges bind hydrogen bonds better than the parent's.

    python recipes/hydrogen_bonds.py energies dimers.extxyz recipes/data/hydrogen_bonds.extxyz
    python recipes/hydrogen_bonds.py fit recipes/data/hydrogen_bonds.extxyz runs/hybrid_chno/model.pt

The first gives ten small dimers (geometries by GFN2-xTB 6.5.1; ``first``: atoms of the first molecule) their binding
energies by counterpoise-corrected MP2/aug-cc-pVTZ with density fitting, with PySCF (nddo-ml[label]), in four minutes.
The second fits one factor for the depths of H4 to them by least squares. None of them is taken from a benchmark set.
"""

import sys

import ase.io
import numpy as np
from ase import Atoms

from nddo_ml import NDDO, Systems, load_model
from nddo_ml.hydrogen_bonds import HydrogenBondsH4
from nddo_ml.units import EV_KCAL_MOL, HARTREE_EV


def energy(atoms: Atoms, ghosts: range) -> float:
    """MP2/aug-cc-pVTZ, eV, cores frozen, with the basis functions but not the charges of ``ghosts``."""
    from pyscf import gto, scf
    from pyscf.mp.dfmp2 import DFMP2

    symbols = [("ghost-" if k in ghosts else "") + s for k, s in enumerate(atoms.get_chemical_symbols())]
    molecule = gto.M(atom=list(zip(symbols, atoms.positions.tolist(), strict=True)), basis="aug-cc-pvtz", verbose=0)
    frozen = sum(z > 2 and k not in ghosts for k, z in enumerate(atoms.numbers))
    perturbed = DFMP2(scf.RHF(molecule).density_fit().run(), frozen=frozen)
    perturbed.kernel()
    return perturbed.e_tot * HARTREE_EV


def binding(dimer: Atoms) -> float:
    """Counterpoise-corrected binding energy, eV."""
    first, n = dimer.info["first"], len(dimer)
    return energy(dimer, range(0)) - energy(dimer, range(first, n)) - energy(dimer, range(first))


def factor(dimers: list[Atoms], model: NDDO) -> tuple[float, np.ndarray, np.ndarray]:
    """The factor, and errors of the binding energies without and with it, kcal/mol."""
    frames = [part for d in dimers for part in (d, d[: d.info["first"]], d[d.info["first"] :])]
    systems = Systems.from_ase(frames)
    h4 = next(term for term in model.all_terms if isinstance(term, HydrogenBondsH4))
    whole, bonds = (
        (e.detach().numpy().reshape(-1, 3) @ [1, -1, -1]) * EV_KCAL_MOL
        for e in (model(systems).energy, h4.energy(systems))
    )
    errors = whole - [d.info["binding"] * EV_KCAL_MOL for d in dimers]
    missing = bonds - errors
    scale = float((bonds @ missing) / (bonds @ bonds))
    return scale, errors, errors + (scale - 1) * bonds


if __name__ == "__main__":
    task, source, target = sys.argv[1:]
    dimers = ase.io.read(source, ":")
    if task == "energies":
        for dimer in dimers:
            dimer.info["binding"] = round(binding(dimer), 6)
        ase.io.write(target, dimers)
    else:
        scale, before, after = factor(dimers, load_model(target))
        print(f"factor {scale:.3f}; MAE {np.abs(before).mean():.2f} before, {np.abs(after).mean():.2f} kcal/mol after")
