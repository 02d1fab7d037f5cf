"""One-centre integrals: Slater's closed forms, MOPAC's printed values, invariance, derivatives."""

from __future__ import annotations

import pytest
import torch

from nddo_ml.integrals.angular import coulomb_coupling, harmonics, product_multipoles
from nddo_ml.integrals.one_center import from_radial, sp_radial
from nddo_ml.integrals.packing import packed_index
from nddo_ml.integrals.rotate import product_rotation
from nddo_ml.methods.slater_condon import F0_DD, F0_SD, F2_DD, F4_DD, G1_PD, G2_SD, G3_PD, slater_condon
from nddo_ml.units import HARTREE_EV

# PM6 chlorine: g_ss, g_sp, g_pp, g_p2, h_sp (eV), internal exponents (1/bohr).
CHLORINE = (11.142654, 7.487881, 9.551886, 8.128436, 5.004267)
CHLORINE_ZETA = (0.956297, 2.464067, 6.410325)
S, X, Y, Z, X2Y2, XZ, Z2, YZ, XY = range(9)


def chlorine(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    radial = slater_condon(torch.tensor([CHLORINE_ZETA], dtype=dtype), torch.tensor([[3, 3, 3]]), HARTREE_EV)
    sp = sp_radial(*(torch.tensor([g], dtype=dtype) for g in CHLORINE))
    return torch.cat((sp, radial[:, 5:]), dim=1)


def rotation_matrix(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))
    q = q * torch.sign(torch.diagonal(r))
    return q * torch.sign(torch.linalg.det(q))


def orbital_values(points: torch.Tensor) -> torch.Tensor:
    """The nine angular functions at points [n, 3]."""
    x, y, z = points.T
    values = [sum(c * x ** p[0] * y ** p[1] * z ** p[2] for p, c in f.items()) for f in harmonics()]
    return torch.stack([v.expand(points.shape[0]) for v in values], dim=1)


@pytest.mark.parametrize(("n", "factor"), [(1, 5 / 8), (2, 93 / 256)])
def test_coulomb_integral_of_one_shell(n: int, factor: float) -> None:
    """F0 of two electrons in one Slater shell is 5/8 ζ (1s) and 93/256 ζ (2s) hartree (Roothaan 1951)."""
    zeta = torch.tensor([[1.3, 1.3, 1.3]], dtype=torch.float64)
    value = slater_condon(zeta, torch.tensor([[n, max(n, 2), 3]]), HARTREE_EV)[0, 0]
    assert value == pytest.approx(factor * 1.3 * HARTREE_EV, rel=1e-13)


def test_slater_condon_parameters_of_mopac() -> None:
    """MOPAC 22.0.6, HCl with PM6 and DEBUG HCORE: the Slater–Condon parameters of chlorine."""
    radial = chlorine()[0]
    printed = {
        F0_DD: 45.02800352,
        F2_DD: 23.76888055,
        F4_DD: 15.50144384,
        F0_SD: 8.67075800,
        G2_SD: 0.05252179,
        G1_PD: 4.67265761,
        G3_PD: 2.78947066,
    }
    for term, value in printed.items():
        assert radial[term] == pytest.approx(value, abs=1e-8)


def test_integrals_of_mopac() -> None:
    """MOPAC 22.0.6, HCl with PM6 and DEBUG HCORE: integrals of chlorine, printed with four decimals."""
    w, at = from_radial(chlorine(), 9)[0], packed_index(9)
    printed = {
        (X, X, X2Y2, S): 0.0913,
        (X, X, Z2, S): -0.0527,
        (X, X, Z2, Z2): 21.5638,
        (X, X, YZ, YZ): 21.2092,
        (X, S, X2Y2, X): 0.4126,
        (X, S, Z2, X): -0.2382,
        (Y, X, Y, X): 0.7117,
        (Y, X, YZ, XZ): 0.5319,
    }
    for (i, j, k, l), value in printed.items():
        assert w[at[i, j], at[k, l]] == pytest.approx(value, abs=6e-5), (i, j, k, l)


