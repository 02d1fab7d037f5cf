"""Energies of molecules brought from another level to that of the conformers, CCSD(T)*/CBS; forces brought nearer.

    python recipes/level.py conformers.extxyz labels.extxyz source.extxyz target.extxyz [--forces SHARE]

The labels are energies at the other level of some of the conformers' geometries (``id``). The difference is learned by
a Gaussian process whose covariance of two molecules is (kcal²/mol²)

    k(A, B) = 10⁴ n_A·n_B + 10² x_A·x_B + Σ_ij exp(−|e_i − e_j|² / 2),

with n the numbers of atoms of each element, x sums over the pairs of atoms and e_i sums over the neighbours of atom
i, both by element and over Gaussians of the distance, and the last sum over atoms i of A and j of B of the same
element. Printed are the mean size of the difference after a fit of per-element energies, and its mean error for eight
parts of the formulas, each predicted from the others; both also between molecules of the same formula. The source's
energies, at the other level, come out with the difference added, and its forces with SHARE (0 unless given) of minus
the difference's gradient, whose mean size is printed, too.
"""

import argparse
from dataclasses import dataclass

import ase.io
import numpy as np
import torch
from ase import Atoms, units
from torch import Tensor

ELEMENTS = (1, 6, 7, 8)
CENTERS = torch.linspace(0.6, 3.8, 17, dtype=torch.float64)  # Å
WIDTH = 0.2  # Å
CUTOFF = 4.0  # Å
SCALE = torch.exp(-CENTERS / 1.5) / 0.3  # of an atom's surroundings: far neighbours count less
NOISE = 1.0  # kcal/mol
PARTS = 8
AT_ONCE = 100  # molecules
KCAL = units.kcal / units.mol


@dataclass
class Molecules:
    """What the covariance needs of a list of molecules."""

    counts: Tensor  # [molecules, elements]
    pairs: Tensor  # [molecules, pairs of elements × centres]
    atoms: Tensor  # [atoms, elements × centres]
    numbers: Tensor  # [atoms]
    owner: Tensor  # [atoms] the atom's molecule

    def covariance(self, other: "Molecules") -> Tensor:
        """k(A, B) [molecules, others]."""
        local = self.counts.new_zeros(len(self.counts), len(other.counts))
        for z in ELEMENTS:
            theirs = torch.nonzero(other.numbers == z).squeeze(1)
            for mine in torch.nonzero(self.numbers == z).squeeze(1).split(1000):
                square = torch.cdist(self.atoms[mine], other.atoms[theirs], compute_mode="use_mm_for_euclid_dist") ** 2
                rows = local.new_zeros(len(mine), len(other.counts))
                rows.index_add_(1, other.owner[theirs], torch.exp(-0.5 * square))
                local = local.index_add(0, self.owner[mine], rows)
        return 1e4 * self.counts @ other.counts.T + 1e2 * self.pairs @ other.pairs.T + local


def positions_of(frames: list[Atoms]) -> list[Tensor]:
    """Positions, Å, by which can be differentiated."""
    return [torch.tensor(frame.positions, requires_grad=True) for frame in frames]


def describe(frames: list[Atoms], positions: list[Tensor]) -> Molecules:
    """Descriptors of molecules."""
    counts, pairs, atoms = [], [], []
    upper = np.triu_indices(len(ELEMENTS))
    half = torch.tensor(np.where(upper[0] == upper[1], 0.5, 1.0))[:, None]
    for frame, x in zip(frames, positions, strict=True):
        numbers = torch.tensor(frame.numbers)
        itself = 2 * CUTOFF * torch.eye(len(x))[..., None]
        r = (x[:, None] - x[None, :] + itself).norm(dim=-1)
        cutoff = torch.where(r < CUTOFF, 0.5 * (1 + torch.cos(np.pi * r / CUTOFF)), 0.0)
        terms = torch.exp(-0.5 * ((r[..., None] - CENTERS) / WIDTH) ** 2) * cutoff[..., None]
        around = torch.stack([terms[:, numbers == z].sum(1) for z in ELEMENTS], 1)
        between = torch.stack([around[numbers == z].sum(0) for z in ELEMENTS])
        counts.append(torch.stack([(numbers == z).sum() for z in ELEMENTS]).to(r))
        pairs.append((between[upper] * half).ravel())
        atoms.append((around * SCALE).reshape(len(frame), -1))
    owner = torch.arange(len(frames)).repeat_interleave(torch.tensor([len(a) for a in frames]))
    numbers = torch.cat([torch.tensor(a.numbers) for a in frames])
    return Molecules(torch.stack(counts), torch.stack(pairs), torch.cat(atoms), numbers, owner)


def fit(covariance: Tensor, differences: Tensor) -> Tensor:
    """Weights of the known molecules."""
    return torch.linalg.solve(covariance + NOISE**2 * torch.eye(len(differences)), differences)


def left_out(covariance: Tensor, differences: Tensor, formula: np.ndarray) -> Tensor:
    """Errors of the formulas of one part, predicted from the others."""
    part = np.random.default_rng(0).integers(0, PARTS, formula.max() + 1)[formula]
    errors = differences.clone()
    for k in range(PARTS):
        out, kept = np.flatnonzero(part == k), np.flatnonzero(part != k)
        errors[out] -= covariance[out][:, kept] @ fit(covariance[kept][:, kept], differences[kept])
    return errors


def among(values: Tensor, formula: np.ndarray) -> Tensor:
    """Values less their means over the molecules of the same formula."""
    index = torch.tensor(formula)
    sums = torch.zeros(int(index.max()) + 1).index_add(0, index, values)
    return values - (sums / torch.bincount(index))[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("conformers", "labels", "source", "target"):
        parser.add_argument(name)
    parser.add_argument("--forces", type=float, default=0.0, metavar="SHARE")
    given = parser.parse_args()
    energies = {a.info["id"]: a.get_potential_energy() for a in ase.io.read(given.conformers, ":")}
    known = ase.io.read(given.labels, ":")
    differences = torch.tensor([energies[a.info["id"]] - a.get_potential_energy() for a in known]) / KCAL
    with torch.no_grad():
        molecules = describe(known, positions_of(known))
        covariance = molecules.covariance(molecules)
    elements = torch.linalg.lstsq(molecules.counts, differences[:, None]).solution[:, 0]
    _, formula = np.unique([a.get_chemical_formula() for a in known], return_inverse=True)
    apart, errors = differences - molecules.counts @ elements, left_out(covariance, differences, formula)
    for what, d, e in (
        (f"{len(known)} molecules", apart, errors),
        ("within a formula", among(differences, formula), among(errors, formula)),
    ):
        size, error = float(d.abs().mean()), float(e.abs().mean())
        print(f"{what}: difference {size:.2f} kcal/mol, of formulas left out predicted to {error:.2f}")
    weights = fit(covariance, differences)
    frames, slopes = ase.io.read(given.source, ":"), []
    for part in range(0, len(frames), AT_ONCE):
        some = frames[part : part + AT_ONCE]
        positions = positions_of(some)
        added = KCAL * describe(some, positions).covariance(molecules) @ weights
        gradients = torch.autograd.grad(added.sum(), positions)
        for frame, energy, gradient in zip(some, added.tolist(), gradients, strict=True):
            slopes.append(gradient.abs().mean() / KCAL)
            frame.calc.results["energy"] += energy
            if "forces" in frame.calc.results:
                frame.calc.results["forces"] -= given.forces * gradient.numpy()
    print(f"its gradient in the source's molecules: {torch.stack(slopes).mean():.2f} kcal/mol/Å")
    ase.io.write(given.target, frames)


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    main()
