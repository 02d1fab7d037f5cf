"""Electrons by spin, from charge and multiplicity."""

from __future__ import annotations

import torch
from torch import Tensor

from nddo_ml.errors import InputError
from nddo_ml.methods.parameters import Method
from nddo_ml.systems import Systems


def open_shells(systems: Systems, uhf: bool | None) -> Tensor:
    """Which systems have an unrestricted field, [systems] bool; None is where the multiplicity exceeds one.

    Raises:
        InputError: a multiplicity above one where ``uhf`` is False.
    """
    if uhf is None:
        return systems.multiplicity > 1
    if not uhf and bool((systems.multiplicity > 1).any()):
        k = int(torch.nonzero(systems.multiplicity > 1)[0, 0])
        raise InputError(
            f"system {k}: multiplicity {int(systems.multiplicity[k])} needs an unrestricted field; uhf=False was given"
        )
    return torch.full_like(systems.multiplicity, uhf, dtype=torch.bool)


def occupations(systems: Systems, method: Method) -> Tensor:
    """Numbers of α and β electrons by charge and multiplicity, [systems, 2].

    Raises:
        InputError: a multiplicity that does not fit the electrons, or more or fewer of these than the orbitals hold.
    """
    core = method.core_charge.to(systems.numbers.device)[systems.numbers].round().to(torch.int64)
    width = method.width.to(systems.numbers.device)[systems.numbers]
    zero = torch.zeros_like(systems.charge)
    electrons = zero.index_add(0, systems.system_idx, core) - systems.charge
    orbitals = zero.index_add(0, systems.system_idx, width)
    unpaired = systems.multiplicity - 1
    n_alpha, n_beta = (electrons + unpaired) // 2, (electrons - unpaired) // 2
    bad = ((electrons + unpaired) % 2 != 0) | (n_beta < 0) | (n_alpha > orbitals)
    if bool(bad.any()):
        k = int(torch.nonzero(bad)[0, 0])
        n, m = int(electrons[k]), int(systems.multiplicity[k])
        highest = min(n, 2 * int(orbitals[k]) - n) + 1
        if highest < 1:
            raise InputError(
                f"system {k}: charge {int(systems.charge[k])} leaves {n} valence electrons "
                f"for {int(orbitals[k])} orbitals; expected 0 to {2 * int(orbitals[k])}"
            )
        allowed = ", ".join(str(v) for v in range(1 + n % 2, highest + 1, 2)[:5])
        raise InputError(
            f"system {k}: multiplicity {m} does not fit {n} valence electrons "
            f"(charge {int(systems.charge[k])}); expected one of {allowed}{' …' if highest > 10 else ''}"
        )
    return torch.stack((n_alpha, n_beta), dim=1)
