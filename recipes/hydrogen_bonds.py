"""How much of a method's H4 term a hybrid needs: its charges bind hydrogen bonds better than the parent's.

    python recipes/hydrogen_bonds.py energies dimers.extxyz recipes/data/hydrogen_bonds.extxyz
    python recipes/hydrogen_bonds.py fit recipes/data/hydrogen_bonds.extxyz hybrid-chno

The first gives ten small dimers (geometries by GFN2-xTB 6.5.1; ``first``: atoms of the first molecule) their binding
energies by counterpoise-corrected MP2/aug-cc-pVTZ with density fitting, with PySCF (nddo-ml[label]), in four minutes.
The second fits one factor for the depths of the method's published H4 to them by least squares. No geometry is taken
from a benchmark set.
"""

import sys

import ase.io
import numpy as np
import torch
from ase import Atoms

from nddo_ml import NDDO, Systems, load_model
from nddo_ml.terms.catalog import terms_of
from nddo_ml.terms.hydrogen_bonds import HydrogenBondsH4
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
    """The factor of the method's own H4, and errors of the binding energies with H4 as published and with the factor.

    Errors are in kcal/mol; an H4 term that the model brings is taken out first.
    """
    frames = [part for d in dimers for part in (d, d[: d.info["first"]], d[d.info["first"] :])]
    systems = Systems.from_ase(frames)
    brought, published = (
        next(term for term in terms if isinstance(term, HydrogenBondsH4)).energy(systems)
        for terms in (model.all_terms, terms_of(model.method.name))
    )
    energies = torch.stack((model(systems).energy - brought, published)).detach().numpy() * EV_KCAL_MOL
    field, bonds = energies.reshape(2, -1, 3) @ [1, -1, -1]
    missing = np.array([d.info["binding"] * EV_KCAL_MOL for d in dimers]) - field
    scale = float((bonds @ missing) / (bonds @ bonds))
    return scale, bonds - missing, scale * bonds - missing


if __name__ == "__main__":
    task, source, target = sys.argv[1:]
    dimers = ase.io.read(source, ":")
    if task == "energies":
        for dimer in dimers:
            dimer.info["binding"] = round(binding(dimer), 6)
        ase.io.write(target, dimers)
    else:
        scale, before, after = factor(dimers, load_model(target))
        errors = [f"{np.abs(e).mean():.2f}" for e in (before, after)]
        print(f"factor {scale:.3f}; MAE {errors[0]} as published, {errors[1]} kcal/mol with it")
