"""MOPAC's way through the iteration, for the solution of the field that MOPAC finds.

Where a field has several solutions, the start and the way decide which is found. MOPAC 22 (Apache-2.0, ``iter.F90`` and
``cnvg.F90``) begins with populations of its own, raises the empty levels by a shift that follows the energy and the gap
of the α orbitals, and lets no population change by more than 0.05 an iteration. The numbers below are MOPAC's. Of
exactly equal levels the one of the earlier row is filled.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.scf.density import density_of, diagonalize
from nddo_ml.scf.fock import FockBuilder
from nddo_ml.scf.loop import field_energy
from nddo_ml.units import EV_KCAL_MOL

_LIMIT = 1000  # iterations
_CRITERION = 1e-9 / EV_KCAL_MOL  # eV, change of the energy of a converged field
_STILL = 1e-3  # change of a population in a converged open shell; closed shells 0.05 √(1e-9)
_RISE = 1 / EV_KCAL_MOL  # eV, by which the energy rises where a field thought steady is not
_DAMPING = 0.05  # largest change of a population
_TARGET, _LARGEST = -80.0, 20.0  # eV, minus the first gap asked for; bound of the shift
_FROZEN = 0.005  # change of a population below which the shift stays
_STEADY, _NEARLY = 0.2, 0.0667  # changes of a population below which the field is steady
_SPIN_SCALE = 1.1  # breaks the symmetry of α and β where there are equally many
_TIE = 1e-10  # eV a row, so that equal levels have an order


@dataclass(frozen=True)
class _State:
    """Where the iteration of a batch stands; what MOPAC calls it in brackets."""

    density: Tensor  # [systems, spin, M, M], damped
    filled: Tensor  # [systems, spin, M, M], of occupied orbitals
    older: Tensor  # [systems, spin, M], populations one iteration earlier
    moved: Tensor  # [systems, spin], largest change of a population (pl, plb)
    energy: Tensor  # [systems] eV
    change: Tensor  # [systems] eV, of the energy (diff)
    gap: Tensor  # [systems, spin] eV, of the shifted orbitals; NaN without empty ones
    shift: Tensor  # [systems, spin] eV, by which the empty levels are lowered
    kept: Tensor  # [systems, spin] eV, the last shift while populations moved (shfto)
    target: Tensor  # [systems] eV, minus the gap asked for (ten)
    before: Tensor  # [systems] eV, the target one iteration earlier (tenold)
    ceiling: Tensor  # [systems] eV, of the shift (shfmax)
    near: Tensor  # [systems] bool (oknewd)
    steady: Tensor  # [systems] bool (newdg)
    ready: Tensor  # [systems] bool

    def select(self, index: Tensor) -> _State:
        """That of some systems."""
        return _State(*(getattr(self, f.name)[index] for f in fields(self)))


def mopac_density(builder: FockBuilder, shells: Tensor, n_occupied: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where MOPAC's iteration ends.

    Args:
        builder: Fock matrices of the batch.
        shells: [atoms, 3] electrons in s, p, d of each neutral atom.
        n_occupied: [systems, spin] occupied orbitals; one spin column is a closed shell.

    Returns:
        Indices of the systems where it does end, densities of occupied orbitals [systems, spin, M, M], and the numbers
        of iterations [systems].
    """
    state = _first(torch.diag_embed(_begin(builder.layout, shells, n_occupied)), n_occupied)
    density, count = state.density.clone(), torch.zeros_like(n_occupied[:, 0])
    active = torch.arange(count.shape[0], device=count.device)
    still = torch.where(n_occupied[:, 0] != n_occupied[:, -1], _STILL, 0.05 * 1e-9**0.5)
    found = torch.zeros_like(count, dtype=torch.bool)
    for step in range(1, _LIMIT + 1):
        state, done = _iterate(builder, state, n_occupied, still[active], step)
        density[active], count[active], found[active] = state.filled, step, done
        keep = torch.nonzero(~done).squeeze(1)
        if not keep.numel():
            break
        if keep.numel() < active.numel():
            builder, state = builder.select(keep), state.select(keep)
            active, n_occupied = active[keep], n_occupied[keep]
    return torch.nonzero(found).squeeze(1), density, count


