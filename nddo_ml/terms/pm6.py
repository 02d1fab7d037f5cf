"""Two terms that MOPAC adds to PM6's heats of formation: flatness of nitrogen and carbon–carbon triple bonds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bp_descriptors.geometry import norm
from nddo_ml.elements import CARBON, HYDROGEN, NITROGEN
from nddo_ml.systems import Systems
from nddo_ml.terms.bonds import bonds_of
from nddo_ml.units import EV_KCAL_MOL


@dataclass(frozen=True)
class FlatNitrogen:
    """``Σ −0.5 exp(−10 (2π − Σ angles))`` kcal/mol over nitrogen atoms.

    Counted are those with exactly three ligands, at most one of them hydrogen. The energy steps, down where a third
    ligand comes, by at most 0.5 kcal/mol, where the forces of a bond so long are many times what could stop a step.
    MOPAC 22 leaves this term out of its gradients; here the force is the derivative of the energy.
    Source: MOPAC manual, "Corrections to PM6".
    """

    depth: float = 0.5  # kcal/mol
    steepness: float = 10.0  # 1/rad

    def energy(self, systems: Systems) -> Tensor:
        """Energy of the term, [systems] eV; differentiable by ``systems.positions``."""
        z, x = systems.numbers, systems.positions
        energy = x.new_zeros(systems.n_systems)
        if not bool((z == NITROGEN).any()):
            return energy
        bonds = bonds_of(systems, NITROGEN)
        ligands = torch.bincount(bonds.i, minlength=systems.n_atoms)
        hydrogens = torch.bincount(bonds.i[z[bonds.j] == HYDROGEN], minlength=systems.n_atoms)
        atoms = torch.nonzero((z == NITROGEN) & (ligands == 3) & (hydrogens < 2)).squeeze(1)
        first = torch.searchsorted(bonds.i, atoms)
        v = x[bonds.j[first[:, None] + torch.arange(3, device=z.device)]] - x[atoms, None]
        w = v.roll(1, dims=1)
        angles = torch.atan2(norm(torch.linalg.cross(v, w)), (v * w).sum(dim=2)).sum(dim=1)
        term = -self.depth / EV_KCAL_MOL * torch.exp(-self.steepness * (2 * torch.pi - angles))
        return energy.index_add(0, systems.system_idx[atoms], term)


@dataclass(frozen=True)
class TripleBonds:
    """12 kcal/mol for every bond of two carbon atoms with two ligands each that is shorter than 1.27 Å.

    A constant, which corrects heats of formation and leaves forces as they are. It is not switched smoothly: minima
    of such bonds lie on both sides of 1.27 Å (PM6: benzyne 1.259, butatriene 1.274, the middle of diacetylene 1.368)
    and have MOPAC's heats, so that a switch would have to fall so steeply that it made a minimum of its own. Instead
    the steps of optimisations and curves are judged without it (:mod:`nddo_ml.models.constant`). MOPAC counts the bonds
    of the geometry that a calculation starts from; here every geometry has its own.
    Source: MOPAC manual, "Corrections to PM6".
    """

    height: float = 12.0  # kcal/mol
    longest: float = 1.27  # Å

    def energy(self, systems: Systems) -> Tensor:
        """Energy of the term, [systems] eV."""
        x = systems.positions.detach()
        bonds = bonds_of(systems, CARBON)
        linear = torch.bincount(bonds.i, minlength=systems.n_atoms) == 2
        short = (x[bonds.j] - x[bonds.i]).norm(dim=1) < self.longest
        carbon = (systems.numbers[bonds.j] == CARBON) & (bonds.j < bonds.i)
        triple = bonds.i[linear[bonds.i] & linear[bonds.j] & short & carbon].unique()
        constant = x.new_full(triple.shape, self.height / EV_KCAL_MOL)
        return x.new_zeros(systems.n_systems).index_add(0, systems.system_idx[triple], constant)
