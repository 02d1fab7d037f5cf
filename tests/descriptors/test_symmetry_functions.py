"""Symmetry functions: derivatives, invariance, batches, element sets, edge cases, the dictionary and back."""

import json
import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from bp_descriptors import Cutoff, Function, SymmetryFunctions, neighbor_list, pair_vectors
from bp_descriptors.structures import structures_of

ELEMENTS = ["H", "C", "N", "O"]


def everything(inner: float = 0.0) -> SymmetryFunctions:
    """Every kind at least once, a different set for each central element."""
    functions = []
    for n, center in enumerate(ELEMENTS[: None if inner == 0 else 2]):
        near, far = Cutoff(3.0, "cos", inner), Cutoff(4.2, "poly2")
        functions += [Function(center, "G1", far, (s,)) for s in ELEMENTS[: n + 1]]
        functions += [Function(center, "G2", far, (s,), 1.3, 1.1) for s in ELEMENTS]
        functions += [
            Function(center, "G3", near, ("H",), kappa=1.7),
            Function(center, "W2", far, (), 0.7, 0.9),
            Function(center, "S2", far, (), 0.8, 0.9),
        ]
        for zeta, lambda_ in ((1.0, 1.0), (1.0, -1.0), (4.0, 1.0), (2.5, -1.0), (7.0, -1.0)):
            shape = {"zeta": zeta, "lambda_": lambda_}
            functions += [
                Function(center, "G4", far, ("H", "C"), 0.1, **shape),
                Function(center, "G5", near, ("C", "C"), 0.3, 0.8, **shape),
                Function(center, "W4", near, (), 0.2, 0.5, **shape),
                Function(center, "W5", far, (), 0.2, **shape),
                Function(center, "S4", far, (), 0.2, 0.3, **shape),
                Function(center, "S5", near, (), 0.1, 0.4, **shape),
            ]
    return SymmetryFunctions(functions)


@pytest.fixture(scope="module")
def sf():
    return everything()


def test_finite_differences(sf, mixed):
    """dG/dR of a weighted sum, by autograd through the compiled path, against central differences."""
    batch = structures_of(mixed)
    weights = torch.randn(batch.numbers.shape[0], sf.n_features, dtype=torch.float64)

    def total(positions, cell):
        pairs = neighbor_list(positions, sf.cutoff + 0.1, batch.system_idx, cell, batch.pbc)
        vectors = pair_vectors(positions, pairs, batch.system_idx, cell)
        return (sf(batch.numbers, vectors, pairs) * weights).sum()

    positions, cell = batch.positions.clone().requires_grad_(), batch.cell.clone().requires_grad_()
    slopes = torch.autograd.grad(total(positions, cell), (positions, cell))
    step = 1e-4
    for which, entries in (
        (0, [(0, 0), (5, 1), (11, 2), (22, 0), (25, 1), (30, 1)]),
        (1, [(3, 1, 0), (4, 0, 1)]),
    ):
        for entry in entries:
            energies = []
            for sign in (1, -1, 2, -2):
                moved = [batch.positions.clone(), batch.cell.clone()]
                moved[which][entry] += sign * step
                energies.append(float(total(*moved)))
            expected = (8 * (energies[0] - energies[1]) - (energies[2] - energies[3])) / (12 * step)
            assert float(slopes[which][entry]) == pytest.approx(expected, abs=2e-9 * abs(expected) + 2e-8)


def test_invariance(sf, mixed):
    g = sf.describe(mixed)
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    moved, order, start = [], [], 0
    for atoms in mixed:
        new = atoms.copy()
        new.positions += rng.integers(-3, 4, (len(atoms), 3)) * atoms.pbc @ atoms.cell.array
        new.positions = (new.positions + rng.normal(size=3) * 5) @ rotation
        new.set_cell(atoms.cell.array @ rotation)
        permutation = rng.permutation(len(atoms))
        moved.append(new[permutation])
        order += (start + permutation).tolist()
        start += len(atoms)
    torch.testing.assert_close(sf.describe(moved), g[order], rtol=1e-10, atol=1e-10)