def _begin(layout: OrbitalLayout, shells: Tensor, n_occupied: Tensor) -> Tensor:
    """Populations to begin with, [systems, spin, M]: a charge is spread over all orbitals, metals fill s, d, then p."""
    atom = shells.sum(dim=1)
    neutral = torch.zeros_like(layout.n_orbitals, dtype=shells.dtype).index_add(0, layout.system_idx, atom)
    electrons = n_occupied.sum(dim=1) * (3 - n_occupied.shape[1])
    missing = ((neutral - electrons) / layout.n_orbitals)[layout.system_idx]  # an orbital
    total = shells.new_zeros(layout.n_systems, layout.size)
    for group in layout.atom_groups:
        n, less, metal = atom[group.atoms], missing[group.atoms], shells[group.atoms, 2] > 0
        share = torch.zeros(n.shape[0], group.width, dtype=n.dtype, device=n.device)
        share[:, :4] = (n / min(group.width, 4))[:, None]
        share = share - less[:, None]
        if group.width == 9:
            left = n - 9 * less
            s, d, p = left.clamp(0, 2), (0.2 * (left - 2)).clamp(0, 2), ((left - 12) / 3).clamp(min=0)
            filled = torch.stack((s, p, p, p, d, d, d, d, d), dim=1)
            share = torch.where(metal[:, None], filled, share)
        rows = layout.first_row[group.atoms, None] + torch.arange(group.width, device=n.device)
        total[layout.system_idx[group.atoms, None], rows] = share
    if n_occupied.shape[1] == 1:
        return 0.5 * total[:, None]
    part = (n_occupied[:, 0] / (n_occupied.sum(dim=1) + 1e-6)).to(total)
    weights = torch.stack((part, 1 - part), dim=1)
    weights = torch.where(weights < 1e-6, 0.5, weights)
    turns = _SPIN_SCALE ** (1 - 2 * (torch.arange(layout.size, device=total.device) % 2)).to(total)
    odd = (layout.n_orbitals % 2 == 1)[:, None]  # there MOPAC scales both spins alike
    uneven = torch.stack((turns.expand_as(total), torch.where(odd, turns, 1 / turns)), dim=1)
    same = (n_occupied[:, 0] == n_occupied[:, 1])[:, None, None]
    return total[:, None] * weights[:, :, None] * torch.where(same, uneven, 1.0)


def _first(density: Tensor, n_occupied: Tensor) -> _State:
    per_spin = density.new_zeros(n_occupied.shape)
    per_system, no = per_spin[:, 0], torch.zeros_like(n_occupied[:, 0], dtype=torch.bool)
    shift = per_spin.clone()
    shift[:, 0] = 1
    return _State(
        density=density,
        filled=density,
        older=density.diagonal(dim1=2, dim2=3).clone(),
        moved=per_spin + 1,
        energy=per_system,
        change=per_system,
        gap=per_spin,
        shift=shift,
        kept=per_spin,
        target=per_system + _TARGET,
        before=per_system,
        ceiling=per_system + _LARGEST,
        near=no,
        steady=no,
        ready=no,
    )


def _iterate(builder: FockBuilder, old: _State, n_occupied: Tensor, still: Tensor, step: int) -> tuple[_State, Tensor]:
    """One iteration, and which systems are converged."""
    state = _shifted(old) if step > 1 else old
    moving = state.moved[:, :1] > _FROZEN
    kept = torch.where(moving, state.shift, state.kept)
    real = builder.layout.real_rows
    empty = torch.diag_embed(real.to(kept))[:, None] - state.density
    fock = builder.fock(state.density) - kept[:, :, None, None] * empty
    energy = field_energy(builder, state.density, fock)
    change = energy - state.energy if step > 1 else torch.full_like(energy, -1.0)
    target = torch.where(change > 0, state.target - 1, 0.975 * state.target + 0.05)
    first_moved = state.moved[:, 0]
    unmoved = (first_moved == 0) & (step > 1)
    done = (step > 4) & state.ready & (unmoved | ((first_moved < still) & (change.abs() < _CRITERION)))

    tie = _TIE * torch.arange(real.shape[1], dtype=fock.dtype, device=fock.device)
    levels, orbitals = diagonalize(fock + torch.diag(tie), real)
    column = torch.arange(real.shape[1], device=real.device)
    filled = density_of(orbitals * (column < n_occupied[:, :, None])[:, :, None])
    density, moved = _damped(filled, state, step)
    near = state.near | (moved[:, 0] < _CRITERION)
    return replace(
        state,
        density=density,
        filled=filled,
        older=state.density.diagonal(dim1=2, dim2=3),
        moved=moved,
        energy=energy,
        change=change,
        gap=_gap(levels, n_occupied, builder.layout.n_orbitals),
        shift=kept,
        kept=kept,
        target=target,
        before=state.target,
        near=near | (moved[:, 0] < _NEARLY),
        steady=state.steady | (near & (moved[:, 0] < _STEADY)),
        ready=(change.abs() < 10 * _CRITERION) | unmoved,
    ), done


