"""Kernels of structures: DScribe's as reference, limits, invariances, gradients, complaints."""

import numpy as np
import pytest
import torch
from ase.build import molecule

from bp_descriptors import SymmetryFunctions
from bp_descriptors.kernels import average_kernel, kernel_distance, local_kernel, rematch_kernel

WATER, AMIDE = molecule("H2O"), molecule("CH3CONH2")


@pytest.fixture(scope="module")
def described():
    sf = SymmetryFunctions.default(["H", "C", "N", "O"], size="small")
    return sf.describe(AMIDE), sf.describe(molecule("CH3CH2NH2"))


@pytest.mark.parametrize("alpha", [1.0, 0.1])
def test_dscribe_has_the_same(described, alpha):
    kernels = pytest.importorskip("dscribe.kernels")
    rows = [(g / g.norm(dim=1, keepdim=True)).numpy() for g in described]
    average = kernels.AverageKernel(metric="linear").create(rows)
    match = kernels.REMatchKernel(metric="linear", alpha=alpha, threshold=1e-12).create(rows)
    assert float(average_kernel(*described)) == pytest.approx(average[0, 1], rel=1e-10)
    assert float(rematch_kernel(*described, alpha=alpha)) == pytest.approx(match[0, 1], rel=1e-7)


def test_limits_of_the_match(described):
    """A very soft match is the average; a sharp one of a structure with itself pairs every atom with itself."""
    first, second = described
    assert float(rematch_kernel(first, second, alpha=1e5)) == pytest.approx(
        float(average_kernel(first, second)), abs=1e-5
    )
    sharp = rematch_kernel(first, second, alpha=0.05)
    assert sharp < average_kernel(first, second)
    assert float(kernel_distance(rematch_kernel(first, first))) == pytest.approx(0.0, abs=1e-7)


def test_invariance(described):
    first, second = described
    order = torch.randperm(first.shape[0])
    for kernel in (average_kernel, rematch_kernel):
        torch.testing.assert_close(kernel(first[order], second), kernel(first, second))
        torch.testing.assert_close(kernel(second, first), kernel(first, second))


@pytest.mark.parametrize(("kernel", "options"), [(average_kernel, {}), (rematch_kernel, {"alpha": 1.0})])
def test_gradient(kernel, options):
    rng = np.random.default_rng(0)
    first, second = (torch.tensor(rng.random((n, 4)), requires_grad=True) for n in (3, 5))
    assert torch.autograd.gradcheck(lambda a, b: kernel(a, b, zeta=2.0, **options), (first, second), atol=1e-6)


def test_what_does_not_fit_is_named(described):
    first, _ = described
    with pytest.raises(ValueError, match="of one set"):
        local_kernel(first, first[:, :3])
    with pytest.raises(ValueError, match="atom 1 of the second"):
        average_kernel(first, first * (torch.arange(len(first)) != 1)[:, None])
    with pytest.raises(ValueError, match="alpha must be positive"):
        rematch_kernel(first, first, alpha=0.0)
