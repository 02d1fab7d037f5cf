"""Values of other programs: DScribe's ACSF, and energies and forces of n2p2 (see data and ../data, README.md)."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.io import read

from bp_descriptors import Cutoff, Function, Scaler, SymmetryFunctions, neighbor_list, pair_vectors

DATA = Path(__file__).parent / "data"
DSCRIBE = json.loads((DATA / "dscribe_acsf.json").read_text())
SILICON = Path(__file__).parents[1] / "data" / "mlearn_si"
MODEL = SILICON / "n2p2_model"
N2P2 = json.loads((SILICON / "n2p2_reference.json").read_text())["results"]
BOHR_THERE = 0.52917721092  # Å, of the reference data


def as_atoms(record: dict) -> Atoms:
    return Atoms(record["numbers"], record["positions"], cell=record["cell"], pbc=record["pbc"])


def dscribe_columns() -> list[list[Function]]:
    """For each of DScribe's columns the function of each central element."""
    symbols, p = DSCRIBE["species"], DSCRIBE["parameters"]
    cutoff = Cutoff(p["r_cut"])
    columns: list[dict] = []
    for s in symbols:
        columns.append({"kind": "G1", "neighbors": (s,)})
        columns += [{"kind": "G2", "neighbors": (s,), "eta": eta, "r_s": r_s} for eta, r_s in p["g2_params"]]
        columns += [{"kind": "G3", "neighbors": (s,), "kappa": kappa} for kappa in p["g3_params"]]
    couples = [(low, high) for k, high in enumerate(symbols) for low in symbols[: k + 1]]
    for couple in couples:
        for kind, name in (("G4", "g4_params"), ("G5", "g5_params")):
            for eta, zeta, lambda_ in p[name]:
                columns.append({"kind": kind, "neighbors": couple, "eta": eta, "zeta": zeta, "lambda_": lambda_})
    return [[Function(center=s, cutoff=cutoff, **c) for s in symbols] for c in columns]


@pytest.mark.parametrize("record", DSCRIBE["structures"], ids=["molecule", "skewed cell below the cut-off"])
@pytest.mark.parametrize("compiled", [True, False])
def test_dscribe_g1_to_g5(record, compiled):
    columns = dscribe_columns()
    sf = SymmetryFunctions([f for column in columns for f in column])
    atoms = as_atoms(record)
    if compiled:
        g = sf.describe(atoms)
    else:
        x, cell, pbc = (
            torch.tensor(atoms.positions),
            torch.tensor(atoms.cell.array)[None],
            torch.tensor(atoms.pbc)[None],
        )
        numbers, pairs = torch.tensor(atoms.numbers), neighbor_list(x, sf.cutoff, None, cell, pbc)
        g = sf.definition(numbers, sf.element_index(numbers), pair_vectors(x, pairs, None, cell), pairs)
    order = torch.empty(len(atoms), len(columns), dtype=torch.int64)
    for atom, symbol in enumerate(atoms.get_chemical_symbols()):
        position = {f: k for k, f in enumerate(sf.functions[symbol])}
        k = sf.elements.index(symbol)
        order[atom] = torch.tensor([position[column[k]] for column in columns])
    values = torch.tensor(record["values"], dtype=torch.float64)
    torch.testing.assert_close(g.gather(1, order), values, rtol=1e-10, atol=1e-13)


def n2p2_network(scaled: torch.Tensor) -> torch.Tensor:
    """The network of the silicon model: 27-24-24-1, tanh, tanh, linear; weights as (value, kind, from, to)."""
    sizes = (27, 24, 24, 1)
    weights = [torch.zeros(a, b, dtype=torch.float64) for a, b in pairwise(sizes)]
    biases = [torch.zeros(b, dtype=torch.float64) for b in sizes[1:]]
    for line in (MODEL / "weights.014.data").read_text().splitlines():
        words = line.split()
        if words[1] == "a":
            weights[int(words[5]) - 1][int(words[4]) - 1, int(words[6]) - 1] = float(words[0])
        else:
            biases[int(words[3]) - 1][int(words[4]) - 1] = float(words[0])
    h = scaled
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        h = h @ w + b
        h = torch.tanh(h) if k < 2 else h
    return h.sum()


@pytest.mark.parametrize("record", N2P2, ids=lambda r: r["group"])
def test_n2p2_energy_and_forces(record):
    """n2p2's energy; its forces, which leave out the push of an atom's own images (they cancel in ∂E/∂R)."""
    sf = SymmetryFunctions.from_n2p2(MODEL / "input.nn")
    scaler = Scaler.from_n2p2(sf, MODEL / "scaling.data")
    atoms = read(SILICON / "test_sample.extxyz", record["frame"])
    x, cell, pbc = (
        torch.tensor(atoms.positions),
        torch.tensor(atoms.cell.array)[None],
        torch.tensor(atoms.pbc)[None],
    )
    numbers, pairs = torch.tensor(atoms.numbers), neighbor_list(x, sf.cutoff, None, cell, pbc)
    vectors = pair_vectors(x, pairs, None, cell).requires_grad_()
    energy = n2p2_network(scaler(sf(numbers, vectors, pairs), numbers)) - 0.79 * len(atoms)
    assert abs(energy.item() - record["energy_hartree"]) < 1e-8
    (slope,) = torch.autograd.grad(energy, vectors)
    other = (pairs.i != pairs.j).unsqueeze(1)
    forces = torch.zeros_like(x).index_add(0, pairs.i, slope).index_add(0, pairs.j, torch.where(other, -slope, 0.0))
    expected = torch.tensor(record["forces_hartree_per_bohr"], dtype=torch.float64)
    torch.testing.assert_close(forces * BOHR_THERE, expected, rtol=0, atol=1e-8)
