"""MOPAC's molecular-mechanics term for amide bonds, part of its heats of formation by default."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nddo_ml.elements import CARBON, HYDROGEN, NITROGEN, OXYGEN
from nddo_ml.systems import Systems
from nddo_ml.units import EV_KCAL_MOL

_MARGIN = 1e-6  # Å, of a first look at distances
# Å; longest distances at which two atoms count as bonded
_CO, _CN, _NH, _NX = 1.3, 1.6, 1.3, 1.7
_PARTNERS = {OXYGEN: _CO, NITROGEN: _CN}  # of an amide's carbon


@dataclass(frozen=True)
class PeptideBonds:
    """``Σ k sin²φ`` over the dihedrals O–C–N–H and O–C–N–X of every amide group H–N(X)–C=O.

    Semi-empirical methods make the rotation about the amide bond too easy; MOPAC adds this barrier unless told not
    to. Groups are found by distance, as there.
    """

    height: float  # k, kcal/mol

    def energy(self, systems: Systems) -> Tensor:
        """Energy of the term, [systems] eV; differentiable by ``systems.positions``."""
        energy = systems.positions.new_zeros(systems.n_systems)
        quads = find_dihedrals(systems)
        if not quads.numel():
            return energy
        o, c, n, x = systems.positions[quads].unbind(dim=1)
        u, v, w = c - o, n - c, x - n
        a, b = torch.linalg.cross(u, v), torch.linalg.cross(v, w)
        # sin²φ = |a × b|² / (|a|² |b|²)
        lengths = a.square().sum(dim=1) * b.square().sum(dim=1)
        sine2 = torch.linalg.cross(a, b).square().sum(dim=1) / lengths
        return energy.index_add(0, systems.system_idx[quads[:, 0]], self.height / EV_KCAL_MOL * sine2)


def find_dihedrals(systems: Systems) -> Tensor:
    """Atoms (O, C, N, X or H) of the dihedrals that the term applies to, [dihedrals, 4]."""
    z, idx = systems.numbers, systems.system_idx
    positions = systems.positions.detach()
    found: list[list[int]] = []
    for k in _with_amides(systems):
        atoms = torch.nonzero(idx == k).squeeze(1)
        distance = torch.cdist(positions[atoms], positions[atoms])
        quads = _of_molecule(z[atoms].tolist(), distance)
        found += [atoms[list(quad)].tolist() for quad in quads]
    return torch.tensor(found, dtype=torch.int64, device=z.device).view(-1, 4)


def _with_amides(systems: Systems) -> list[int]:
    """Systems in which some carbon is near enough to an oxygen and to a nitrogen."""
    x = systems.positions.detach().cpu().numpy()
    near = np.full(systems.n_atoms, len(_PARTNERS))
    for partner, reach in _PARTNERS.items():
        carbon, other = systems.kept((PeptideBonds, partner), partial(_pairs_of, systems, partner))
        if not len(carbon):
            return []
        squares = np.square(x[other] - x[carbon]).sum(axis=1)
        near[np.unique(carbon[squares <= (reach + _MARGIN) ** 2])] -= 1
    found: list[int] = np.unique(systems.system_idx.cpu().numpy()[near == 0]).tolist()
    return found


def _pairs_of(systems: Systems, partner: int) -> tuple[np.ndarray, np.ndarray]:
    """Every carbon atom with every ``partner`` of its system."""
    z, idx = systems.numbers.cpu().numpy(), systems.system_idx.cpu().numpy()
    carbon, others = np.flatnonzero(z == CARBON), np.flatnonzero(z == partner)
    others = others[np.argsort(idx[others], kind="stable")]
    first = np.searchsorted(idx[others], idx[carbon])
    counts = np.searchsorted(idx[others], idx[carbon], side="right") - first
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(carbon, counts), others[np.repeat(first, counts) + rank]


def _of_molecule(z: list[int], distance: Tensor) -> list[tuple[int, int, int, int]]:
    """Dihedrals of one molecule: the first amide group of each C whose N is not yet taken, by ascending indices."""
    near = distance.tolist()
    of = {e: [a for a, number in enumerate(z) if number == e] for e in (HYDROGEN, CARBON, NITROGEN, OXYGEN)}
    quads: list[tuple[int, int, int, int]] = []
    used: set[int] = set()
    for c in of[CARBON]:
        groups = (
            (o, n, h, x)
            for o in of[OXYGEN]
            if near[c][o] <= _CO
            for n in of[NITROGEN]
            if near[c][n] <= _CN and n not in used
            for h in of[HYDROGEN]
            if near[n][h] <= _NH
            for x in range(len(z))
            if x not in (n, h, c) and near[n][x] <= _NX
        )
        first = next(groups, None)
        if first is not None:
            o, n, h, x = first
            used.add(n)
            quads += [(o, c, n, x), (o, c, n, h)]
    return quads
