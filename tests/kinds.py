"""Every kind of model, small, for the tests that all must pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ase import Atoms
from ase.build import molecule
from hybrid_models import CUTOFF, randomized
from nnp_models import make_nnp

from nddo_ml import NDDO, NNP, AtomFeatures, Systems, load_model
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.correction import Correction
from nddo_ml.hybrid.domain import Domain
from nddo_ml.hybrid.pair_functions import PairCorrection
from nddo_ml.hybrid.parameter_shifts import ParameterCorrection
from nddo_ml.models.base import AbstractModel
from nddo_ml.models.mixture import merged
from nddo_ml.scf.solve import SCFOptions
from nddo_ml.terms.dispersion import DispersionD3
from nddo_ml.terms.screened_repulsion import ScreenedRepulsionZBL

CHNO = ("H", "C", "N", "O")
TIGHT = SCFOptions(tolerance=1e-9)


@dataclass(frozen=True)
class Kind:
    """A kind of model and the molecules that it is tested on."""

    make: Callable[[], AbstractModel]
    molecules: tuple[str, ...] = ("H2O", "CH3OH", "HCN")

    @cached_property
    def model(self) -> AbstractModel:
        """The model, one for all tests: who changes it works on a copy."""
        return self.make()

    @cached_property
    def frames(self) -> tuple[Atoms, ...]:
        """The molecules, out of their equilibria."""
        frames = []
        for k, name in enumerate(self.molecules):
            atoms = molecule(name)
            atoms.rattle(0.03, seed=k)
            frames.append(atoms)
        return tuple(frames)


def hybrid(*make: Callable[[AtomFeatures], Correction], bonded: bool = False, seed_of: str = "AM1") -> NDDO:
    """A hybrid of random weights."""
    features = AtomFeatures.default(list(CHNO), CUTOFF, bonded=bonded)
    return randomized(NDDO(seed_of, correction=[one(features) for one in make], scf=TIGHT))


def shifts(features: AtomFeatures) -> Correction:
    return ParameterCorrection(features, hidden=(4,), seed=1)


def pairs(features: AtomFeatures) -> Correction:
    return PairCorrection(features, hidden=(5,), embedding=3, radial=4, seed=2)


def energies(features: AtomFeatures) -> Correction:
    return AtomicEnergyCorrection(features, hidden=(4,), seed=3)


def fading() -> NDDO:
    """A committee of energies that fades outside its data."""
    plain = AtomFeatures.default(list(CHNO), CUTOFF, bonded=True)
    data = Systems.from_ase([molecule(name) for name in ("H2O", "CH3OH", "HCN", "CH3CHO")])
    domain = Domain.fit(plain(data).values, data.numbers, directions=3, centers=2)
    features = AtomFeatures(plain.functions, plain.scaler, plain.bonded, domain)
    added = AtomicEnergyCorrection(features, hidden=(4,), members=3, uncertainty=(2.0, 0.1))
    return randomized(NDDO("AM1", correction=added, scf=TIGHT))


def with_terms() -> NNP:
    plain = make_nnp(CHNO)
    terms = (DispersionD3(s6=1.0, s_r6=1.0, alpha=16.0), ScreenedRepulsionZBL(begin=0.4, end=1.6))
    made = NNP.from_config({**plain.to_config(), "name": "NNP with terms"})
    made.load_state_dict(plain.state_dict())
    made.terms = terms
    return made


KINDS = {
    "AM1": Kind(lambda: NDDO("AM1", scf=TIGHT)),
    "PM6": Kind(lambda: NDDO("PM6", scf=TIGHT), ("CH3Cl", "H2O", "SO2")),
    "D3H4": Kind(lambda: NDDO("PM3-D3H4", scf=TIGHT)),
    "added dispersion": Kind(lambda: NDDO("RM1", terms=(DispersionD3(),), scf=TIGHT)),
    "shifts": Kind(lambda: hybrid(shifts)),
    "pair functions": Kind(lambda: hybrid(pairs)),
    "atomic energies": Kind(lambda: hybrid(energies)),
    "fading committee": Kind(fading),
    "bonded features": Kind(lambda: hybrid(shifts, energies, bonded=True)),
    "mixture": Kind(lambda: merged([hybrid(shifts), hybrid(energies)])),
    "NNP": Kind(lambda: make_nnp(CHNO)),
    "committee": Kind(lambda: merged([make_nnp(CHNO, seed=k) for k in (0, 7)])),
    "NNP with terms": Kind(with_terms),
    "NNP with charges": Kind(lambda: make_nnp(CHNO, charges="qeq")),
    "committee with charges": Kind(lambda: merged([make_nnp(CHNO, seed=k, charges="charges") for k in (0, 7)])),
    "hybrid": Kind(lambda: load_model("hybrid")),
    "hybrid-chno": Kind(lambda: load_model("hybrid-chno")),
    "nnp-chno": Kind(lambda: load_model("nnp-chno")),
}