def test_s_and_p_integrals_are_the_parameters() -> None:
    g_ss, g_sp, g_pp, g_p2, h_sp = CHLORINE
    w, at = from_radial(chlorine()[:, :5], 4)[0], packed_index(4)
    expected = torch.zeros(10, 10, dtype=torch.float64)
    expected[0, 0] = g_ss
    for i in (X, Y, Z):
        expected[0, at[i, i]] = expected[at[i, i], 0] = g_sp
        expected[at[i, S], at[i, S]] = h_sp
        for k in (X, Y, Z):
            expected[at[i, i], at[k, k]] = g_pp if i == k else g_p2
            if i != k:
                expected[at[i, k], at[i, k]] = 0.5 * (g_pp - g_p2)
    torch.testing.assert_close(w, expected, atol=1e-13, rtol=0)
    torch.testing.assert_close(from_radial(chlorine()[:, :1], 1)[0, 0, 0], expected[0, 0])


def test_rotation_of_the_atom_changes_nothing() -> None:
    """The integrals are those of a sphere: any rotation of the orbitals leaves them as they are."""
    points = torch.nn.functional.normalize(
        torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), dim=1
    )
    turn = torch.linalg.lstsq(orbital_values(points), orbital_values(points @ rotation_matrix(2))).solution.T
    torch.testing.assert_close(turn @ turn.T, torch.eye(9, dtype=torch.float64))
    w = from_radial(chlorine(), 9)
    products = product_rotation(turn[None])
    torch.testing.assert_close(products @ w @ products.transpose(1, 2), w, atol=1e-11, rtol=0)


def test_blocks_nest_and_are_symmetric() -> None:
    w = from_radial(chlorine(), 9)
    torch.testing.assert_close(w, w.transpose(1, 2), atol=0, rtol=0)
    torch.testing.assert_close(w[:, :10, :10], from_radial(chlorine(), 4), atol=1e-13, rtol=0)


def test_angular_factors_of_condon_and_shortley() -> None:
    """⟨p0|C_20|p0⟩ = 2/5, ⟨d0|C_20|d0⟩ = 2/7, ⟨p0|C_10|d0⟩ = 2/√15; Σ over F2(pp) of (zz|zz) = 4/25."""
    moments, at = product_multipoles(9), packed_index(9)
    assert moments[Z2, at[Z, Z]] == pytest.approx(2 / 5, abs=1e-15)
    assert moments[Z2, at[Z2, Z2]] == pytest.approx(2 / 7, abs=1e-15)
    assert moments[Z, at[Z2, Z]] == pytest.approx(2 / 15**0.5, abs=1e-15)
    assert moments[:, at[XY, X2Y2]].abs().max() < 1e-15
    assert coulomb_coupling(2, 4)[at[Z, Z], at[Z, Z]] == pytest.approx(4 / 25, abs=1e-15)


def test_batch_equals_loop() -> None:
    zeta = torch.tensor([CHLORINE_ZETA, (1.6, 0.8, 2.1), (2.0, 4.0, 0.7)], dtype=torch.float64)
    n = torch.tensor([[3, 3, 3], [4, 4, 3], [6, 6, 5]])
    together = slater_condon(zeta, n, HARTREE_EV)
    alone = torch.cat([slater_condon(zeta[k : k + 1], n[k : k + 1], HARTREE_EV) for k in range(3)])
    torch.testing.assert_close(together, alone, atol=0, rtol=0)


def test_derivatives() -> None:
    n = torch.tensor([[3, 3, 3], [5, 5, 4]])
    zeta = torch.tensor([CHLORINE_ZETA, (0.9, 1.4, 1.3)], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: from_radial(slater_condon(z, n, HARTREE_EV), 9)[:, ::7, ::5], (zeta,), fast_mode=True
    )


def test_single_precision() -> None:
    w = from_radial(chlorine(torch.float32), 9)
    assert w.dtype == torch.float32
    torch.testing.assert_close(w.double(), from_radial(chlorine(), 9), atol=2e-5, rtol=1e-6)
