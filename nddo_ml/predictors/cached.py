"""Predictions of a potential from descriptors and derivatives that are kept: an epoch is matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bp_descriptors import neighbor_list, pair_vectors
from bp_descriptors.runs import ranks, starts
from nddo_ml.derivatives import gradient, volumes
from nddo_ml.models.base import Prediction
from nddo_ml.models.nnp import NNP
from nddo_ml.models.nnp_sums import charges_and_dipole
from nddo_ml.models.strained import Strained
from nddo_ml.models.term_energies import TermEnergies
from nddo_ml.predictors.direct import with_volume
from nddo_ml.systems import Systems

CHUNK_ATOMS = 256  # atoms whose derivatives are computed together


@dataclass(frozen=True)
class _Jacobian:
    """Derivatives of one structure's scaled features, dense over each atom's neighbours (itself included)."""

    atoms: Tensor  # [atoms × neighbours] whose position, flat; padding points to atom 0 with zero derivatives
    positions: Tensor  # [atoms, F, neighbours × 3] ∂G_i/∂R; products with this layout take half the other's time
    strain: Tensor | None  # [9, atoms × F] ∂G/∂ε over the volume


@dataclass(frozen=True)
class _TermTable:
    """A model's energy terms for all structures; derivatives are zero where they are not needed."""

    energy: Tensor  # [structures] eV
    forces: Tensor  # [atoms, 3] eV/Å
    stress: Tensor  # [structures, 3, 3] eV/Å³


