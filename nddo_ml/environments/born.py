"""A generalised-Born solvent: charges of atoms in a continuum, at hardly any cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from nddo_ml.environments.cavity import Atoms, van_der_waals_radii
from nddo_ml.environments.embedding import Embedding
from nddo_ml.environments.media import Continuum
from nddo_ml.environments.solvent import surface_energy
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.integrals.packing import packed_index
from nddo_ml.methods.parameters import Parameters
from nddo_ml.systems import Systems

# Onufriev, Bashford & Case, Proteins 55, 383 (2004), model II, with the scales that force fields use
_OFFSET = 0.09  # Å
_ALPHA, _BETA, _GAMMA = 1.0, 0.8, 4.85
_SCALES = {1: 0.85, 6: 0.72, 7: 0.79, 8: 0.85, 9: 0.88, 15: 0.86, 16: 0.96}
_SCALE = 0.8


@final
@dataclass(frozen=True)
class GeneralizedBorn(Continuum):
    """A continuum about the charges of the atoms alone: ``GeneralizedBorn("water")``.

    ``E = −½ (1 − 1/ε) Σ_AB q_A q_B/f_AB + γ A`` with ``f² = R² + b_A b_B exp(−R²/(4 b_A b_B))``, Coulson
    charges q that the field makes self-consistent, and Born radii b from the positions. For dynamics: it costs hardly
    anything, and :class:`Solvent` is the better model.

    Sources: Onufriev, Bashford & Case, Proteins 55, 383 (2004), "OBC II"; Still, Tempczyk, Hawley & Hendrickson, J. Am.
    Chem. Soc. 112, 6127 (1990).

    Args:
        name: of the solvent, see ``environments.media``.
        eps: a relative permittivity instead.
        surface_tension: γ in kcal/mol/Å², instead of the solvent's.

    Raises:
        InputError: an unknown solvent, a permittivity below 1.
    """

    KIND: ClassVar[str] = "GB"

    def elements(self, atoms: Tensor) -> Tensor:
        """See the protocol."""
        return torch.zeros_like(atoms)

    def embed(self, systems: Systems, parameters: Parameters, layout: OrbitalLayout) -> Embedding:
        """See the protocol."""
        coulomb = parameters.constants.hartree_ev * parameters.constants.bohr_angstrom
        between = born_interaction(systems) * (-coulomb * (1 - 1 / self.medium.permittivity))
        blocks = [torch.zeros_like(places) for places in layout.product_places[1]]
        for block, group in zip(blocks, layout.atom_groups, strict=True):
            diagonal = packed_index(group.width).diagonal().to(block.device)
            block[:, diagonal] = systems.places[group.atoms, None] + 1
        place = layout.join_products(blocks)
        of_atom = torch.nn.functional.one_hot(place, between.shape[1] + 1)[..., 1:].to(between)
        matrix = of_atom @ between @ of_atom.transpose(1, 2)
        return Embedding.of_reaction(matrix, surface_energy(systems, self.medium), parameters.core_charge, layout)


def born_interaction(systems: Systems) -> Tensor:
    """``1/f_AB`` of the atoms of every system, [systems, most atoms, most atoms] 1/Å, zero where there is no atom."""
    atoms = Atoms.of(systems, van_der_waals_radii().to(systems.positions)[systems.numbers])
    pair = atoms.real[:, :, None] & atoms.real[:, None, :]
    other = pair & ~torch.eye(pair.shape[1], dtype=torch.bool, device=pair.device)
    squares = (atoms.centers[:, :, None] - atoms.centers[:, None]).square().sum(dim=3)
    r = torch.where(other, squares, 1.0).sqrt()
    scales = torch.full((120,), _SCALE, dtype=r.dtype)
    for number, scale in _SCALES.items():
        scales[number] = scale
    reduced = atoms.radii - _OFFSET
    reach = atoms.padded(scales.to(r.device)[systems.numbers]) * reduced
    integral = torch.where(other, _descreening(r, reduced[:, :, None], reach[:, None, :]), 0.0).sum(dim=2)
    psi = integral * reduced
    born = 1 / (1 / reduced - torch.tanh(psi * (_ALPHA - psi * (_BETA - psi * _GAMMA))) / atoms.radii)
    product = born[:, :, None] * born[:, None, :]
    square = torch.where(other, squares, 0.0)
    return torch.where(pair, torch.rsqrt(square + product * torch.exp(-square / (4 * product))), 0.0)


def _descreening(r: Tensor, radius: Tensor, reach: Tensor) -> Tensor:
    """``½ ∫ dr/r²`` about an atom over the part of another's sphere that is outside its own, 1/Å.

    Hawkins, Cramer & Truhlar, Chem. Phys. Lett. 246, 122 (1995), eq. 13.
    """
    upper = r + reach
    lower = torch.maximum(radius, (r - reach).abs())
    shell = 0.25 * (r - reach**2 / r) * (upper**-2 - lower**-2) + 0.5 / r * (lower / upper).log()
    value = 1 / lower - 1 / upper + shell
    engulfed = torch.where(reach - r > radius, 2 * (1 / radius - 1 / lower), 0.0)
    return torch.where(upper > radius, 0.5 * (value + engulfed), 0.0)
