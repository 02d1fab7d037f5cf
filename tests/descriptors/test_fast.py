"""The compiled path equals the torch definition: values, both contractions, second derivatives, threads."""

import pytest
import torch
from ase.build import bulk

from bp_descriptors import Cutoff, Function, Pairs, SymmetryFunctions
from bp_descriptors.cutoffs import CUTOFF_KINDS
from bp_descriptors.fast import Neighborhood

CLOSE = {"rtol": 1e-10, "atol": 1e-11}


def set_of(cutoff: Cutoff) -> SymmetryFunctions:
    functions = []
    for center in "HCNO":
        functions += [Function(center, "G2", cutoff, (s,), 1.3, 1.1) for s in "HCNO"]
        functions += [
            Function(center, "W2", cutoff, (), 2.0, 1.5),
            Function(center, "S2", cutoff, (), 2.0, 1.5),
            Function(center, "G3", cutoff, ("C",), kappa=2.0),
        ]
        for zeta in (1.0, 2.0, 3.0, 4.0, 13.0, 16.0, 1.5):
            shape = {"zeta": zeta, "lambda_": 1.0 if center < "D" else -1.0}
            functions += [Function(center, "G4", cutoff, ("H", "C"), 0.1, **shape)]
            functions += [Function(center, "G5", cutoff, ("N", "C"), 0.3, 0.8, **shape)]
            functions += [Function(center, kind, cutoff, (), 0.2, 0.5, **shape) for kind in ("W4", "W5", "S4", "S5")]
    return SymmetryFunctions(functions)


def both(sf, inputs):
    numbers, vectors, pairs = inputs
    element = sf.element_index(numbers)
    return sf(numbers, vectors, pairs), sf.definition(numbers, element, vectors, pairs)


@pytest.mark.parametrize("kind", CUTOFF_KINDS)
@pytest.mark.parametrize("inner", [0.0, 0.3])
def test_values_and_first_derivatives(mixed, describe_inputs, kind, inner):
    sf = set_of(Cutoff(3.3, kind, 0.0 if kind.startswith("tanh3") else inner))
    inputs = describe_inputs(sf, mixed)
    fast, definition = both(sf, inputs)
    torch.testing.assert_close(fast, definition, **CLOSE)
    weights = torch.randn_like(definition)
    slopes = [torch.autograd.grad(g, inputs[1], weights)[0] for g in (fast, definition)]
    torch.testing.assert_close(*slopes, **CLOSE)


def test_training_on_forces(mixed, describe_inputs):
    """Derivative of a force loss with respect to weights behind G: the push-forward kernel, no definition."""
    sf = set_of(Cutoff(3.3))
    numbers, vectors, pairs = describe_inputs(sf, mixed)
    weights = torch.randn(sf.n_features, requires_grad=True, dtype=torch.float64)
    found = []
    for g in both(sf, (numbers, vectors, pairs)):
        (slope,) = torch.autograd.grad((g @ weights).tanh().sum(), vectors, create_graph=True)
        found.append(torch.autograd.grad(slope.pow(3).sum(), weights)[0])
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_training_does_not_evaluate_the_definition(silicon, describe_inputs, monkeypatch):
    sf = SymmetryFunctions.default(["Si"])
    numbers, vectors, pairs = describe_inputs(sf, [silicon])

    def forbidden(*_):
        raise AssertionError("the definition was evaluated")

    monkeypatch.setattr(sf, "definition", forbidden)
    weights = torch.randn(sf.n_features, requires_grad=True, dtype=torch.float64)
    (slope,) = torch.autograd.grad((sf(numbers, vectors, pairs) @ weights).sum(), vectors, create_graph=True)
    (found,) = torch.autograd.grad(slope.square().sum(), weights)
    assert torch.isfinite(found).all()


