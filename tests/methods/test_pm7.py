"""Agreement with MOPAC 22.0.6 on tests/references/pm7.json and pm6_dh.json, closed shells."""

from __future__ import annotations

import pytest
import torch
from reference_data import entries, run, to_systems

from nddo_ml import NDDO
from nddo_ml.terms.hydrogen_bonds_eh import HydrogenBondsEH
from nddo_ml.terms.pm6 import FlatNitrogen
from nddo_ml.units import EV_KCAL_MOL

# another solution of the field, lower than MOPAC's
LOWER = {"PM7/atom:Mg", "PM7/BiBi@2.8712", "PM7/B-OH1*0.95", "PM7/Bi-OH1", "PM7/Pd(CO)4"}
# not understood: heat of formation, kcal/mol, of helium at a short distance; gradient, kcal/mol/Å, of a long chain
UNLIKE = {"PM7/He+H2O~0.05": 0.04}
STEEP = {"PM6-DH+/hexadecane": 0.12}
NO_D = "Tl"  # has no complete d orbitals in PM7's table, and is left out


def check(name: str, method: str, step: int) -> None:
    chosen = [e for e in entries(name) if not e["uhf"] and NO_D not in e["symbols"] and e["id"] not in LOWER][::step]
    prediction, off = run(chosen, method, uhf=False)
    systems, model = to_systems(chosen), NDDO(method)
    # MOPAC differentiates these numerically and drops small parts
    coarse = torch.zeros(systems.n_systems, dtype=torch.bool)
    for term in model.all_terms:
        if isinstance(term, HydrogenBondsEH | FlatNitrogen):
            coarse |= term.energy(systems).abs() * EV_KCAL_MOL > 1e-6
    bad = []
    for k, e in enumerate(chosen):
        heat, gradient, dipole = (float(t[k]) for t in (off.heat_of_formation, off.gradient, off.dipole))
        noise = 1.5 * e.get("gradient_noise", 0.0), 1.5 * e.get("dipole_noise", 0.0)
        if (
            abs(heat) > UNLIKE.get(e["id"], 0.005)
            or (not coarse[k] and gradient > STEEP.get(e["id"], 0.02) + noise[0])
            or dipole > 0.002 + noise[1]
        ):
            bad.append((e["id"], heat, gradient, dipole))
    assert not bad
    assert prediction.scf is not None
    assert bool(prediction.scf.converged.all())


@pytest.mark.parametrize(("name", "method"), [("pm7", "PM7"), ("pm6_dh", "PM6-DH+")])
def test_sample_of_the_reference(name: str, method: str) -> None:
    check(name, method, 4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), [("pm7", "PM7"), ("pm6_dh", "PM6-DH+")])
def test_all_of_the_reference(name: str, method: str) -> None:
    check(name, method, 1)


def test_thallium_is_refused_by_name() -> None:
    assert 81 not in NDDO("PM7").elements
    assert 81 in NDDO("PM6").elements
