"""SOAP against its definition: independent of a rotation of the inputs, quicker than Adam where they are correlated."""

import torch
from torch import nn

from nddo_ml.training.optimizers import Adam
from nddo_ml.training.soap import SOAP


def _regression(spread, seed=0):
    """Inputs [256, 6] with standard deviations from 1 to 10^-spread, and targets linear in them."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    inputs = torch.randn(256, 6, generator=generator, dtype=torch.float64) * torch.logspace(0, -spread, 6)
    inputs = inputs @ turn
    return inputs, inputs @ torch.randn(6, 6, generator=generator, dtype=torch.float64), turn


def _fit(inputs, targets, kind, steps):
    p = nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))
    optimizer = kind([p], 0.0)
    for step in range(steps):
        p.grad = None
        loss = (inputs @ p.T - targets).square().mean()
        loss.backward()
        optimizer.step(0.1 * (1 - step / steps))
    return float(loss.detach()), p.detach()


def test_soap_is_quicker_where_inputs_are_correlated():
    inputs, targets, _ = _regression(2.0)
    adam, _ = _fit(inputs, targets, Adam, 200)
    soap, _ = _fit(inputs, targets, SOAP, 200)
    assert soap < 0.1 * adam


def test_soap_hardly_sees_a_rotation_of_the_inputs():
    """Not to the last digit: the numbers added to the diagonals do not turn with the inputs."""
    inputs, targets, turn = _regression(1.0)
    change = {}
    for kind in (Adam, SOAP):
        (here, _), (there, _) = _fit(inputs, targets, kind, 60), _fit(inputs @ turn.T, targets, kind, 60)
        change[kind] = abs(here / there - 1)
    assert change[SOAP] < 0.02
    assert change[Adam] > 0.2


def test_vectors_get_adam():
    p, q = (nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64)) for _ in range(2))
    soap = SOAP([p])
    mean = square = torch.zeros(2, dtype=torch.float64)
    for k in range(1, 4):
        p.grad = 2 * p.detach() + k
        g = 2 * q.detach() + k
        mean, square = 0.95 * mean + 0.05 * g, 0.95 * square + 0.05 * g * g
        unbias = 1 - 0.95**k
        q.data -= 0.01 * (mean / unbias) / ((square / unbias).sqrt() + 1e-8)
        soap.step(0.01)
    torch.testing.assert_close(p.detach(), q.detach())


def test_soap_goes_on_from_its_state():
    inputs, targets, _ = _regression(2.0)
    one, other = (nn.Parameter(torch.zeros(6, 6, dtype=torch.float64)) for _ in range(2))
    first = SOAP([one])
    for step in range(30):
        if step == 13:
            other.data = one.detach().clone()
            second = SOAP([other])
            second.load_state_dict(first.state_dict())
        for p, optimizer in ((one, first), *([(other, second)] if step >= 13 else [])):
            p.grad = torch.autograd.grad((inputs @ p.T - targets).square().mean(), p)[0]
            optimizer.step(0.01)
    assert torch.equal(one, other)
