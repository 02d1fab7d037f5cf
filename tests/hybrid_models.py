"""Small hybrids with random weights, and molecules for them."""

from __future__ import annotations

import torch
from ase import Atoms
from ase.build import molecule

from nddo_ml import NDDO, Systems
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.correction import Correction
from nddo_ml.hybrid.features import AtomFeatures
from nddo_ml.hybrid.pair_functions import PairCorrection
from nddo_ml.hybrid.parameter_shifts import ParameterCorrection
from nddo_ml.scf.solve import SCFOptions

CUTOFF = 3.5


def corrections(features: AtomFeatures) -> list[Correction]:
    return [
        ParameterCorrection(features, hidden=(4,), seed=1),
        PairCorrection(features, hidden=(5,), embedding=3, radial=4, seed=2),
        AtomicEnergyCorrection(features, hidden=(4,), seed=3),
    ]


def hybrid(features: AtomFeatures, method: str = "AM1", scale: float = 0.2, **options: object) -> NDDO:
    """All corrections, weights drawn anew so that they do something."""
    model = NDDO(method, correction=corrections(features), scf=SCFOptions(tolerance=1e-11), **options)
    return randomized(model, scale)


def randomized(model: NDDO, scale: float = 0.2) -> NDDO:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


def rattled(name: str, seed: int, amplitude: float = 0.05) -> Atoms:
    atoms = molecule(name)
    atoms.rattle(amplitude, seed=seed)
    return atoms


def batch(*frames: Atoms | str, **options: object) -> Systems:
    return Systems.from_ase([molecule(f) if isinstance(f, str) else f for f in frames], **options)