def test_second_and_third_derivatives(molecules, describe_inputs):
    sf = set_of(Cutoff(3.0, "poly2"))
    inputs = describe_inputs(sf, molecules[2:4])
    weights = torch.randn(sf.n_features, requires_grad=True, dtype=torch.float64)
    found = []
    for g in both(sf, inputs):
        (first,) = torch.autograd.grad((g @ weights).tanh().sum(), inputs[1], create_graph=True)
        second = torch.autograd.grad(first.pow(2).sum(), (inputs[1], weights), create_graph=True)
        third = torch.autograd.grad(second[0].pow(2).sum() + second[1].sum(), (inputs[1], weights))
        found.append([*second, *third])
    for fast, definition in zip(*found, strict=True):
        torch.testing.assert_close(fast, definition, rtol=1e-9, atol=1e-9)


def test_derivative_of_the_contraction_alone(silicon, describe_inputs):
    """Only g, then only the vectors, require a gradient of the contraction's gradient."""
    sf = SymmetryFunctions.default(["Si"], size="small")
    inputs = describe_inputs(sf, [silicon])
    for create in (True, False):
        found = []
        for g in both(sf, inputs):
            weights = torch.ones_like(g).requires_grad_()
            (slope,) = torch.autograd.grad(g, inputs[1], weights, create_graph=True)
            found.append(torch.autograd.grad(slope.pow(2).sum(), weights, create_graph=create)[0])
        torch.testing.assert_close(*found, **CLOSE)


def test_more_triples_than_one_run(describe_inputs):
    """Dense cells: more triples of a centre than the kernels take at once."""
    atoms = bulk("Cu", cubic=True)
    cutoff = Cutoff(6.0)
    shapes = [{"zeta": z, "lambda_": s} for z in (1.0, 4.0) for s in (1.0, -1.0)]
    sf = SymmetryFunctions([Function("Cu", k, cutoff, ("Cu", "Cu"), 0.05, **s) for k in ("G4", "G5") for s in shapes])
    inputs = describe_inputs(sf, [atoms])
    fast, definition = both(sf, inputs)
    torch.testing.assert_close(fast, definition, rtol=1e-12, atol=0)
    slopes = [torch.autograd.grad(g.sin().sum(), inputs[1])[0] for g in (fast, definition)]
    torch.testing.assert_close(*slopes, **CLOSE)


def test_threads_give_the_same(describe_inputs):
    sf = SymmetryFunctions.default(["Si"], size="small")
    atoms = bulk("Si", cubic=True) * (3, 3, 3)
    atoms.rattle(0.05, seed=1)
    numbers, vectors, pairs = describe_inputs(sf, [atoms])
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            g = sf(numbers, vectors, pairs)
            results.append((g.detach(), torch.autograd.grad(g.square().sum(), vectors)[0]))
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        torch.testing.assert_close(one, three, rtol=0, atol=0)


def test_environment_needs_no_pairs():
    sf = SymmetryFunctions.default(["C"], size="small")
    nothing = torch.zeros(0, dtype=torch.int64)
    environment = Neighborhood(sf.compiled, torch.zeros(3, dtype=torch.int64), nothing, nothing)
    assert environment.forward(torch.zeros(0, 3)).shape == (3, sf.n_features)
    assert environment.pull(torch.zeros(0, 3), torch.ones(3, sf.n_features)).shape == (0, 3)


@pytest.mark.parametrize("kind", ["cos", "poly2"])
def test_derivatives_of_every_order_that_is_used(kind):
    """G, its gradient, and the gradient's own derivatives by vectors and weights, against finite differences."""
    sf = set_of(Cutoff(3.3, kind))
    vectors = torch.tensor([[1.0, 0.2, -0.3], [-0.4, 1.1, 0.2], [-1.0, -0.2, 0.3], [0.4, -1.1, -0.2]])
    pairs = Pairs(torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 0, 0]), torch.zeros(4, 3, dtype=torch.int64), False)
    numbers = torch.tensor([6, 1, 7])
    weights = torch.randn(sf.n_features, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x, w = vectors.double().requires_grad_(), weights.requires_grad_()

    def energy(x, w):
        return (sf(numbers, x, pairs) @ w).tanh()

    def forces(x, w):
        return torch.autograd.grad(energy(x, w).sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(energy, (x, w), fast_mode=True)
    assert torch.autograd.gradgradcheck(energy, (x, w), fast_mode=True)
    assert torch.autograd.gradcheck(forces, (x, w), fast_mode=True)
    assert torch.autograd.gradgradcheck(forces, (x, w), fast_mode=True)
