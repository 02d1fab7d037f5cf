"""Neighbour lists against a direct sum over images, for every kind of periodicity."""

from itertools import product

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from bp_descriptors import neighbor_list, pair_vectors
from bp_descriptors.structures import structures_of
from bp_descriptors.triples import triples_of


def direct(atoms: Atoms, cutoff: float) -> set[tuple[int, ...]]:
    """Every (i, j, shift) nearer than the cut-off, one image after another; images far beyond any need."""
    cell, pbc = atoms.cell.array, atoms.pbc
    spread = np.ptp(atoms.positions, axis=0).max() if len(atoms) else 0.0
    reach = []
    for k in range(3):
        others = [v for m, v in enumerate(cell) if m != k and pbc[m]]
        height = cell[k]
        if len(others) == 2:
            normal = np.cross(*others)
            height = normal * (cell[k] @ normal) / (normal @ normal)
        elif len(others) == 1:
            height = cell[k] - others[0] * (cell[k] @ others[0]) / (others[0] @ others[0])
        size = np.linalg.norm(height)
        reach.append(int((cutoff + 2 * spread) / size) + 1 if pbc[k] else 0)
    shifts = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    found = set()
    for i, j in product(range(len(atoms)), repeat=2):
        d = np.linalg.norm(atoms.positions[j] + shifts @ cell - atoms.positions[i], axis=1)
        near = (d < cutoff) & (shifts.any(axis=1) if i == j else True)
        found |= {(i, j, *shift) for shift in shifts[near].tolist()}
    return found


def as_set(pairs) -> set[tuple[int, ...]]:
    rows = torch.cat([pairs.i[:, None], pairs.j[:, None], pairs.shift], 1).tolist()
    assert len({tuple(r) for r in rows}) == len(rows)
    return {tuple(r) for r in rows}


def pairs_of(frames, cutoff, **options):
    batch = structures_of(frames)
    return neighbor_list(batch.positions, cutoff, batch.system_idx, batch.cell, batch.pbc, **options)


def cells() -> dict[str, Atoms]:
    rng = np.random.default_rng(1)
    skew = np.array([[4.0, 0, 0], [3.5, 2.2, 0], [-2.9, 1.8, 2.6]])
    return {
        "molecule": Atoms("N5", rng.random((5, 3)) * 4),
        "cubic": Atoms("N4", rng.random((4, 3)) * 5, cell=[5, 5, 5], pbc=True),
        "smaller than the cut-off": Atoms("N2", rng.random((2, 3)) * 2, cell=[2, 2.2, 1.9], pbc=True),
        "skewed": Atoms("N3", rng.random((3, 3)) @ skew, cell=skew, pbc=True),
        "left-handed": Atoms("N3", rng.random((3, 3)) @ skew, cell=skew[[1, 0, 2]], pbc=True),
        "outside the cell": Atoms("N4", (rng.random((4, 3)) * 3 - 1) @ skew, cell=skew, pbc=True),
        "slab": Atoms("N4", rng.random((4, 3)) * 3, cell=[[3, 0, 0], [1.4, 2.7, 0], [0, 0, 9]], pbc=[1, 1, 0]),
        "slab, skewed third vector": Atoms(
            "N4", rng.random((4, 3)) * 3, cell=[[3, 0, 0], [0, 3, 0], [5, 5, 2]], pbc=[1, 1, 0]
        ),
        "slab without third vector": Atoms(
            "N3", rng.random((3, 3)) * 3, cell=[[3, 0, 0], [0, 3, 0], [0, 0, 0]], pbc=[1, 1, 0]
        ),
        "wire": Atoms("N3", rng.random((3, 3)) * 3, cell=[[9, 0, 0], [0, 9, 0], [1, 0.5, 2.6]], pbc=[0, 0, 1]),
        "wire without other vectors": Atoms(
            "N3", rng.random((3, 3)) * 8, cell=[[0, 0, 0], [0, 2.4, 0.3], [0, 0, 0]], pbc=[0, 1, 0]
        ),
    }


@pytest.mark.parametrize("name", cells())
@pytest.mark.parametrize("cutoff", [1.3, 4.1])
def test_equals_direct_sum(name, cutoff):
    atoms = cells()[name]
    pairs = pairs_of(atoms, cutoff)
    assert as_set(pairs) == direct(atoms, cutoff)
    assert bool((pairs.i[1:] >= pairs.i[:-1]).all())
    half = pairs_of(atoms, cutoff, half=True)
    opposite = {(j, i, -a, -b, -c) for i, j, a, b, c in as_set(half)}
    assert not opposite & as_set(half)
    assert opposite | as_set(half) == as_set(pairs)
    assert half.half
    assert not pairs.half


def test_batch_equals_loop_in_any_order():
    frames = list(cells().values())
    batch = structures_of(frames)
    together = pairs_of(frames, 3.7)
    mixed_up = torch.randperm(batch.numbers.shape[0])
    shuffled = neighbor_list(batch.positions[mixed_up], 3.7, batch.system_idx[mixed_up], batch.cell, batch.pbc)
    back = {(int(mixed_up[i]), int(mixed_up[j]), *s) for i, j, *s in as_set(shuffled)}
    assert back == as_set(together)
    start, expected = 0, set()
    for frame in frames:
        expected |= {(i + start, j + start, *s) for i, j, *s in as_set(pairs_of(frame, 3.7))}
        start += len(frame)
    assert as_set(together) == expected