def _gap(levels: Tensor, n_occupied: Tensor, n_orbitals: Tensor) -> Tensor:
    """Differences of the levels about the gap, [systems, spin]; a spin without electrons counts as with one."""
    homo = n_occupied.clamp(min=1)
    lumo = levels.gather(2, homo.clamp(max=levels.shape[2] - 1)[:, :, None]).squeeze(2)
    gap = lumo - levels.gather(2, homo[:, :, None] - 1).squeeze(2)
    return torch.where(homo < n_orbitals[:, None], gap, torch.nan)


def _shifted(state: _State) -> _State:
    """The next shift: what opens the gap to its target, or small steps where the field is steady."""
    rises = state.change > 0
    steady = state.steady & (state.change <= _RISE)
    wanted = torch.where(state.gap.isnan(), 0.0, state.target[:, None] + state.gap + state.shift)
    alpha = torch.where(state.steady, torch.where(rises, 1.0, -0.1), wanted[:, 0])
    ceiling = torch.where(rises & (alpha > 4), 4.5, state.ceiling)
    ceiling = torch.where(rises & (alpha > ceiling), (ceiling - 0.5).clamp(min=0), ceiling)
    alpha = torch.minimum(alpha, ceiling).clamp(min=-_LARGEST)
    ceiling = torch.where((alpha - ceiling).abs() < 1e-5, ceiling + 0.01, ceiling)
    shift = [alpha]
    if state.shift.shape[1] == 2:
        beta = torch.where(steady, state.target - state.before, wanted[:, 1])
        beta = torch.where(rises, beta.clamp(max=4), beta)
        shift.append(torch.minimum(beta, ceiling).clamp(min=-_LARGEST))
    return replace(state, shift=torch.stack(shift, dim=1), ceiling=ceiling, steady=steady)


def _damped(filled: Tensor, state: _State, step: int) -> tuple[Tensor, Tensor]:
    """The next densities, extrapolated at every third iteration, and the largest changes of populations."""
    closed = 3 - filled.shape[1]  # MOPAC's densities of closed shells hold two electrons an orbital
    new, last = (p.diagonal(dim1=2, dim2=3) for p in (filled, state.density))
    step_of = new - last
    moved = closed * step_of.abs().amax(dim=2)
    factor = torch.zeros_like(moved)
    if step % 3 == 0:
        first = (closed * step_of).square().sum(dim=2)
        second = (closed * (step_of - last + state.older)).square().sum(dim=2)
        usable = (second > 1e-10) & (first < 100 * second)
        factor = torch.where(usable, (first / second.clamp(min=1e-300)).sqrt(), 0.0)
    density = filled + factor[:, :, None, None] * (filled - state.density)
    population = new + factor[:, :, None] * step_of
    if step > 3:
        limit = _DAMPING / closed
        population = torch.where(step_of.abs() > limit, last + limit * step_of.sign(), population)
    population = _renormalized(population.clamp(0, 1), new.sum(dim=2))
    density.diagonal(dim1=2, dim2=3).copy_(population)
    return density, moved


def _renormalized(population: Tensor, electrons: Tensor) -> Tensor:
    """Populations between 0 and 1 that sum to ``electrons``; full orbitals stay full."""
    wanted, total = electrons, population.sum(dim=2)
    for _ in range(100):
        scale = torch.where(total > 1e-3, wanted / total.clamp(min=1e-3), 0.0)
        open_ = (total > 1e-3) & ((scale - 1).abs() > 1e-5)
        if not bool(open_.any()):
            break
        scaled = population * scale[:, :, None]
        population = torch.where(open_[:, :, None], scaled.clamp(max=1), population)
        full = scaled > 1
        wanted = torch.where(open_, electrons - full.sum(dim=2), wanted)
        total = torch.where(open_, scaled.masked_fill(full, 0.0).sum(dim=2), total)
    return population
