"""SOAP through DScribe: the same interface, invariance, derivatives."""

import pytest
import torch
from ase.build import bulk, molecule

from bp_descriptors.soap import SOAP


@pytest.fixture(scope="module")
def soap():
    return SOAP(["O", "H"], cutoff=4.0, n_max=3, l_max=2)


def test_interface(soap):
    water = molecule("H2O")
    g = soap.describe([water, water])
    assert g.shape == (6, soap.n_features)
    torch.testing.assert_close(g[:3], soap.describe(water))
    assert soap.elements == ["H", "O"]
    assert len(soap.labels["H"]) == soap.n_features == soap.features_of(8)
    assert all(soap.labels["O"])
    assert SOAP(**soap.to_dict()).labels == soap.labels
    assert SOAP(["Si"], n_max=2, l_max=2).describe(bulk("Si")).shape[0] == 2


def test_invariance(soap):
    water = molecule("H2O")
    turned = water.copy()
    turned.rotate(73, (1, 2, 3))
    turned.translate((4, -2, 1))
    torch.testing.assert_close(soap.describe(turned), soap.describe(water), rtol=1e-8, atol=1e-10)


def test_derivatives_equal_finite_differences(soap):
    water = molecule("H2O")
    slopes, values = soap.derivatives(water)
    torch.testing.assert_close(values, soap.describe(water))
    step, sides = 1e-4, []
    for sign in (1, -1):
        moved = water.copy()
        moved.positions[1, 2] += sign * step
        sides.append(soap.describe(moved))
    torch.testing.assert_close(slopes[:, 1, 2], (sides[0] - sides[1]) / (2 * step), rtol=1e-5, atol=1e-6)


def test_bad_input(soap):
    with pytest.raises(ValueError, match="structure 1"):
        soap.describe([molecule("H2O"), molecule("CO")])
    with pytest.raises(ValueError, match="empty list"):
        soap.describe([])
    with pytest.raises(ValueError, match="list of element symbols"):
        SOAP("HO")
    with pytest.raises(ValueError, match="no SOAP for atomic number 6"):
        soap.features_of(6)
    with pytest.raises(ValueError, match="is periodic"):
        SOAP(["Si"], n_max=2, l_max=2).derivatives(bulk("Si"))
    assert torch.isfinite(soap.describe(molecule("OH"))).all()
