"""Scaling: every mode written out, fitting in batches, scaling.data, the extrapolation report, errors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bp_descriptors import Scaler, SymmetryFunctions
from bp_descriptors.structures import structures_of

N2P2 = Path(__file__).parents[1] / "data" / "mlearn_si" / "n2p2_model"


@pytest.fixture(scope="module")
def sf():
    functions = SymmetryFunctions.default(["H", "C", "N", "O"], size="small")
    kept = [f for s, fs in functions.functions.items() for f in fs[: 40 if s == "H" else None]]
    return SymmetryFunctions(kept)


@pytest.fixture(scope="module")
def data(sf, molecules):
    return sf.describe(molecules), structures_of(molecules).numbers


@pytest.mark.parametrize("mode", ["none", "center", "minmax", "center_minmax", "sigma"])
def test_modes_written_out(sf, data, mode):
    g, numbers = data
    scaler = Scaler.fit(sf, [data], mode, s_min=-1.0, s_max=2.0)
    scaled = scaler(g, numbers).numpy()
    for number, n_used in ((1, 40), (6, sf.n_features)):
        x = g[numbers == number].numpy()
        mean, low, high = x.mean(0), x.min(0), x.max(0)
        width, sigma = (np.where(w > 0, np.maximum(w, 1e-3 * w.max()), 3.0) for w in (high - low, x.std(0, ddof=1)))
        expected = {
            "none": x,
            "center": x - mean,
            "minmax": -1 + 3 * (x - low) / width,
            "center_minmax": -1 + 3 * (x - mean) / width,
            "sigma": -1 + 3 * (x - mean) / sigma,
        }[mode]
        expected[:, n_used:] = 0.0
        np.testing.assert_allclose(scaled[numbers == number], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["minmax", "sigma"])
def test_rounding_errors_are_not_blown_up(sf, data, mode):
    """A function of 1e-17 in the data, and one of 1e-6, beside others of 1."""
    g, numbers = data[0].clone(), data[1]
    g[:, 0] = 1e-17 * torch.rand(len(g), dtype=torch.float64)
    g[:, 1] = 1e-6 * torch.rand(len(g), dtype=torch.float64)
    scaler = Scaler.fit(sf, [(g, numbers)], mode)
    noise = scaler(g + 1e-17, numbers) - scaler(g, numbers)
    assert noise.abs().max() < 1e-12
    jump = g.clone()
    jump[:, :2] += 0.1
    change = scaler(jump, numbers) - scaler(g, numbers)
    assert change[:, 0].max() == pytest.approx(0.1)
    assert change[:, 1].max() < 1e3 * 0.1 / 0.1


def test_fit_in_batches_equals_fit_at_once(sf, molecules, data):
    batches = ((sf.describe(m), structures_of(m).numbers) for m in molecules)
    one, many = Scaler.fit(sf, [data]), Scaler.fit(sf, batches)
    for name in ("low", "high", "mean", "sigma"):
        torch.testing.assert_close(getattr(many, name), getattr(one, name), rtol=1e-11, atol=1e-13)


def test_gradient_dtype_and_state(sf, data):
    g, numbers = data
    scaler = Scaler.fit(sf, [data])
    x = g.float().requires_grad_()
    scaled = scaler(x, numbers)
    assert scaled.dtype == torch.float32
    (slope,) = torch.autograd.grad(scaled.sum(), x)
    assert torch.isfinite(slope).all()
    again = Scaler(sf, torch.zeros(4, 4, sf.n_features), **scaler.to_dict())
    again.load_state_dict(scaler.state_dict())
    torch.testing.assert_close(again(g, numbers), scaler(g, numbers), rtol=0, atol=0)


def test_scaling_data_of_n2p2(tmp_path):
    sf = SymmetryFunctions.from_n2p2(N2P2 / "input.nn")
    scaler = Scaler.from_n2p2(sf, N2P2 / "scaling.data")
    assert scaler.low.shape == (1, 27)
    assert float(scaler.low[0, 4]) == 4.3605425821501775e-01
    assert float(scaler.sigma[0, 26]) == 9.0515757089365740e-04
    numbers = torch.tensor([14, 14])
    limits = torch.stack([scaler.low[0], scaler.high[0]])
    torch.testing.assert_close(scaler(limits, numbers), torch.tensor([[0.0], [1.0]]).double().expand(2, 27))
    (tmp_path / "scaling.data").write_text(scaler.to_n2p2())
    again = Scaler.from_n2p2(sf, tmp_path / "scaling.data")
    torch.testing.assert_close(again.state_dict(), scaler.state_dict(), rtol=0, atol=0)


def test_extrapolations_are_named(sf, data):
    g, numbers = data
    scaler = Scaler.fit(sf, [data])
    assert scaler.extrapolations(g, numbers) == []
    wild = g.clone()
    wild[0, 3] = scaler.high[3, 3] + 1.0  # the first atom is an oxygen
    wild[1, 5] = -0.5
    first, second = scaler.extrapolations(wild, numbers)
    assert (first.atom, first.element, first.function) == (0, "O", sf.labels["O"][3])
    assert first.value > first.high
    assert (second.atom, second.element, second.value) == (1, "C", -0.5)
    assert second.low > second.value
    assert len(scaler.extrapolations(wild, numbers, margin=1e9)) <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines, lines[-1]], "given twice"),
        (lambda lines: lines[:-1], "function 27 of element 1"),
        (lambda lines: ["1 1 abc 0 0 0", *lines[1:]], "line 1: cannot read"),
        (lambda lines: ["2 1 0 0 0 0", *lines], "line 1: cannot read"),
    ],
)
def test_bad_scaling_data(tmp_path, change, message):
    sf = SymmetryFunctions.from_n2p2(N2P2 / "input.nn")
    lines = (N2P2 / "scaling.data").read_text().splitlines()
    (tmp_path / "scaling.data").write_text("\n".join(change(lines)))
    with pytest.raises(ValueError, match=message):
        Scaler.from_n2p2(sf, tmp_path / "scaling.data")


def test_bad_arguments(sf, data):
    with pytest.raises(ValueError, match="scaling mode"):
        Scaler.fit(sf, [data], "robust")
    with pytest.raises(ValueError, match="must be above"):
        Scaler.fit(sf, [data], "minmax", 1.0, 0.0)
    with pytest.raises(ValueError, match="statistics must have shape"):
        Scaler(sf, torch.zeros(4, 4, 3))
    g = data[0].clone()
    g[2, 0] = torch.nan
    with pytest.raises(ValueError, match="atom 2 of a batch"):
        Scaler.fit(sf, [(g, data[1])])
