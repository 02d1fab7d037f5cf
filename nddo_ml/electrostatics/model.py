"""Electrostatics: charges of a committee's members and the Coulomb energy that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from nddo_ml.electrostatics.charges import (
    ChargeModel,
    EquilibratedCharges,
    FixedCharges,
    NetworkCharges,
    PublishedCharges,
    Surroundings,
)
from nddo_ml.electrostatics.coulomb import coulomb_matrices
from nddo_ml.electrostatics.rows import AtomRows
from nddo_ml.electrostatics.screening import screened_part
from nddo_ml.elements import number_of, symbol_of
from nddo_ml.errors import InputError
from nddo_ml.networks import NetworkShape
from nddo_ml.systems import Systems

KINDS: Mapping[str, type[ChargeModel]] = {  # names in configurations
    "fixed": FixedCharges,
    "eeq": PublishedCharges,
    "charges": NetworkCharges,
    "qeq": EquilibratedCharges,
}


@dataclass(frozen=True)
class ChargesAndEnergies:
    """What electrostatics say of a batch."""

    charges: Tensor  # [members, atoms] e
    energies: Tensor  # [members, atoms] eV, each atom's half of its interactions


class Electrostatics(nn.Module):
    """Charges and ``E = ½ qᵀ A q``, of Gaussian charges, without the screened part of near atoms.

    Args:
        kind: one of KINDS, of all members.
        members: a charge model for each member of a committee.
        widths: σ of the Gaussian charges, Å by atomic number.
        screening: inner and outer distance in Å (:func:`screened_part`); None: the whole interaction counts.
        as_inputs: whether the networks of the short range see their atom's charge, as a last input.

    Raises:
        InputError: widths that are not positive, or distances that do not rise.
    """

    widths: Tensor  # [120] Å, by atomic number

    def __init__(
        self,
        kind: str,
        members: Sequence[ChargeModel],
        widths: Mapping[int, float],
        *,
        screening: tuple[float, float] | None = None,
        as_inputs: bool = False,
    ) -> None:
        super().__init__()
        bad = [symbol_of(z) for z, width in widths.items() if not width > 0]
        if bad:
            raise InputError(f"widths of Gaussian charges must be positive; {bad[0]} has {widths[number_of(bad[0])]}")
        if screening is not None and not 0 <= screening[0] < screening[1]:
            raise InputError(f"screening needs an inner and a larger outer distance; got {list(screening)}")
        self.kind = kind
        self.members = nn.ModuleList(members)
        table = torch.ones(120, dtype=torch.float64)
        for number, width in widths.items():
            table[number] = width
        self.register_buffer("widths", table)
        self.screening = screening
        self.as_inputs = as_inputs

    @property
    def models(self) -> list[ChargeModel]:
        """The members' charge models."""
        return [cast(ChargeModel, member) for member in self.members]

    def forward(self, scaled: Tensor, systems: Systems) -> ChargesAndEnergies:
        """Charges and energies of a batch from scaled symmetry functions [atoms, F], in their precision.

        Raises:
            InputError: systems that are periodic in one direction, and those that the charge model refuses.
        """
        widths = self.widths[systems.numbers]
        rows = AtomRows.of(systems)
        matrices = coulomb_matrices(systems, rows, widths)
        around = Surroundings(systems, scaled, rows, matrices)
        charges = torch.stack([model(around) for model in self.models])
        energies = []
        for q in charges:
            padded = rows.padded(q)
            energy = 0.5 * rows.flat(padded * (matrices @ padded[:, :, None]).squeeze(2))
            if self.screening is not None:
                energy = energy - screened_part(systems, q, widths, *self.screening)
            energies.append(energy)
        return ChargesAndEnergies(charges, torch.stack(energies))

    def to_config(self) -> dict[str, Any]:
        """Plain data; :meth:`from_config` builds a module that takes the same ``state_dict``."""
        return {
            "kind": self.kind,
            "members": [{symbol_of(z): shape.to_dict() for z, shape in model.shapes.items()} for model in self.models],
            "screening": self.screening,
            "as_inputs": self.as_inputs,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Electrostatics:
        """A module of this configuration, its weights and widths yet to be loaded."""
        kind = KINDS[config["kind"]]
        shapes = [{number_of(s): NetworkShape.from_dict(d) for s, d in one.items()} for one in config["members"]]
        screening = config["screening"]
        return cls(
            config["kind"],
            [kind.blank(one) for one in shapes],
            {},
            screening=None if screening is None else (screening[0], screening[1]),
            as_inputs=config["as_inputs"],
        )
