"""Cut-off functions and the single terms: values written out, slopes, ends, derivatives of the norm."""

import math

import pytest
import torch

from bp_descriptors import Cutoff, norm
from bp_descriptors import functions as terms
from bp_descriptors.cutoffs import CUTOFF_KINDS

AT_HALF = {  # f_c(R/2) for R = 4
    "cos": 0.5,
    "tanh3": math.tanh(0.5) ** 3,
    "tanh3n": (math.tanh(0.5) / math.tanh(1.0)) ** 3,
    "exp": math.exp(1 - 1 / 0.75),
    "poly1": 0.5,
    "poly2": 0.5,
    "poly3": 0.5,
    "poly4": 0.5,
}


@pytest.mark.parametrize("kind", CUTOFF_KINDS)
def test_values(kind):
    cutoff = Cutoff(4.0, kind)
    r = torch.tensor([0.0, 2.0, 4.0, 5.0], dtype=torch.float64)
    at_zero = math.tanh(1.0) ** 3 if kind == "tanh3" else 1.0
    expected = torch.tensor([at_zero, AT_HALF[kind], 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(cutoff(r), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("kind", [k for k in CUTOFF_KINDS if not k.startswith("tanh3")])
def test_inner_radius(kind):
    """1 up to the inner radius; beyond it the function of the rescaled distance."""
    r = torch.tensor([0.3, 1.0, 2.5, 3.9], dtype=torch.float64)
    outer = Cutoff(3.0, kind)((r - 1.0).clamp(min=0))
    torch.testing.assert_close(Cutoff(4.0, kind, 0.25)(r), outer, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", CUTOFF_KINDS)
def test_derivatives(kind):
    cutoff = Cutoff(4.0, kind, 0.0 if kind.startswith("tanh3") else 0.2)
    r = torch.tensor([0.5, 1.3, 2.7, 3.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cutoff, r)
    assert torch.autograd.gradgradcheck(cutoff, r)
    edge = torch.tensor([4.0, 4.1, 4.0 - 1e-7], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(cutoff(edge).sum(), edge)
    assert slope.abs().max() < 1e-6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4.0, "cosine"), "must be one of cos"),
        ((-1.0,), "positive number of Å"),
        ((math.inf,), "positive number of Å"),
        ((4.0, "cos", 1.0), "fraction from 0 to 1"),
        ((4.0, "tanh3", 0.2), "no inner radius"),
    ],
)
def test_bad_cutoffs(arguments, message):
    with pytest.raises(ValueError, match=message):
        Cutoff(*arguments)


def test_terms_written_out():
    r_a, r_b, r_ab, cosine = (torch.tensor(v, dtype=torch.float64) for v in (1.2, 1.5, 2.0, -0.1))
    cutoff = Cutoff(3.0)
    fc = [0.5 * (1 + math.cos(math.pi * float(r) / 3.0)) for r in (r_a, r_b, r_ab)]
    gauss = [math.exp(-0.7 * (float(r) - 0.9) ** 2) for r in (r_a, r_b, r_ab)]
    assert float(terms.g1(r_a, cutoff)) == pytest.approx(fc[0], rel=1e-14)
    assert float(terms.g2(r_a, 0.7, 0.9, cutoff)) == pytest.approx(gauss[0] * fc[0], rel=1e-14)
    assert float(terms.g3(r_a, 2.2, cutoff)) == pytest.approx(math.cos(2.2 * 1.2) * fc[0], rel=1e-14)
    shape = 2 ** (1 - 5) * (1 - 1 * -0.1) ** 5
    narrow = terms.g4(r_a, r_b, r_ab, cosine, 0.7, 5.0, -1.0, cutoff, 0.9)
    wide = terms.g5(r_a, r_b, cosine, 0.7, 5.0, -1.0, cutoff, 0.9)
    assert float(narrow) == pytest.approx(shape * math.prod(gauss) * math.prod(fc), rel=1e-13)
    assert float(wide) == pytest.approx(shape * gauss[0] * gauss[1] * fc[0] * fc[1], rel=1e-13)


@pytest.mark.parametrize("zeta", [1.0, 2.0, 3.0, 1.5, 16.0])
def test_angular_term_is_differentiable_when_collinear(zeta):
    cosine = torch.tensor([-1.0, 1.0, 0.3], dtype=torch.float64, requires_grad=True)
    value = terms.angular(cosine, zeta, 1.0)
    torch.testing.assert_close(value.detach(), 2 ** (1 - zeta) * (1 + cosine.detach()) ** zeta, rtol=1e-12, atol=1e-12)
    (first,) = torch.autograd.grad(value.sum(), cosine, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), cosine) if first.requires_grad else (torch.zeros(3),)
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()


def test_norm_of_zero_has_finite_derivatives():
    v = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    r = norm(v)
    assert r.tolist() == [5.0, 0.0]
    (slope,) = torch.autograd.grad(r.sum(), v, create_graph=True)
    torch.testing.assert_close(slope.detach(), torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64))
    (second,) = torch.autograd.grad(slope.sum(), v)
    assert torch.isfinite(second).all()
