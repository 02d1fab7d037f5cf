"""Networks and radii of the compiled core beside torch's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import molecule

from nddo_ml import NDDO, Systems
from nddo_ml.core.library import library
from nddo_ml.core.networks import Networks, solved_radii, versions
from nddo_ml.methods.multipoles import solve_multipoles
from nddo_ml.networks import FeedForward, NetworkShape

pytestmark = pytest.mark.skipif(library() is None, reason="the compiled core was not built")


def test_networks_and_their_slopes() -> None:
    shapes = [
        NetworkShape.uniform(7, (5, 9), "silu", 3),
        NetworkShape.uniform(11, (6,), "tanh", 2),
        NetworkShape.uniform(4, (), "silu", 1),
        NetworkShape.uniform(5, (40, 26), "silu", 2),
    ]
    generator = torch.Generator().manual_seed(0)
    networks = [FeedForward(shape, generator) for shape in shapes]
    for p in (p for n in networks for p in n.parameters()):
        p.data += torch.randn(p.shape, generator=generator, dtype=p.dtype)
    with torch.no_grad():  # blocks, and columns without any weight
        networks[3].linears[1].weight *= torch.block_diag(torch.ones(13, 15), torch.ones(13, 25))
        networks[3].linears[2].weight *= torch.block_diag(torch.ones(1, 13), torch.zeros(1, 13))
    kind = np.array([0, 2, -1, 1, 3, 0, 1, 3] * 15)
    inputs = torch.randn(len(kind), 11, dtype=torch.float64, generator=generator, requires_grad=True)
    core = Networks(networks)
    passed = core.forward(inputs.detach().numpy(), kind)
    weights = torch.randn(len(kind), 3, dtype=torch.float64, generator=generator)
    total = inputs.new_zeros(())
    for k, network in enumerate(networks):
        rows = torch.from_numpy(np.flatnonzero(kind == k))
        out = network(inputs[rows, : network.shape.n_inputs])
        np.testing.assert_allclose(passed.outputs[rows, : out.shape[1]], out.detach(), rtol=0, atol=1e-13)
        total = total + (out * weights[rows, : out.shape[1]]).sum()
    assert not passed.outputs[kind == -1].any()
    (expected,) = torch.autograd.grad(total, inputs)
    found = np.ones((len(kind), 11))
    core.backward(passed, weights.numpy(), found)
    np.testing.assert_allclose(found - 1, expected, rtol=0, atol=1e-13)


def test_weights_that_change_are_noticed() -> None:
    networks = [FeedForward(NetworkShape.uniform(2, (3,), "silu"))]
    before = versions(networks)
    with torch.no_grad():
        networks[0].linears[0].weight.mul_(1.0)
    assert versions(networks) != before


def test_radii() -> None:
    model, systems = NDDO("AM1"), Systems.from_ase(molecule("CH3CONH2"))
    p = model.parameters_of(systems)
    p = replace(p, zeta_s=p.zeta_s * 1.07, zeta_p=p.zeta_p * 0.96, h_sp=p.h_sp * 1.1, g_pp=p.g_pp * 1.03)
    rows = p.width == 4
    expected = solve_multipoles(p, model.parameters_of(systems).multipoles)
    d = expected.separation[rows, :2].numpy()
    hartree = p.constants.hartree_ev
    integral = torch.stack((p.h_sp, 0.5 * (p.g_pp - p.g_p2)), dim=1)[rows].numpy() / hartree
    exact, slope = solved_radii(d, integral, np.ones_like(d))
    radius = exact * expected.factor[rows].numpy()
    np.testing.assert_allclose(radius, expected.radius[rows, 1:3], rtol=1e-12)
    step = 1e-5
    for k, (dd, di) in enumerate([(0.0, step), (step, 0.0)]):
        up, down = (solved_radii(d + s * dd, integral + s * di, exact)[0] for s in (1, -1))
        np.testing.assert_allclose(slope[:, :, k], (up - down) / (2 * step), rtol=1e-6)
