"""Systems that the compiled core solves: methods, and hybrids whose networks it asks for parameters and factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from nddo_ml.core.factors import factors_by_pair
from nddo_ml.core.parameters import differentiable_parameters
from nddo_ml.core.solve import CoreResult, available, solve
from nddo_ml.derivatives import contracted_gradient
from nddo_ml.hybrid.correction import Corrections, Spread
from nddo_ml.integrals.layout import build_layout
from nddo_ml.methods.parameters import Method, Parameters, parameters_of
from nddo_ml.models.chunks import ChunkResult, starting_density
from nddo_ml.scf.solve import SCFOptions, SCFResult
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm

_LARGEST = 300  # orbitals up to which the core is asked; larger matrices are torch's, which shares them among threads


@dataclass(frozen=True)
class Beside:
    """What is computed by torch beside the core, with its graph to the positions."""

    parameters: Parameters | None  # None: the method's own
    factors: Tensor | None  # [pairs, N_FACTORS]
    energy: Tensor  # [systems] eV
    spread: Spread | None  # of the corrections' energy

    @classmethod
    def of(cls, systems: Systems, method: Method, corrections: Corrections, terms: Sequence[EnergyTerm]) -> Beside:
        """Of a batch."""
        energy = systems.positions.new_zeros(systems.n_systems)
        parameters = factors = spread = None
        if len(corrections):
            at = corrections.at(systems)
            parameters = at.shifted(parameters_of(systems, method))
            layout = build_layout(systems.system_idx, parameters.width, systems.n_systems)
            factors = factors_by_pair(at.pair_factors(layout), layout)
            energy = energy + at.energy()
            spread = at.spread()
        for term in terms:
            energy = energy + term.energy(systems)
        return cls(parameters, factors, energy, spread)


def suitable(systems: Systems, method: Method, options: SCFOptions, open_shell: Tensor) -> Tensor:
    """Indices of the systems that the core may be asked for: float64 on a CPU, not too large.

    Open shells with d orbitals, whose solutions are many and lie close, are torch's.
    """
    x = systems.positions
    if x.device.type != "cpu" or x.dtype != torch.float64 or options.solution == "mopac" or not available(method):
        return x.new_zeros(0, dtype=torch.int64)
    width = method.width[systems.numbers]
    orbitals = torch.zeros_like(systems.charge).index_add(0, systems.system_idx, width)
    with_d = torch.zeros_like(open_shell).index_fill(0, systems.system_idx[width == 9], value=True)
    return torch.nonzero((orbitals <= _LARGEST) & ~(open_shell & with_d)).squeeze(1)


def solved_by_core(
    batch: Systems,
    index: Tensor,
    method: Method,
    corrections: Corrections,
    terms: Sequence[EnergyTerm],
    options: SCFOptions,
    n_occupied: Tensor,
    open_shell: Tensor,
    *,
    forces: bool,
    start: Tensor | None,
) -> ChunkResult:
    """The results, without a graph, of those systems of a batch that the core solves.

    It leaves those that it does not converge.

    Args:
        batch: the batch.
        index: the systems to try.
        method: the parent method.
        corrections: of a hybrid, or empty.
        terms: energy terms beside the field.
        options: of the field.
        n_occupied: [index, 2].
        open_shell: [index] bool.
        forces: whether to give forces.
        start: [systems of the batch, spin, M, M] densities to start from, or None.
    """
    systems, atoms = batch, torch.arange(batch.n_atoms)
    if index.shape[0] < batch.n_systems:
        systems, atoms = batch.select_with_atoms(index)
    if start is not None:
        width = torch.zeros_like(systems.charge).index_add(0, systems.system_idx, method.width[systems.numbers])
        spins = n_occupied if bool(open_shell.any()) else n_occupied[:, :1]
        start = starting_density(start, index, spins, int(width.max()))
    with torch.set_grad_enabled(forces):
        moving = systems.with_positions(systems.positions.detach().requires_grad_()) if forces else systems
        beside = Beside.of(moving, method, corrections, terms)
    result = solve(
        systems,
        method,
        n_occupied,
        open_shell,
        options,
        parameters=beside.parameters,
        factors=beside.factors,
        guess=start,
        forces=forces,
        by_parameter=forces and beside.parameters is not None,
    )
    with torch.set_grad_enabled(forces):
        force = _forces(result, beside, moving.positions) if forces else None
    chunk = ChunkResult(
        systems=index,
        atoms=atoms,
        scf=result.scf,
        electronic=result.electronic,
        core=result.core,
        energy=result.electronic + result.core + beside.energy.detach(),
        charges=result.charges,
        dipole=result.dipole,
        forces=force,
        shift_size=None,
        energy_spread=None if beside.spread is None else beside.spread.energy,
        atomic_spread=None if beside.spread is None else beside.spread.atoms,
    )
    return chunk if bool(result.solved.all()) else _some(chunk, result.solved, systems.system_idx)


def _some(chunk: ChunkResult, chosen: Tensor, system_idx: Tensor) -> ChunkResult:
    """The chunk without the systems that are not chosen."""
    of_atoms = chosen[system_idx]
    return replace(
        chunk,
        systems=chunk.systems[chosen],
        atoms=chunk.atoms[of_atoms],
        scf=SCFResult(*(getattr(chunk.scf, field.name)[chosen] for field in fields(SCFResult))),
        electronic=chunk.electronic[chosen],
        core=chunk.core[chosen],
        energy=chunk.energy[chosen],
        charges=chunk.charges[of_atoms],
        dipole=chunk.dipole[chosen],
        forces=None if chunk.forces is None else chunk.forces[of_atoms],
        energy_spread=None if chunk.energy_spread is None else chunk.energy_spread[chosen],
        atomic_spread=None if chunk.atomic_spread is None else chunk.atomic_spread[of_atoms],
    )


def _forces(result: CoreResult, beside: Beside, positions: Tensor) -> Tensor:
    """The core's forces, and those by way of what torch computed beside it."""
    assert result.gradient is not None
    outputs, weights = [beside.energy], [torch.ones_like(beside.energy)]
    if beside.parameters is not None:
        assert result.by_parameter is not None
        for tensor, columns in differentiable_parameters(beside.parameters):
            outputs.append(tensor)
            weights.append(result.by_parameter[:, columns])
    if beside.factors is not None:
        assert result.by_factor is not None
        outputs.append(beside.factors)
        weights.append(result.by_factor)
    return -result.gradient - contracted_gradient(outputs, weights, [positions])[0]
