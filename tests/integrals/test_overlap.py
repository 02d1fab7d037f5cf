"""Overlaps of Slater orbitals: Mulliken's closed forms, the definition by quadrature, smoothness."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nddo_ml.integrals.angular import harmonics
from nddo_ml.integrals.overlap import local_overlap

S, X, Y, Z = range(4)
WIDTHS = {1: 1, 2: 4, 3: 9}  # of atoms whose highest principal quantum number is the key


def overlap(r: torch.Tensor, zeta_a: torch.Tensor, zeta_b: torch.Tensor, n_a: int, n_b: int) -> torch.Tensor:
    """All shells of an atom with one exponent and one principal quantum number."""
    numbers = [torch.full((len(r), 3), n) for n in (n_a, n_b)]
    exponents = [zeta[:, None].expand(-1, 3) for zeta in (zeta_a, zeta_b)]
    return local_overlap(r, *exponents, *numbers, WIDTHS[n_a], WIDTHS[n_b])


@pytest.mark.parametrize("p", [0.3, 1.0, 2.5, 7.0])
def test_closed_forms_of_equal_exponents(p: float) -> None:
    """Mulliken, Rieke, Orloff & Orloff, J. Chem. Phys. 17, 1248 (1949), eqs. 25–30; p = ζR."""
    zeta = torch.tensor([1.3], dtype=torch.float64)
    r, decay = p / zeta, np.exp(-p)
    assert float(overlap(r, zeta, zeta, 1, 1)[0, S, S]) == pytest.approx(decay * (1 + p + p**2 / 3), rel=1e-12)
    second = overlap(r, zeta, zeta, 2, 2)[0]
    of_s = decay * (1 + p + 4 * p**2 / 9 + p**3 / 9 + p**4 / 45)
    of_pi = decay * (1 + p + 2 * p**2 / 5 + p**3 / 15)
    of_sigma = decay * (-1 - p - p**2 / 5 + 2 * p**3 / 15 + p**4 / 15)  # both lobes towards each other
    assert float(second[S, S]) == pytest.approx(of_s, rel=1e-12)
    assert float(second[X, X]) == pytest.approx(of_pi, rel=1e-12)
    assert float(second[Y, Y]) == pytest.approx(of_pi, rel=1e-12)
    assert float(second[Z, Z]) == pytest.approx(-of_sigma, rel=1e-11)


def by_quadrature(r: float, zeta_a: float, zeta_b: float, n: int) -> np.ndarray:
    """∫ χ_a χ_b of normalised Slater orbitals on a grid in prolate spheroidal coordinates, [9, 9]."""
    (nu, w_nu), (t, w_t) = np.polynomial.legendre.leggauss(60), np.polynomial.laguerre.laggauss(60)
    phi = np.arange(12) * np.pi / 6
    decay = 0.5 * r * (zeta_a + zeta_b)
    mu = 1 + t / decay
    m, v, f = np.meshgrid(mu, nu, phi, indexing="ij")
    weight = (w_t * np.exp(t) / decay)[:, None, None] * w_nu[None, :, None] * (np.pi / 6)
    weight = weight * (0.5 * r) ** 3 * (m**2 - v**2)
    across, z = 0.5 * r * np.sqrt((m**2 - 1) * (1 - v**2)), 0.5 * r * (1 + m * v)
    values = []
    for zeta, height in ((zeta_a, 0.0), (zeta_b, r)):
        point = np.stack((across * np.cos(f), across * np.sin(f), z - height))
        distance = np.sqrt((point**2).sum(axis=0))
        radial = (2 * zeta) ** (n + 0.5) / np.sqrt(float(np.prod(range(1, 2 * n + 1))))
        radial = radial * distance ** (n - 1) * np.exp(-zeta * distance)
        x = point / distance
        angular = [
            sum(c * np.prod([x[k] ** q for k, q in enumerate(p)], axis=0) for p, c in h.items()) for h in harmonics()
        ]
        values.append(np.stack([radial * (a + 0 * distance) for a in angular]))
    return np.einsum("aijk,bijk,ijk->ab", *values, weight)


def test_orbitals_of_different_exponents_by_quadrature() -> None:
    """Far from equal exponents, where no power series stands for the exponential."""
    r, zeta_a, zeta_b = 4.0, 2.9, 1.1
    found = overlap(*(torch.tensor([v], dtype=torch.float64) for v in (r, zeta_a, zeta_b)), 3, 3)[0]
    norm = by_quadrature(1e-6, zeta_a, zeta_a, 3)[S, S]  # of the angular functions
    assert np.abs(found.numpy() - by_quadrature(r, zeta_a, zeta_b, 3) / norm).max() < 1e-10


def test_derivatives_where_one_series_goes_over_into_the_next() -> None:
    """|t| = ½R|ζ_a − ζ_b| at the ends of the series 0.5, 1, 2 and 3, within and beside the ranges of the change."""
    t = torch.tensor([b + d for b in (0.5, 1.0, 2.0, 3.0) for d in (-0.02, -0.003, 0.0, 0.003, 0.02)]).double()
    zeta_a, zeta_b, step = torch.full_like(t, 1.9), torch.full_like(t, 0.9), 1e-5

    def value_and_slopes(r: torch.Tensor) -> list[torch.Tensor]:
        r = r.clone().requires_grad_()
        value = overlap(r, zeta_a, zeta_b, 2, 2)[:, S, Z]
        (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
        return [value, slope, torch.autograd.grad(slope.sum(), r)[0]]

    low, here, high = (value_and_slopes(2 * t + k * step) for k in (-1, 0, 1))
    for k in range(2):
        difference = (high[k] - low[k]) / (2 * step)
        assert float((difference - here[k + 1]).detach().abs().max()) < 1e-6


def test_no_jump_between_series() -> None:
    """MOPAC's jump at |t| = 2 is spread out, smooth to second order."""
    t = torch.linspace(1.9, 2.1, 401, dtype=torch.float64)
    value = overlap(2 * t, torch.full_like(t, 2.1), torch.full_like(t, 1.1), 3, 3)[:, S, S]
    bend = value[2:] - 2 * value[1:-1] + value[:-2]
    assert float((bend[1:] - bend[:-1]).abs().max()) < 1e-9


def test_single_precision() -> None:
    arguments = [torch.tensor([v]) for v in (3.0, 1.4, 1.1)]
    single, double = overlap(*arguments, 3, 3), overlap(*(v.double() for v in arguments), 3, 3)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), double, atol=1e-5)