def test_another_cell_of_the_same_lattice(sf):
    rng = np.random.default_rng(5)
    atoms = Atoms("CHON", rng.random((4, 3)) * 3, cell=[[3.4, 0, 0], [0.5, 3.2, 0], [0.1, 0.2, 3.6]], pbc=True)
    g = sf.describe(atoms)
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-3, 1, 1]]) @ atoms.cell.array)
    torch.testing.assert_close(sf.describe(skewed), g, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(sf.describe(atoms * (2, 1, 3)), g.repeat(6, 1), rtol=1e-10, atol=1e-10)


def test_batch_equals_loop(sf, mixed):
    torch.testing.assert_close(sf.describe(mixed), torch.cat([sf.describe(a) for a in mixed]), rtol=0, atol=0)


def test_order_of_pairs_does_not_matter(sf, mixed, describe_inputs):
    numbers, vectors, pairs = describe_inputs(sf, mixed)
    shuffle = torch.randperm(pairs.n_pairs)
    other = type(pairs)(pairs.i[shuffle], pairs.j[shuffle], pairs.shift[shuffle], False)
    torch.testing.assert_close(sf(numbers, vectors[shuffle], other), sf(numbers, vectors, pairs))


@pytest.mark.parametrize("zetas", [(1.0, 2.0, 3.0, 16.0), (1.0, 1.5, 2.5)])
def test_collinear_triples_have_finite_second_derivatives(zetas):
    cutoff = Cutoff(4.0)
    functions = [
        Function("C", kind, cutoff, ("O", "O"), 0.1, zeta=zeta, lambda_=lambda_)
        for kind in ("G4", "G5")
        for zeta in zetas
        for lambda_ in (-1.0, 1.0)
    ]
    sf = SymmetryFunctions(functions)
    line = torch.tensor([[0.0, 0, 0], [0, 0, 1.2], [0, 0, -1.2], [0, 0, 2.9]], dtype=torch.float64)
    numbers = torch.tensor([6, 8, 8, 8])
    pairs = neighbor_list(line, sf.cutoff)

    def total(x):
        return sf(numbers, pair_vectors(x, pairs), pairs).sin().sum()

    hessian = torch.autograd.functional.hessian(total, line).reshape(12, 12)
    assert torch.isfinite(hessian).all()
    torch.testing.assert_close(hessian, hessian.T)
    step, k = 1e-5, 4
    slopes = []
    for sign in (1, -1):
        moved = line.flatten().clone()
        moved[k] += sign * step
        x = moved.reshape(4, 3).requires_grad_()
        slopes.append(torch.autograd.grad(total(x), x)[0].flatten())
    torch.testing.assert_close(hessian[k], (slopes[0] - slopes[1]) / (2 * step), rtol=1e-4, atol=1e-4)


def test_no_neighbours_and_one_atom(sf):
    for atoms in (
        Atoms("C"),
        Atoms("CO", [[0, 0, 0], [0, 0, 40.0]]),
        Atoms("N", cell=[25, 25, 25], pbc=True),
    ):
        g = sf.describe(atoms)
        assert g.shape == (len(atoms), sf.n_features)
        assert not g.any()
        batch = structures_of(atoms)
        pairs = neighbor_list(batch.positions, sf.cutoff)
        x = batch.positions.clone().requires_grad_()
        (slope,) = torch.autograd.grad(sf(batch.numbers, pair_vectors(x, pairs), pairs).sum(), x)
        assert not slope.any()


def test_smooth_at_the_cutoff():
    """A neighbour, and a third side, that enter at the cut-off: value and slope go to zero with the gap."""
    cutoff = Cutoff(3.0, "poly2")
    sf = SymmetryFunctions([Function("C", "G1", cutoff, ("H",)), Function("C", "G4", cutoff, ("H", "H"), lambda_=-1.0)])
    for gap in (1e-3, 0.0, -1e-3):
        x = torch.tensor([[0.0, 0, 0], [0, 0, 3.0 - gap], [1.5, 0, 0], [1.5 - 3.0 + gap, 0, 0]], dtype=torch.float64)
        x.requires_grad_()
        pairs = neighbor_list(x, 3.5)
        g = sf(torch.tensor([6, 1, 1, 1]), pair_vectors(x, pairs), pairs)
        (slope,) = torch.autograd.grad(g[0, 1], x)
        assert float(g[0, 1].detach()) < 2e-8
        assert float(slope.norm()) < 1e-4
        assert (float(g[0, 1].detach()) > 0) == (gap > 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_derivatives_follow_the_vectors(sf, mixed, describe_inputs, dtype):
    numbers, vectors, pairs = describe_inputs(sf, mixed)
    x = vectors.detach().to(dtype).requires_grad_()
    g = sf(numbers, x, pairs)
    assert g.dtype == dtype
    (slope,) = torch.autograd.grad(g.sum(), x)
    assert slope.dtype == dtype
    torch.testing.assert_close(g.double(), sf(numbers, vectors, pairs), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda(sf, mixed):
    g = sf.describe(mixed)
    torch.testing.assert_close(everything().cuda().describe(mixed).cpu(), g, rtol=1e-9, atol=1e-9)


def test_sets_labels_and_padding(sf, mixed):
    assert sf.elements == ELEMENTS
    assert sf.cutoff == 4.2
    sizes = [sf.features_of(z) for z in (1, 6, 7, 8)]
    assert sizes == [len(sf.labels[s]) for s in ELEMENTS] == [38, 39, 40, 41]
    assert sf.n_features == 41
    numbers = structures_of(mixed).numbers
    assert not sf.describe(mixed)[numbers == 1][:, 38:].any()
    assert sf.labels["O"][0] == "G1 O-(H) cutoff=4.2 poly2"
    assert sf.labels["C"][2] == "G2 C-(H) eta=1.3 r_s=1.1 cutoff=4.2 poly2"
    assert "W4 C-(*) eta=0.2 r_s=0.5 zeta=4 lambda=1 cutoff=3 cos" in sf.labels["C"]


def test_dictionary_round_trip(sf, mixed):
    data = json.loads(json.dumps(sf.to_dict()))
    again = SymmetryFunctions.from_dict(data)
    assert again.labels == sf.labels
    torch.testing.assert_close(again.describe(mixed), sf.describe(mixed), rtol=0, atol=0)


def test_order_given_does_not_matter(mixed):
    functions = [f for fs in everything().functions.values() for f in fs]
    torch.testing.assert_close(SymmetryFunctions(functions[::-1]).describe(mixed), everything().describe(mixed))


def test_value_by_hand():
    """Two H at 1 Å from O, at a right angle: G2 and G5 written out."""
    water = Atoms("OH2", [[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    cutoff = Cutoff(4.0)
    sf = SymmetryFunctions(
        [
            Function("O", "G2", cutoff, ("H",), 0.5, 1.4),
            Function("O", "G5", cutoff, ("H", "H"), 0.2, zeta=3.0, lambda_=1.0),
        ]
    )
    fc = 0.5 * (1 + math.cos(math.pi / 4))
    expected = [2 * math.exp(-0.5 * 0.16) * fc, 2.0**-2 * math.exp(-0.4) * fc**2]
    torch.testing.assert_close(sf.describe(water)[0], torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=0)


def test_bad_input(sf, describe_inputs):
    with pytest.raises(ValueError, match="atom 1 has atomic number 14"):
        sf.describe(Atoms("CSi", [[0, 0, 0], [0, 0, 1.8]]))
    with pytest.raises(ValueError, match="empty list"):
        sf.describe([])
    numbers, vectors, pairs = describe_inputs(sf, [Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])])
    with pytest.raises(ValueError, match="half neighbour list"):
        sf(numbers, vectors, type(pairs)(pairs.i, pairs.j, pairs.shift, True))
    with pytest.raises(ValueError, match=r"vectors must have shape \[2, 3\]"):
        sf(numbers, vectors[:1], pairs)
    with pytest.raises(ValueError, match="no symmetry functions for atomic number 14"):
        sf.features_of(14)
    with pytest.raises(ValueError, match="at least one"):
        SymmetryFunctions([])
    twice = [f for f in sf.functions["C"][:2] for _ in range(2)]
    with pytest.raises(ValueError, match="given twice"):
        SymmetryFunctions(twice)
    with pytest.raises(ValueError, match="list 'functions'"):
        SymmetryFunctions.from_dict({})
    with pytest.raises(ValueError, match="not the dictionary"):
        SymmetryFunctions.from_dict({"functions": [{"kind": "G2"}]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "G7"}, "kind must be one of"),
        ({"center": "Xx"}, "element's symbol"),
        ({"neighbors": ()}, "needs 2 neighbours"),
        ({"eta": -1.0}, "eta must not be negative"),
        ({"r_s": math.nan}, "r_s must be finite"),
        ({"zeta": 0.5}, "zeta >= 1"),
        ({"lambda_": 0.3}, "lambda = ±1"),
    ],
)
def test_bad_functions(arguments, message):
    good = {"center": "C", "kind": "G4", "cutoff": Cutoff(4.0), "neighbors": ("H", "C"), "zeta": 2.0}
    with pytest.raises(ValueError, match=message):
        Function(**{**good, **arguments})


def test_inner_cutoff_is_one_inside(silicon):
    """With an inner radius of 0.6 × 4.0 Å the first shell counts in full."""
    sf = SymmetryFunctions([Function("Si", "G1", Cutoff(4.0, "cos", 0.6), ("Si",))])
    assert float(sf.describe(bulk("Si"))[0, 0]) > 4.0
    alone = Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]])
    assert float(sf.describe(alone)[0, 0]) == 1.0