class CachedNNP:
    """An NNP on stored scaled features and their derivatives: an epoch is matrix products.

    Holds G [atoms, F] of all structures and, where ``needs_derivatives``, ∂G/∂R and ∂G/∂ε/V in ``dtype``.
    Symmetry functions and scaling must stay as they are.
    """

    def __init__(self, model: NNP, systems: Systems, needs_derivatives: Tensor, dtype: torch.dtype) -> None:
        self.model = model
        self.systems = systems
        self.jacobians: list[_Jacobian | None] = []
        features = []
        for index in _chunks(systems.atoms_per_system, needs_derivatives):
            some, _ = systems.select_with_atoms(index)
            scaled, jacobians = _features(model, some, bool(needs_derivatives[index[0]]), dtype)
            features.append(scaled)
            self.jacobians += jacobians
        self.features = torch.cat(features)
        self.terms = self._terms_of(needs_derivatives) if model.terms else None

    def _terms_of(self, needs_derivatives: Tensor) -> _TermTable:
        """The model's energy terms, which no training changes, for all structures."""
        s = self.systems
        new = s.positions.new_zeros
        table = _TermTable(new(s.n_systems), new(s.n_atoms, 3), new(s.n_systems, 3, 3))
        for index in _chunks(s.atoms_per_system, needs_derivatives):
            some, atoms = s.select_with_atoms(index)
            asked = bool(needs_derivatives[index[0]])
            one = TermEnergies.of(self.model.terms, with_volume(some), forces=asked, stress=asked, keep_graph=False)
            table.energy[index] = one.energy
            if one.forces is not None and one.stress is not None:
                table.forces[atoms], table.stress[index] = one.forces, one.stress
        return table

    def __call__(self, index: Tensor, *, forces: bool, stress: bool) -> Prediction:
        prediction, atoms = self._of_networks(index, forces=forces, stress=stress)
        if self.terms is None:
            return prediction
        force, tension = prediction.forces, prediction.stress
        return replace(
            prediction,
            energy=prediction.energy + self.terms.energy[index],
            atomic_energies=None,
            forces=None if force is None else force + self.terms.forces[atoms],
            stress=None if tension is None else tension + self.terms.stress[index],
        )

    def _of_networks(self, index: Tensor, *, forces: bool, stress: bool) -> tuple[Prediction, Tensor]:
        """What the networks predict, and the indices of the atoms."""
        systems, atoms = self.systems.select_with_atoms(index)
        features = self.features[atoms]
        differentiate = forces or stress
        with torch.set_grad_enabled(torch.is_grad_enabled() or differentiate):
            features.requires_grad_(differentiate)
            far = differentiate and self.model.electrostatics is not None
            apart = Strained.of(systems, forces=far, stress=far and stress)
            found = self.model.of_atoms(features, apart.systems)
            atomic = found.energies.mean(0)
            results: dict[str, Any] = {"atomic_energies": atomic}
            results["energy"] = atomic.new_zeros(systems.n_systems).index_add(0, systems.system_idx, atomic)
            if found.charges is not None:
                results |= charges_and_dipole(systems, found.charges.mean(0))
            if differentiate:
                slope, *direct = gradient(atomic, [features, *apart.inputs], create_graph=self.model.training)
                parts = [self._derivatives(k, s, stress) for k, s in _by_structure(index, systems, slope)]
                results["forces"] = torch.cat([f for f, _ in parts])
                if stress:
                    results["stress"] = torch.stack([s for _, s in parts])
                if direct:
                    results["forces"] = results["forces"] - direct[0]
                if direct and stress:
                    volume = volumes(with_volume(systems).cell)
                    results["stress"] = results["stress"] + direct[1] / volume[:, None, None]
        return Prediction(**results), atoms

    def linear_design(self, k: int, elements: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Energy [P], forces [3 atoms, P] and stress [9, P] of structure ``k`` per unit weight of each element's
        features.
        """
        jacobian = self.jacobians[k]
        one, atoms_here = self.systems.select_with_atoms(torch.tensor([k]))
        n, n_features = one.n_atoms, self.features.shape[1]
        if jacobian is None:
            raise ValueError(f"structure {k} has no stored derivatives")
        blocks = jacobian.positions.double().transpose(1, 2).reshape(n, -1, 3, n_features)
        atoms = jacobian.atoms.reshape(n, -1)
        features = self.features[atoms_here].double()
        energy, forces, stress = [], [], []
        for z in elements:
            here = one.numbers == z
            energy.append(features[here].sum(0))
            sums = blocks.new_zeros(n, 3, n_features)
            forces.append(-sums.index_add(0, atoms[here].reshape(-1), blocks[here].reshape(-1, 3, n_features)))
            if jacobian.strain is not None:
                stress.append(jacobian.strain.double().reshape(9, n, n_features)[:, here].sum(1))
        forces_all = torch.cat(forces, 2).reshape(3 * n, -1)
        return torch.cat(energy), forces_all, torch.cat(stress, 1) if stress else None

    def _derivatives(self, k: int, slope: Tensor, stress: bool) -> tuple[Tensor, Tensor]:
        """Forces [atoms, 3] and stress [3, 3] of structure ``k``, zeros where no derivatives are stored."""
        jacobian = self.jacobians[k]
        no_stress = slope.new_zeros(3, 3)
        if jacobian is None:
            return slope.new_zeros(slope.shape[0], 3), no_stress
        low = slope.to(jacobian.positions.dtype)
        on_neighbors = torch.bmm(low.unsqueeze(1), jacobian.positions).reshape(-1, 3).to(slope.dtype)
        forces = slope.new_zeros(slope.shape[0], 3).index_add(0, jacobian.atoms, -on_neighbors)
        if not stress or jacobian.strain is None:
            return forces, no_stress
        return forces, (jacobian.strain @ low.reshape(-1)).reshape(3, 3).to(slope.dtype)


def _by_structure(index: Tensor, systems: Systems, values: Tensor) -> Iterator[tuple[int, Tensor]]:
    yield from zip(index.tolist(), values.split(systems.atoms_per_system.tolist()), strict=True)


def cache_bytes(model: NNP, systems: Systems, needs_derivatives: Tensor) -> float:
    """Estimate of the bytes that :class:`CachedNNP` would hold, from a sample of the structures."""
    chosen = torch.nonzero(needs_derivatives).squeeze(1)
    if not chosen.numel():
        return 0.0
    sample = chosen[:: max(1, chosen.numel() // 8)]
    some, _ = systems.select_with_atoms(sample)
    pairs = neighbor_list(some.positions, model.cutoff, some.system_idx, some.cell, some.pbc)
    per_atom = 1.0 + pairs.n_pairs / some.n_atoms
    atoms = float(systems.atoms_per_system[chosen].sum())
    return atoms * (per_atom * 3 + 9) * model.functions.n_features * 4 * 1.3


def _chunks(sizes: Tensor, needs_derivatives: Tensor) -> Iterator[Tensor]:
    """Runs of structures of one kind (with or without derivatives) of about CHUNK_ATOMS atoms."""
    start = atoms = 0
    for k, n in enumerate(sizes.tolist()):
        if k > start and (atoms + n > CHUNK_ATOMS or bool(needs_derivatives[k] != needs_derivatives[start])):
            yield torch.arange(start, k)
            start, atoms = k, 0
        atoms += n
    yield torch.arange(start, len(sizes))


def _features(
    model: NNP, some: Systems, derivatives: bool, dtype: torch.dtype
) -> tuple[Tensor, list[_Jacobian | None]]:
    """Scaled features of some structures and, where asked for, their derivatives by structure."""
    pairs = neighbor_list(some.positions, model.cutoff, some.system_idx, some.cell, some.pbc)
    vectors = pair_vectors(some.positions, pairs, some.system_idx, some.cell).requires_grad_(derivatives)
    with torch.set_grad_enabled(derivatives):
        scaled = model.scaler(model.functions(some.numbers, vectors, pairs), some.numbers)
    if not derivatives:
        return scaled, [None] * some.n_systems
    slopes = [gradient(scaled[:, f], [vectors], retain_graph=True)[0] for f in range(scaled.shape[1])]
    slope = torch.stack(slopes, 2)  # [pairs, 3, F] ∂G_i/∂r_ij
    sizes = some.atoms_per_system
    firsts = starts(sizes).tolist()
    per_system = torch.bincount(some.system_idx[pairs.i], minlength=some.n_systems).tolist()
    jacobians: list[_Jacobian | None] = []
    start = 0
    for k, (n, first, n_pairs) in enumerate(zip(sizes.tolist(), firsts, per_system, strict=True)):
        here = slice(start, start + n_pairs)  # pairs are sorted by their centre
        i, j = pairs.i[here] - first, pairs.j[here] - first
        jacobians.append(_jacobian(slope[here], vectors.detach()[here], i, j, n, some.cell[k], dtype))
        start += n_pairs
    return scaled.detach(), jacobians


def _jacobian(
    slope: Tensor, vectors: Tensor, i: Tensor, j: Tensor, n_atoms: int, cell: Tensor, dtype: torch.dtype
) -> _Jacobian:
    """One structure's derivatives from ∂G_i/∂r_ij [pairs, 3, F]."""
    atoms, positions = _dense_blocks(slope, i, j, n_atoms)
    strain = None
    volume = float(torch.linalg.det(cell).abs())
    if volume > 1e-6:
        n_features = slope.shape[2]
        outer = (vectors[:, :, None, None] * slope[:, None]).reshape(-1, 9 * n_features)
        per_atom = outer.new_zeros(n_atoms, 9 * n_features).index_add(0, i, outer) / volume
        strain = per_atom.reshape(n_atoms, 9, n_features).transpose(0, 1).reshape(9, -1).to(dtype)
    return _Jacobian(atoms, positions.to(dtype), strain)


def _dense_blocks(slope: Tensor, i: Tensor, j: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    """∂G_i/∂R for each atom's distinct neighbours and itself: their indices, [atoms, F, neighbours × 3]."""
    n_features = slope.shape[2]
    key, block = torch.unique(i * n_atoms + j, return_inverse=True)
    merged = slope.new_zeros(key.shape[0], 3, n_features).index_add(0, block, slope)
    centre, neighbor = key // n_atoms, key % n_atoms
    count = torch.bincount(centre, minlength=n_atoms)
    width = int(count.max()) + 1 if key.numel() else 1
    column = ranks(count) + 1  # column 0 is the atom itself
    dense = slope.new_zeros(n_atoms, width, 3, n_features)
    dense[centre, column] = merged
    dense[:, 0] = -slope.new_zeros(n_atoms, 3, n_features).index_add(0, i, slope)
    atoms = torch.zeros(n_atoms, width, dtype=torch.int64)
    atoms[:, 0] = torch.arange(n_atoms)
    atoms[centre, column] = neighbor
    return atoms.reshape(-1), dense.reshape(n_atoms, width * 3, n_features).transpose(1, 2).contiguous()
