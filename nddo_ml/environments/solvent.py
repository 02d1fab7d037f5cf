"""An implicit solvent: a dielectric continuum around every molecule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

from torch import Tensor

from nddo_ml.environments.cavity import cavity_radii, sphere, surface_of, van_der_waals_radii
from nddo_ml.environments.continuum import reaction_matrix, surface_potential
from nddo_ml.environments.embedding import Embedding
from nddo_ml.environments.media import Continuum, Medium
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.methods.parameters import Parameters
from nddo_ml.systems import Systems
from nddo_ml.units import EV_KCAL_MOL

_PROBE = 1.4  # Å, of the accessible surface
_AREA_POINTS = 110  # of its spheres


@final
@dataclass(frozen=True)
class Solvent(Continuum):
    """A conductor-like continuum (C-PCM): ``Solvent("water")``, or ``Solvent(eps=10)``; ``eps=inf`` is a conductor.

    Charges on a smooth cavity answer the molecule's one-centre multipoles, self-consistently, with ``f = (ε − 1)/ε``,
    and ``γ A`` is the work of making room, with the solvent-accessible surface A. Energies contain the free energy of
    solvation, gas and solution at the same concentration.

    Memory goes with the square of the points on the surface, some 40 an atom, of which ten matrices are held at once:
    100 atoms take 2 GB, 300 atoms 12 GB.

    Sources: Barone & Cossi, J. Phys. Chem. A 102, 1995 (1998); Klamt & Schüürmann, J. Chem. Soc. Perkin Trans. 2, 799
    (1993); the surface, Lange & Herbert, J. Chem. Phys. 133, 244111 (2010); γ, of water alone, Still et al., J. Am.
    Chem. Soc. 112, 6127 (1990).

    Args:
        name: of the solvent, see ``environments.media``.
        eps: a relative permittivity instead.
        surface_tension: γ in kcal/mol/Å², instead of the solvent's.
        points: of each sphere.

    Raises:
        InputError: an unknown solvent, a permittivity below 1, a number of points for which there is no rule.
    """

    points: int = 110

    KIND: ClassVar[str] = "C-PCM"

    def __post_init__(self, name: str | None, eps: float | None, surface_tension: float | None) -> None:
        Continuum.__post_init__(self, name, eps, surface_tension)
        sphere(self.points)

    def record(self) -> dict[str, Any]:
        """See the protocol."""
        return {"solvent": {**super().record()["solvent"], "points": self.points}}

    def elements(self, atoms: Tensor) -> Tensor:
        """See the protocol; about half of the points of a sphere lie in others."""
        return (atoms * self.points // 2).square()

    def embed(self, systems: Systems, parameters: Parameters, layout: OrbitalLayout) -> Embedding:
        """See the protocol."""
        radii = cavity_radii().to(systems.positions)[systems.numbers]
        surface = surface_of(systems, radii, self.points)
        sources = surface_potential(surface, systems.positions, parameters, layout)
        coulomb = parameters.constants.hartree_ev * parameters.constants.bohr_angstrom
        matrix = reaction_matrix(surface, sources, 1 - 1 / self.medium.permittivity, coulomb)
        return Embedding.of_reaction(matrix, surface_energy(systems, self.medium), parameters.core_charge, layout)


def surface_energy(systems: Systems, medium: Medium) -> Tensor:
    """``γ A`` with the solvent-accessible surface, of van der Waals radii and a probe of 1.4 Å, [systems] eV."""
    if medium.surface_tension == 0:
        return systems.positions.new_zeros(systems.n_systems)
    radii = van_der_waals_radii().to(systems.positions)[systems.numbers] + _PROBE
    return medium.surface_tension / EV_KCAL_MOL * surface_of(systems, radii, _AREA_POINTS).area.sum(dim=1)
