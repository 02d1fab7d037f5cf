"""A uniform electric field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nddo_ml.environments.embedding import Embedding
from nddo_ml.errors import InputError
from nddo_ml.integrals.angular import SHELL, product_multipoles
from nddo_ml.integrals.layout import OrbitalLayout
from nddo_ml.integrals.packing import packed_index, packed_pairs
from nddo_ml.methods.parameters import PD_SEPARATION, SP_SEPARATION, Parameters
from nddo_ml.systems import Systems


@dataclass(frozen=True)
class UniformField:
    """A uniform electric field: ``E = −F·μ`` with the dipole moment μ of :func:`energy.properties.dipole_moment`.

    The potential of the electrons is ``V_μμ = F·R_A`` and, between s and p or p and d of an atom, F times the charge
    separation of their dipole. The energy of an ion depends on the origin, as in nature: that of the coordinates.
    """

    field: Tensor  # [3] or [systems, 3] V/Å

    @classmethod
    def of(cls, field: Sequence[float] | Tensor) -> UniformField:
        """A field from three numbers, or three for each system, V/Å.

        Raises:
            InputError: anything else, or numbers that are not finite.
        """
        vector = torch.as_tensor(field, dtype=torch.float64)
        if vector.ndim not in (1, 2) or vector.shape[-1] != 3 or not bool(vector.isfinite().all()):
            raise InputError(f"a field is three finite numbers in V/Å, or three a system; got {field}")
        return cls(vector)

    @property
    def positions(self) -> None:
        """A field has no sites."""
        return

    @property
    def alike(self) -> bool:
        """See the protocol."""
        return self.field.ndim == 1

    @property
    def free_motions(self) -> int:
        """Translations: the energy of an ion changes linearly with them."""
        return 3

    def record(self) -> dict[str, Any]:
        """See the protocol."""
        return {"field_V_A": self.field.tolist()}

    def with_positions(self, positions: Tensor) -> UniformField:
        """Itself."""
        return self

    def over(self, n_systems: int) -> UniformField:
        """Itself."""
        return self

    def select(self, index: Tensor) -> tuple[UniformField, Tensor]:
        """See the protocol."""
        chosen = self.field if self.field.ndim == 1 else self.field[index]
        return replace(self, field=chosen), index.new_zeros(0)

    def elements(self, atoms: Tensor) -> Tensor:
        """See the protocol."""
        return torch.zeros_like(atoms)

    def check(self, systems: Systems) -> None:
        """See the protocol."""
        if self.field.ndim == 2 and self.field.shape[0] != systems.n_systems:
            raise InputError(f"expected one field or one a system ({systems.n_systems}); got {self.field.shape[0]}")

    def embed(self, systems: Systems, parameters: Parameters, layout: OrbitalLayout) -> Embedding:
        """See the protocol."""
        x, idx = systems.positions, systems.system_idx
        field = self.field.to(x).expand(systems.n_systems, 3)[idx]
        potential = (field * x).sum(dim=1)
        energy = x.new_zeros(systems.n_systems).index_add(0, idx, -parameters.core_charge * potential)
        blocks = []
        for group in layout.atom_groups:
            atoms, width = group.atoms, group.width
            block = x.new_zeros(atoms.shape[0], len(packed_pairs(width)))
            block[:, packed_index(width).diagonal().to(x.device)] = potential[atoms, None]
            separation = parameters.multipoles.separation[atoms] * parameters.constants.bohr_angstrom
            if width >= 4:
                columns = packed_index(width)[0, 1:4].to(x.device)
                block[:, columns] = field[atoms] * separation[:, SP_SEPARATION, None]
            if width == 9:
                columns, moments = _pd_products(x)
                block[:, columns] = (field[atoms] @ moments) * separation[:, PD_SEPARATION, None]
            blocks.append(block)
        return Embedding(tuple(blocks), energy)


def _pd_products(like: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of the products of p and d, and ``⟨p|x|d⟩`` in units of their charge separation, [3, products]."""
    pairs = packed_pairs(9)
    columns = [k for k, (i, j) in enumerate(pairs) if SHELL[i] == 2 and SHELL[j] == 1]
    moments = product_multipoles(9)[1:4, columns] * 5**0.5
    return torch.tensor(columns, device=like.device), moments.to(like)
