"""External point charges, optionally smeared, such as the molecular-mechanics part of a QM/MM calculation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nddo_ml.environments.embedding import Embedding
from nddo_ml.errors import InputError
from nddo_ml.integrals.layout import AtomGroup, OrbitalLayout
from nddo_ml.integrals.packing import packed_pairs
from nddo_ml.integrals.rotate import rotate_blocks
from nddo_ml.integrals.two_center import local_integrals
from nddo_ml.methods.parameters import RADII, SEPARATIONS, Parameters
from nddo_ml.systems import Systems

if TYPE_CHECKING:
    from ase import Atoms

_NEAREST = 0.05  # Å; a charge nearer than this to an atom stands on it


@dataclass(frozen=True)
class PointCharges:
    """Charges beside the molecules of a batch; each acts on the molecule of its system only, or all on every one.

    A charge q acts as a core of that charge: ``V_μν = −q (μν|q)`` with the multipole integrals of the method and an
    additive radius (0: a point), and ``q Z_A γ`` on the core of atom A, γ = e²/√(R² + (ρ_A + ρ)²); electrons and
    cores share the long-range 1/R, so that neutral atoms do not feel distant charges. Repulsion and dispersion between
    the two parts are the force field's.
    """

    charges: Tensor  # [sites] e
    positions: Tensor  # [sites, 3] Å
    system_idx: Tensor | None  # [sites] int64; None: all surround every system
    radius: Tensor  # [sites] Å, additive radius ρ of a smeared charge

    @classmethod
    def of(
        cls,
        charges: Sequence[float] | Tensor,
        positions: Sequence[Sequence[float]] | Tensor,
        system_idx: Sequence[int] | Tensor | None = None,
        radius: float | Sequence[float] | Tensor = 0.0,
    ) -> PointCharges:
        """Checked charges (e) at positions (Å); without ``system_idx`` they surround every system of any batch.

        Forces on charges that surround n systems are n times as many, system by system.

        Raises:
            InputError: shapes that do not fit, numbers that are not finite, a negative radius.
        """
        q, x = (torch.as_tensor(v, dtype=torch.float64) for v in (charges, positions))
        if q.ndim != 1 or x.shape != (q.shape[0], 3):
            raise InputError(f"expected n charges and their positions [n, 3]; got {list(q.shape)} and {list(x.shape)}")
        rho = torch.as_tensor(radius, dtype=torch.float64).expand(q.shape)
        if not all(bool(v.isfinite().all()) for v in (q, x, rho)) or bool((rho < 0).any()):
            raise InputError("charges, positions and radii of point charges must be finite, radii not negative")
        idx = None if system_idx is None else torch.as_tensor(system_idx)
        if idx is not None and idx.shape != q.shape:
            raise InputError(f"expected a system for each of {q.shape[0]} charges; got {list(idx.shape)}")
        return cls(q, x, idx, rho)

    @classmethod
    def from_ase(cls, atoms: Atoms | Sequence[Atoms], radius: float = 0.0) -> PointCharges:
        """The initial charges of one ``Atoms`` around every system, or of one a system, at their positions."""
        from ase import Atoms

        if isinstance(atoms, Atoms):
            return cls.of(atoms.get_initial_charges(), atoms.positions, radius=radius)
        frames = list(atoms)
        charges = torch.cat([torch.as_tensor(f.get_initial_charges()) for f in frames])
        positions = torch.cat([torch.as_tensor(f.positions) for f in frames])
        sizes = torch.tensor([len(f) for f in frames])
        return cls.of(charges, positions, torch.repeat_interleave(torch.arange(len(frames)), sizes), radius)

    @property
    def alike(self) -> bool:
        """See the protocol."""
        return self.system_idx is None

    @property
    def free_motions(self) -> int:
        """None: the charges stay where they are."""
        return 0

    def record(self) -> dict[str, Any]:
        """See the protocol."""
        columns = [self.charges[:, None], self.positions, self.radius[:, None]]
        columns += [] if self.system_idx is None else [self.system_idx[:, None]]
        numbers = torch.cat([c.detach().double().cpu() for c in columns], dim=1).contiguous().numpy()
        digest = hashlib.sha256(numbers.tobytes()).hexdigest()
        return {"point_charges": {"count": len(self.charges), "total_e": float(self.charges.sum()), "sha256": digest}}

    def with_positions(self, positions: Tensor) -> PointCharges:
        """The same charges elsewhere."""
        return replace(self, positions=positions)

    def over(self, n_systems: int) -> PointCharges:
        """See the protocol."""
        if self.system_idx is not None:
            return self
        sites = self.charges.shape[0]
        idx = torch.arange(n_systems, device=self.charges.device).repeat_interleave(sites)
        each = self.charges.repeat(n_systems), self.positions.repeat(n_systems, 1)
        return PointCharges(*each, idx, self.radius.repeat(n_systems))

    def select(self, index: Tensor) -> tuple[PointCharges, Tensor]:
        """See the protocol."""
        system_idx = self._systems
        chosen = system_idx[:, None] == index.to(system_idx.device)
        sites = torch.nonzero(chosen.any(dim=1)).squeeze(1)
        at = chosen[sites].to(torch.int64).argmax(dim=1)
        return PointCharges(self.charges[sites], self.positions[sites], at, self.radius[sites]), sites

    def elements(self, atoms: Tensor) -> Tensor:
        """See the protocol."""
        return torch.zeros_like(atoms)

    def check(self, systems: Systems) -> None:
        """See the protocol."""
        of = self._systems
        beyond = of[(of < 0) | (of >= systems.n_systems)].tolist()
        if beyond:
            raise InputError(f"point charges surround systems 0 to {systems.n_systems - 1}; got system {beyond[0]}")
        for atoms, sites in self._pairs(systems.system_idx, torch.arange(systems.n_atoms)):
            r = (self.positions[sites].detach().to(systems.positions) - systems.positions.detach()[atoms]).norm(dim=1)
            near = torch.nonzero(r < _NEAREST).squeeze(1).tolist()
            if near:
                atom, site = int(atoms[near[0]]), int(sites[near[0]])
                system = int(systems.system_idx[atom])
                local = int((systems.system_idx[:atom] == system).sum())
                raise InputError(f"system {system}, atom {local}: point charge {site} stands on it")

    def embed(self, systems: Systems, parameters: Parameters, layout: OrbitalLayout) -> Embedding:
        """See the protocol."""
        here = self._on(systems.positions)
        energy = systems.positions.new_zeros(systems.n_systems)
        blocks = []
        for group in layout.atom_groups:
            block = systems.positions.new_zeros(group.atoms.shape[0], len(packed_pairs(group.width)))
            for rows, sites in here._pairs(systems.system_idx[group.atoms], torch.arange(group.atoms.shape[0])):
                atoms = group.atoms[rows]
                vector = here.positions[sites] - systems.positions[atoms]
                r = vector.norm(dim=1)
                attraction = here._attraction(vector, r, sites, parameters, group, atoms)
                block = block.index_add(0, rows, -attraction)
                energy = energy.index_add(0, systems.system_idx[atoms], here._repulsion(r, sites, parameters, atoms))
            blocks.append(block)
        return Embedding(tuple(blocks), energy)

    @property
    def _systems(self) -> Tensor:
        if self.system_idx is None:
            raise InputError("charges that surround every system are those of a batch by over() alone")
        return self.system_idx

    def _on(self, like: Tensor) -> PointCharges:
        return PointCharges(
            self.charges.to(like), self.positions.to(like), self._systems.to(like.device), self.radius.to(like)
        )

    def _pairs(self, system_idx: Tensor, rows: Tensor, most: int = 200_000) -> list[tuple[Tensor, Tensor]]:
        """All (row of an atom, site) of one system each, in portions of bounded size."""
        rows = rows.to(system_idx.device)
        per_portion = max(1, most // max(1, self.charges.shape[0]))
        found = []
        for part in rows.split(per_portion):
            at, site = torch.nonzero(system_idx[part][:, None] == self._systems.to(part.device), as_tuple=True)
            if at.numel():
                found.append((part[at], site))
        return found

    def _attraction(
        self, vector: Tensor, r: Tensor, sites: Tensor, p: Parameters, group: AtomGroup, atoms: Tensor
    ) -> Tensor:
        """q (μν|q) of pairs of an atom and a charge, [pairs, products] eV."""
        bohr, width = p.constants.bohr_angstrom, group.width
        separation = p.multipoles.separation[:, : SEPARATIONS[width]][atoms]
        radius = p.multipoles.radius[:, : RADII[width]][atoms]
        own = self.radius[sites, None] / bohr
        nothing = separation.new_zeros(atoms.shape[0], 0)
        local = local_integrals(r / bohr, (separation, nothing), (radius, own), (width, 1))
        turned = rotate_blocks(local, vector / r[:, None], (width, 1), products=True)
        return (p.constants.hartree_ev * self.charges[sites])[:, None] * turned.squeeze(2)

    def _repulsion(self, r: Tensor, sites: Tensor, p: Parameters, atoms: Tensor) -> Tensor:
        """q Z_A γ, [pairs] eV."""
        bohr = p.constants.bohr_angstrom
        radius = p.multipoles.core_radius[atoms] + self.radius[sites] / bohr
        gamma = p.constants.hartree_ev * torch.rsqrt((r / bohr) ** 2 + radius**2)
        return self.charges[sites] * p.core_charge[atoms] * gamma