def test_sums_over_elements_are_those_of_the_resolved_functions(mixed):
    far = Cutoff(4.2)
    shape = {"eta": 0.3, "r_s": 0.6, "zeta": 4.0, "lambda_": -1.0}
    couples = [(a, b) for k, a in enumerate(ELEMENTS) for b in ELEMENTS[k:]]
    for summed, resolved, neighbors in (("S2", "G2", [(s,) for s in ELEMENTS]), ("S4", "G4", couples)):
        options = shape if len(neighbors) > 4 else {"eta": 0.3, "r_s": 0.6}
        whole = SymmetryFunctions([Function(c, summed, far, (), **options) for c in ELEMENTS])
        parts = SymmetryFunctions([Function(c, resolved, far, n, **options) for c in ELEMENTS for n in neighbors])
        torch.testing.assert_close(whole.describe(mixed)[:, 0], parts.describe(mixed).sum(1))


def test_sums_over_elements_do_not_see_which(mixed):
    sf = SymmetryFunctions.default(ELEMENTS, summed=True)
    molecule = mixed[0]
    others = molecule.copy()
    others.numbers = np.where(molecule.numbers == 8, 7, np.where(molecule.numbers == 7, 8, molecule.numbers))
    torch.testing.assert_close(sf.describe(others), sf.describe(molecule), rtol=1e-14, atol=1e-14)


def test_only_some_centres(mixed):
    everywhere = SymmetryFunctions.default(ELEMENTS, summed=True)
    carbon = SymmetryFunctions.default(ELEMENTS, summed=True, centers=["C"])
    numbers = structures_of(mixed).numbers
    assert carbon.functions["H"] == []
    expected = everywhere.describe(mixed)[numbers == 6]
    torch.testing.assert_close(carbon.describe(mixed, centers=["C"]), expected, rtol=0, atol=0)
    torch.testing.assert_close(carbon.describe(mixed)[numbers == 6], expected, rtol=0, atol=0)
    again = SymmetryFunctions.from_dict(json.loads(json.dumps(carbon.to_dict())))
    torch.testing.assert_close(again.describe(mixed, centers=["C"]), expected, rtol=0, atol=0)
    with pytest.raises(ValueError, match="'Xy'"):
        SymmetryFunctions([Function("C", "S2", Cutoff(4.0))], elements=["Xy"])
