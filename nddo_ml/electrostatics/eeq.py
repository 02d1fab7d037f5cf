"""Charges of the EEQ model, from tad-multicharge (extra ``eeq``)."""

from __future__ import annotations

from torch import Tensor

from nddo_ml.electrostatics.rows import AtomRows
from nddo_ml.errors import InputError
from nddo_ml.systems import Systems, require_molecules
from nddo_ml.units import BOHR_ANGSTROM


def eeq_charges(systems: Systems, rows: AtomRows) -> Tensor:
    """Equilibrated charges with electronegativities that follow the coordination number, [systems, rows] e.

    Source: Caldeweyher et al., J. Chem. Phys. 150, 154122 (2019), as in Grimme's D4.

    Raises:
        InputError: a periodic system; tad-multicharge is not installed.
    """
    try:
        from tad_multicharge import get_eeq_charges
    except ImportError:
        raise InputError("EEQ charges need tad-multicharge: pip install 'nddo-ml[eeq]'") from None
    require_molecules(systems, "EEQ")
    numbers, positions = rows.padded(systems.numbers), rows.padded(systems.positions.double()) / BOHR_ANGSTROM
    charges: Tensor = get_eeq_charges(numbers, positions, systems.charge.to(positions)[:, None])
    return charges
