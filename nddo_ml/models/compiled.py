"""Systems that the compiled core solves: methods, and hybrids whose networks it asks for parameters and factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from nddo_ml.core.closed import ClosedCorrections
from nddo_ml.core.factors import factors_by_pair
from nddo_ml.core.plan import Plan
from nddo_ml.core.solve import CoreResult, available, is_large, solve
from nddo_ml.energy.adjoint import ResponseOptions
from nddo_ml.environments.embedding import Environment
from nddo_ml.hybrid.correction import Corrections, PairFactors
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.methods.parameters import Method, Parameters
from nddo_ml.models.beside import Beside
from nddo_ml.models.chunks import BESIDE_ELEMENTS, ChunkResult, starting_density
from nddo_ml.scf.solve import SCFOptions, SCFResult
from nddo_ml.systems import Systems
from nddo_ml.terms.catalog import EnergyTerm

_AT_ONCE = 2000  # atoms


@dataclass(frozen=True)
class Recipe:
    """What energies of an NDDO are made of."""

    method: Method
    corrections: Corrections
    closed: ClosedCorrections | None  # the same where they have closed forms
    terms: Sequence[EnergyTerm]
    options: SCFOptions
    response: ResponseOptions


@dataclass(frozen=True)
class Changed:
    """Parameters of atoms and factors of the layout's groups of pairs."""

    parameters: Parameters
    layout: OrbitalLayout
    factors: Sequence[PairFactors | None]


@dataclass(frozen=True)
class Share:
    """The systems of a batch that the core is asked for: float64 on a CPU.

    Open shells with d orbitals are torch's: their solutions are many and lie close, and the core's search, which by
    rounding takes another way, ends in higher ones more often than in lower ones (ARCHITECTURE.md has the count).
    """

    index: Tensor  # [k] systems
    atoms: Tensor  # [n] of the batch
    whole: bool  # whether all of the batch
    orbitals: Tensor  # [k] of each

    @property
    def size(self) -> int:
        """Orbitals of the largest."""
        return int(self.orbitals.max())

    @property
    def has_large(self) -> bool:
        """Whether some molecule is to be solved alone."""
        return bool(is_large(self.orbitals).any())

    @classmethod
    def of(cls, systems: Systems, method: Method, options: SCFOptions, open_shell: Tensor) -> Share | None:
        """The share of a batch; None where there is none."""
        x = systems.positions
        if x.device.type != "cpu" or x.dtype != torch.float64 or options.solution == "mopac" or not available(method):
            return None
        key = (cls, method.name, open_shell.numpy().tobytes())
        return systems.kept(key, lambda: cls._found(systems, method.width[systems.numbers], open_shell))

    @classmethod
    def _found(cls, systems: Systems, width: Tensor, open_shell: Tensor) -> Share | None:
        orbitals = torch.zeros_like(systems.charge).index_add(0, systems.system_idx, width)
        with_d = torch.zeros_like(open_shell).index_fill(0, systems.system_idx[width == 9], value=True)
        index = torch.nonzero(~(open_shell & with_d)).squeeze(1)
        if not index.numel():
            return None
        whole = index.shape[0] == systems.n_systems
        atoms = torch.arange(systems.n_atoms) if whole else systems.select_with_atoms(index)[1]
        return cls(index, atoms, whole, orbitals[index])

    def parts(self, systems: Systems, environment: Environment | None) -> list[Share]:
        """The share in parts of some thousand atoms, so that sums over their pairs fit into the cache and threads.

        Matrices of surroundings are of bounded size as well; large systems are parts of their own.
        """
        atoms = systems.atoms_per_system[self.index]
        size = atoms / _AT_ONCE
        if environment is not None:
            size = torch.maximum(size, environment.elements(atoms) / BESIDE_ELEMENTS)
        large = is_large(self.orbitals)
        if float(size.sum()) <= 1 and (len(large) == 1 or not bool(large.any())):
            return [self]
        ends = torch.cumsum(size[~large], 0)
        counts = [n for n in torch.bincount((ends - 0.5 * size[~large]).long()).tolist() if n]
        every = torch.arange(len(large))
        places = [*every[~large].split(counts), *every[large, None]]
        parts = [(self.index[k], self.orbitals[k]) for k in places]
        return [Share(k, systems.select_with_atoms(k)[1], whole=False, orbitals=n) for k, n in parts]