def test_vectors_are_within_the_cutoff_and_differentiable():
    frames = list(cells().values())
    batch = structures_of(frames)
    pairs = pairs_of(frames, 3.7)
    positions, cell = batch.positions.clone().requires_grad_(), batch.cell.clone().requires_grad_()
    vectors = pair_vectors(positions, pairs, batch.system_idx, cell)
    assert vectors.norm(dim=1).max() < 3.7
    one = pairs_of(frames[3], 3.7)
    vectors.square().sum().backward()
    assert torch.isfinite(positions.grad).all()
    assert cell.grad[3].abs().sum() > 0
    assert cell.grad[0].abs().sum() == 0
    alone = pair_vectors(torch.tensor(frames[3].positions), one, None, torch.tensor(frames[3].cell.array)[None])
    mine = batch.system_idx[pairs.i] == 3
    torch.testing.assert_close(vectors[mine].norm(dim=1).sort()[0], alone.norm(dim=1).sort()[0])


def test_large_molecule_takes_the_other_search():
    rng = np.random.default_rng(2)
    atoms = Atoms("H220", rng.random((220, 3)) * 11)
    assert as_set(pairs_of(atoms, 2.0)) == direct(atoms, 2.0)


def test_pair_at_exactly_the_cutoff_is_left_out():
    dimer = Atoms("H2", [[0, 0, 0], [0, 0, 2.0]])
    chain = Atoms("H", [[0.3, 0, 0]], cell=[2.0, 9, 9], pbc=[1, 0, 0])
    for atoms, n in ((dimer, 2), (chain, 2)):
        assert pairs_of(atoms, 2.0).n_pairs == 0
        assert pairs_of(atoms, np.nextafter(2.0, 3.0)).n_pairs == n


def test_silicon_shells():
    """Diamond: 4 neighbours at √3/4 a, 12 at a/√2, 12 at √11/4 a."""
    silicon = bulk("Si", a=5.43)
    counts = [pairs_of(silicon, r).n_pairs // 2 for r in (2.4, 3.9, 4.6)]
    assert counts == [4, 16, 28]


def test_no_neighbours_one_atom_no_atoms():
    for atoms in (
        Atoms("He"),
        Atoms("He2", [[0, 0, 0], [0, 0, 50.0]]),
        Atoms("He", cell=[30, 30, 30], pbc=True),
    ):
        pairs = pairs_of(atoms, 5.0)
        assert pairs.n_pairs == 0
        assert pairs.shift.shape == (0, 3)
        assert triples_of(pairs.i).a.shape == (0,)
    assert neighbor_list(torch.zeros(0, 3), 5.0).n_pairs == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype(dtype):
    batch = structures_of(bulk("Si", cubic=True))
    pairs = neighbor_list(batch.positions.to(dtype), 5.0, None, batch.cell.to(dtype), batch.pbc)
    assert pairs.n_pairs == 8 * 28
    assert pairs.i.dtype == pairs.shift.dtype == torch.int64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda():
    batch = structures_of([bulk("Si", cubic=True), Atoms("H2", [[0, 0, 0], [0, 0, 0.8]])])
    on_device = (batch.system_idx.cuda(), batch.cell.cuda(), batch.pbc.cuda())
    pairs = neighbor_list(batch.positions.cuda(), 5.0, *on_device)
    assert pairs.i.device.type == "cuda"
    here = neighbor_list(batch.positions, 5.0, *batch[2:])
    assert as_set(here) == {tuple(r) for r in as_set(pairs)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cutoff": 0.0}, "cut-off must be a positive"),
        ({"cutoff": float("nan")}, "cut-off must be a positive"),
        ({"positions": torch.zeros(2, 2)}, r"positions must have shape \[atoms, 3\]"),
        ({"positions": torch.tensor([[0.0, 0, 0], [0, float("nan"), 0]])}, "for atom 1"),
        ({"system_idx": torch.zeros(3, dtype=torch.int64)}, r"system_idx must have shape \[2\]"),
        ({"cell": torch.zeros(3, 3)}, "cell must have shape"),
        ({"pbc": torch.ones(1, 2, dtype=torch.bool)}, "pbc must have shape"),
        ({"cell": torch.ones(1, 3, 3)}, "system 0: expected independent cell vectors"),
    ],
)
def test_bad_input(change, message):
    arguments = {
        "positions": torch.tensor([[0.0, 0, 0], [0, 0, 1]]),
        "cutoff": 3.0,
        "cell": torch.eye(3)[None] * 4,
        "pbc": torch.ones(1, 3, dtype=torch.bool),
    }
    with pytest.raises(ValueError, match=message):
        neighbor_list(**{**arguments, **change})


def test_triples_are_all_couples():
    i = torch.tensor([0, 0, 0, 2, 3, 3])
    triples = triples_of(i)
    assert list(zip(triples.a.tolist(), triples.b.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2), (4, 5)]
    order = torch.tensor([4, 0, 3, 1, 5, 2])
    unsorted = triples_of(i[order])
    found = {(int(order[a]), int(order[b])) for a, b in zip(unsorted.a.tolist(), unsorted.b.tolist(), strict=True)}
    assert {tuple(sorted(t)) for t in found} == {(0, 1), (0, 2), (1, 2), (4, 5)}
    assert bool((unsorted.a < unsorted.b).all())
