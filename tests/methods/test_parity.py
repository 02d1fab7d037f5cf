"""Agreement with MOPAC 22.0.6 on tests/references/sp_methods.json."""

from __future__ import annotations

import pytest
import torch
from reference_data import entries, run

METHODS = ("MNDO", "AM1", "PM3", "RM1")
# Our solution lies higher than MOPAC's, one of several minima.
HIGHER = {"MNDO/BiH2~0.05 m2"}
# The field has less symmetry than the molecule, in one of several equal directions, not always MOPAC's; or ours lies
# lower by less than 0.001 kcal/mol, in NH4+ … Cl− where a part of an electron has moved.
OTHER = {
    "AM1/SiSi@2.1534 m3",
    "PM3/TlTl@2.813 m3",
    "PM3/g2:C6H6 m3",
    *(f"PM3/NH4+Cl@{d}" for d in ("9.9", "10.1", "15")),
}
# Here MOPAC's overlap jumps within 0.02 Å of the geometry (see nddo_ml/integrals/overlap.py); ours goes over smoothly,
# with a gradient that differs by up to 0.05 kcal/mol/Å.
AT_A_JUMP = {"AM1/InH2~0.05 m2", "MNDO/SnH4~0.05", "PM3/SeH1~0.05 m2"}


def check(method: str, uhf: bool, step: int) -> None:
    chosen = [e for e in entries("sp_methods") if e["method"] == method and bool(e["uhf"]) == uhf][::step]
    prediction, off = run(chosen, method, uhf)
    assert prediction.scf is not None
    assert bool(prediction.scf.converged.all())
    same = off.heat_of_formation.abs() < 0.001
    bad = []
    for k, e in enumerate(chosen):
        heat, gradient, dipole = (float(t[k]) for t in (off.heat_of_formation, off.gradient, off.dipole))
        noise_g, noise_d = 1.5 * e.get("gradient_noise", 0.0), 1.5 * e.get("dipole_noise", 0.0)
        wrong = heat > 0.001 or (bool(same[k]) and (gradient > 0.002 + noise_g or dipole > 0.002 + noise_d))
        if wrong and e["id"] not in HIGHER | OTHER | AT_A_JUMP:
            bad.append((e["id"], heat, gradient, dipole))
    assert not bad
    # a closed shell has one solution with very few exceptions; an open one may have found a lower
    assert float(same.double().mean()) > (0.8 if uhf else 0.96)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("uhf", [False, True])
def test_sample_of_the_reference(method: str, uhf: bool) -> None:
    check(method, uhf, 4)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("uhf", [False, True])
def test_all_of_the_reference(method: str, uhf: bool) -> None:
    check(method, uhf, 1)


def test_reference_covers_what_it_should() -> None:
    chosen = entries("sp_methods")
    assert len(chosen) >= 300
    assert len({s for e in chosen for s in e["symbols"]}) >= 25
    assert sum(1 for e in chosen if e["charge"] != 0 or e["multiplicity"] > 1) >= len(chosen) / 3


def test_orbital_energies_equal_mopac() -> None:
    closed = [e for e in entries("sp_methods") if e["method"] == "AM1" and not e["uhf"] and not e["charge"]]
    chosen = [e for e in closed if "eigenvalues" in e and e["id"] not in HIGHER][:12]
    assert len(chosen) > 3
    prediction, _ = run(chosen, "AM1", False)
    assert prediction.scf is not None
    for k, e in enumerate(chosen):
        levels = torch.tensor(e["eigenvalues"][0], dtype=torch.float64)
        ours = prediction.scf.orbital_energies[k, 0, : levels.shape[0]]
        assert torch.allclose(ours, levels, atol=2e-4)