def field_by_core(
    systems: Systems,
    recipe: Recipe,
    changed: Changed,
    n_occupied: Tensor,
    open_shell: Tensor,
    start: Tensor | None,
    *,
    by_parameter: bool = False,
) -> CoreResult | None:
    """The fields of changed parameters, without a graph; None where the core does not have all of them.

    Args:
        systems: all are asked for.
        recipe: method and options of the field.
        changed: parameters and factors of pairs.
        n_occupied: [systems, 2].
        open_shell: [systems] bool.
        start: densities to start from, or None.
        by_parameter: whether to differentiate the energy by parameters and factors.
    """
    share = Share.of(systems, recipe.method, recipe.options, open_shell)
    if share is None or not share.whole or share.has_large:
        return None
    with torch.no_grad():
        result = solve(
            systems,
            recipe.method,
            n_occupied,
            open_shell,
            recipe.options,
            parameters=changed.parameters,
            factors=factors_by_pair(changed.factors, changed.layout),
            guess=start,
            forces=by_parameter,
            by_parameter=by_parameter,
        )
    return result if bool(result.solved.all()) else None


def solved_by_core(
    batch: Systems,
    share: Share,
    recipe: Recipe,
    n_occupied: Tensor,
    open_shell: Tensor,
    *,
    forces: bool,
    start: Tensor | None,
    environment: Environment | None,
) -> ChunkResult:
    """The results, without a graph, of those systems of a batch that the core solves.

    It leaves those that it does not converge.

    Args:
        batch: the batch.
        share: the systems to try.
        recipe: method, corrections, energy terms, options of the field.
        n_occupied: [systems of the batch, 2].
        open_shell: [systems of the batch] bool.
        forces: whether to give forces.
        start: [systems of the batch, spin, M, M] densities to start from, or None.
        environment: what surrounds the systems of the batch, or nothing.
    """
    systems, index = batch, share.index
    around, sites = (None, None) if environment is None else environment.select(index)
    if not share.whole:
        systems, n_occupied, open_shell = batch.select(index), n_occupied[index], open_shell[index]
    start = starting_density(start, index, open_shell, share.size)
    with torch.set_grad_enabled(forces):
        moving = systems.with_positions(systems.positions.detach().requires_grad_()) if forces else systems
        plan = Plan.of(systems, recipe.method, n_occupied, open_shell)
        beside = Beside.of(moving, plan, recipe.corrections, recipe.closed, recipe.terms, around)
    result = solve(
        systems,
        recipe.method,
        n_occupied,
        open_shell,
        recipe.options,
        parameters=beside.parameters,
        factors=beside.factors,
        around=None if beside.surrounded is None else beside.surrounded.for_core,
        guess=start,
        forces=forces,
        by_parameter=forces and beside.parameters is not None,
    )
    chunk = _chunk(share, result, beside, sites, forces=forces)
    return chunk if bool(result.solved.all()) else _some(chunk, result.solved, systems.system_idx)


def _chunk(share: Share, result: CoreResult, beside: Beside, sites: Tensor | None, *, forces: bool) -> ChunkResult:
    """What the core says of a share, and what stands beside the field."""
    with torch.set_grad_enabled(forces):
        slope, by_sites = beside.gradient(result) if forces else (None, None)
        force = None if slope is None else -_gradient(result) - slope
    return ChunkResult(
        systems=share.index,
        atoms=share.atoms,
        scf=result.scf,
        electronic=result.electronic,
        core=result.core,
        energy=result.electronic + result.core + beside.total,
        charges=result.charges,
        dipole=result.dipole,
        forces=force,
        shift_size=None,
        energy_spread=None if beside.spread is None else beside.spread.energy,
        atomic_spread=None if beside.spread is None else beside.spread.atoms,
        sites=sites,
        site_forces=None if by_sites is None else -by_sites,
    )


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


def _gradient(result: CoreResult) -> Tensor:
    assert result.gradient is not None
    return result.gradient
